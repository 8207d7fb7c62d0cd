// Integer multiply-accumulate: acc += a * w, two's complement, one product per cycle.
// AW, WW, ACC: bits of activation, weight and accumulator.
// `clear` starts a new sum with this cycle's product.
module mac_int #(
    parameter AW = 8, parameter WW = 8, parameter ACC = 32
) (
    input clk, input clear, input [AW-1:0] a, input [WW-1:0] w,
    output reg signed [ACC-1:0] acc
);
    wire [AW+WW-1:0] product;
    mul_signed #(.A(AW), .B(WW)) multiplier (a, w, product);
    // Extended by hand: left to the tool, multiplier and adder merge into one carry-save tree.
    wire [ACC-1:0] term = {{(ACC-AW-WW+1){product[AW+WW-1]}}, product[AW+WW-2:0]};
    always @(posedge clk) acc <= (clear ? {ACC{1'b0}} : acc) + term;
endmodule
