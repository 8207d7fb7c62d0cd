// AdaptivFloat<8,3> multiply, integer accumulate: sign, 3 exponent bits, 4 mantissa bits; code 0 (and minus 0) is zero.
// Product of two significands of 5 bits, shifted by the sum of the exponent fields (0 .. 14), added into ACC bits.
// The biases of both tensors are one constant and stay outside. `clear` starts a new sum.
module mac_af #(parameter ACC = 32) (
    input clk, input clear, input [7:0] a, input [7:0] w,
    output reg signed [ACC-1:0] acc
);
    wire zero = a[6:0] == 0 || w[6:0] == 0;
    wire [9:0] product = {1'b1, a[3:0]} * {1'b1, w[3:0]};
    wire [3:0] shift = a[6:4] + w[6:4];
    wire [23:0] magnitude = zero ? 24'b0 : product << shift;
    wire negative = a[7] ^ w[7];
    wire signed [ACC-1:0] term = {{(ACC-24){negative}}, magnitude ^ {24{negative}}};
    always @(posedge clk) acc <= (clear ? {ACC{1'b0}} : acc) + term + negative;
endmodule
