// BiScaled index at the array's edge: one wide flag per value from a block-sparse index, one value per cycle.
// A block of B values has a bit `any` and, if that is set, a mask, first value in its top bit. `first` loads both with
// the block's first value; the flags then leave the mask one by one, each beside its value in an output register.
module dec_biscaled #(
    parameter B = 8
) (
    input clk, input first, input any, input [B-1:0] mask, input [5:0] value, output reg [6:0] word
);
    reg [B-2:0] rest;
    wire [B-1:0] flags = first ? mask & {B{any}} : {rest, 1'b0};
    always @(posedge clk) begin
        rest <= flags[B-2:0];
        word <= {flags[B-1], value};
    end
endmodule
