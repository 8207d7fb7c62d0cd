// FP16 multiply, FP32 accumulate: the product is exact, the addition rounds to nearest even, all in one cycle.
// No subnormals, infinities or NaNs (an exponent field of 0 is zero). `clear` starts a new sum.
module mac_fp16 (
    input clk, input clear, input [15:0] a, input [15:0] w,
    output reg [31:0] acc
);
    wire [21:0] product = {1'b1, a[9:0]} * {1'b1, w[9:0]};
    wire zero = a[14:10] == 0 || w[14:10] == 0;
    // Bias 127 - 2 * 15.
    wire [7:0] exponent = a[14:10] + w[14:10] + 8'd97 + product[21];
    wire [20:0] fraction = product[21] ? product[20:0] : {product[19:0], 1'b0};
    wire [31:0] term = zero ? 32'b0 : {a[15] ^ w[15], exponent, fraction, 2'b0};
    wire [31:0] sum;
    fp_add #(.EXP(8), .MAN(23), .LZ(5)) adder (clear ? 32'b0 : acc, term, sum);
    always @(posedge clk) acc <= sum;
endmodule
