// FP8 multiply, FP32 accumulate; E4M3 or E5M2 (OCP, 2023), chosen per operand by a_e5m2 and w_e5m2, with subnormals.
// Inside, both are 5 exponent bits and a significand of 4; the product is exact, the addition rounds to nearest even.
// NaNs and infinities are not recognised. `clear` starts a new sum.
module mac_fp8 (
    input clk, input clear, input a_e5m2, input w_e5m2, input [7:0] a, input [7:0] w,
    output reg [31:0] acc
);
    wire [4:0] a_exp, w_exp;
    wire [3:0] a_sig, w_sig;
    fp8_fields a_fields (a_e5m2, a[6:0], a_exp, a_sig);
    fp8_fields w_fields (w_e5m2, w[6:0], w_exp, w_sig);
    // Two integers below 16: the product has 6 fraction bits, and its first one may lie anywhere.
    wire [7:0] product = a_sig * w_sig;
    wire [3:0] zeros;
    leading_zeros #(.W(8), .C(4)) counter (product, zeros);
    wire [7:0] normal = product << zeros;
    // Bias 127 - 2 * 15, and 1 because the product's top bit weighs 2.
    wire [7:0] exponent = a_exp + w_exp + 8'd98 - zeros;
    wire [31:0] term = product == 0 ? 32'b0 : {a[7] ^ w[7], exponent, normal[6:0], 16'b0};
    wire [31:0] sum;
    fp_add #(.EXP(8), .MAN(23), .LZ(5)) adder (clear ? 32'b0 : acc, term, sum);
    always @(posedge clk) acc <= sum;
endmodule
