// GOBO lane: one FP32 adder and N FP32 sums, one per centroid; the index of a weight says which sum takes the activation.
// `clear` zeroes the sum before it takes this one. I: bits of an index.
module gobo_lane #(parameter N = 8, parameter I = 3) (
    input clk, input clear, input [31:0] x, input [I-1:0] index, output [31:0] selected
);
    reg [31:0] sums [0:N-1];
    assign selected = sums[index];
    wire [31:0] sum;
    fp_add #(.EXP(8), .MAN(23), .LZ(5)) adder (clear ? 32'b0 : selected, x, sum);
    always @(posedge clk) sums[index] <= sum;
endmodule
