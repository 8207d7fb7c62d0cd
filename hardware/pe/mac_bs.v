// BiScaled (Jain et al., DAC 2019): 6-bit integers of two scales, the wide one 2^shift times the fine one. The product
// is shifted by 0, shift or 2 * shift as none, one or both operands are wide, and added into ACC bits.
// Operands: {wide, 6 bits two's complement}; shift 0 .. 8 is set once per layer.
module mac_bs #(parameter ACC = 32) (
    input clk, input clear, input [3:0] shift, input [6:0] a, input [6:0] w,
    output reg signed [ACC-1:0] acc
);
    wire signed [11:0] product;
    mul_signed #(.A(6), .B(6)) multiplier (a[5:0], w[5:0], product);
    wire [4:0] amount = a[6] & w[6] ? {shift, 1'b0} : a[6] | w[6] ? {1'b0, shift} : 5'd0;
    wire signed [27:0] extended = product;
    wire signed [27:0] shifted = extended <<< amount;
    wire [ACC-1:0] term = {{(ACC-27){shifted[27]}}, shifted[26:0]};
    always @(posedge clk) acc <= (clear ? {ACC{1'b0}} : acc) + term;
endmodule
