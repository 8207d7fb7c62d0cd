// FP16 value times FP32 factor, rounded to the nearest integer (half to even) and held within -127 .. 127; one output
// register. The product is exact before it is rounded. An exponent field of 0 is zero; no infinities or NaNs.
module quantise_int8 (input clk, input [15:0] x, input [31:0] factor, output reg [7:0] code);
    // Significand product of 11 + 24 bits: 33 fraction bits at exponent x_exp + f_exp - 15 - 127.
    wire [34:0] product = {1'b1, x[9:0]} * {1'b1, factor[22:0]};
    wire signed [9:0] exponent = $signed({5'b0, x[14:10]}) + $signed({2'b0, factor[30:23]}) - 10'sd142;
    wire zero = x[14:10] == 0 || factor[30:23] == 0 || exponent < -2;
    wire large = exponent > 6;
    // Up to 8 integer bits at [42:35], the fraction below: shifted left by exponent + 2, 0 .. 8.
    wire [3:0] shift = exponent[3:0] + 4'd2;
    wire [42:0] placed = {8'b0, product} << shift;
    wire up = placed[34] & (placed[35] | |placed[33:0]);
    wire [8:0] integer_part = {1'b0, placed[42:35]} + up;
    wire [6:0] magnitude = zero ? 7'd0 : large || integer_part > 127 ? 7'd127 : integer_part[6:0];
    wire negative = x[15] ^ factor[31];
    always @(posedge clk) code <= negative ? -{1'b0, magnitude} : {1'b0, magnitude};
endmodule
