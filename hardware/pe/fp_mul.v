// Floating-point multiplication, round to nearest even; exponent fields of 0 are zero, no infinities or NaNs, results
// below the smallest normal number are zero, beyond the largest they take the topmost exponent field.
module fp_mul #(
    parameter EXP = 8, parameter MAN = 23
) (
    input [EXP+MAN:0] x, input [EXP+MAN:0] y, output [EXP+MAN:0] z
);
    wire [EXP-1:0] x_exp = x[EXP+MAN-1:MAN], y_exp = y[EXP+MAN-1:MAN];
    wire [2*MAN+1:0] product = {1'b1, x[MAN-1:0]} * {1'b1, y[MAN-1:0]};
    wire high = product[2*MAN+1];
    wire [2*MAN+1:0] normal = high ? product : product << 1;
    wire round_up = normal[MAN] & (normal[MAN+1] | |normal[MAN-1:0]);
    wire [MAN+1:0] rounded = {1'b0, normal[2*MAN+1:MAN+1]} + round_up;
    wire signed [EXP+1:0] exponent = $signed({2'b0, x_exp}) + $signed({2'b0, y_exp}) + high + rounded[MAN+1]
                                   - ((1 << (EXP-1)) - 1);
    wire zero = x_exp == 0 || y_exp == 0 || exponent <= 0;
    wire over = exponent >= (1 << EXP) - 1;
    assign z[EXP+MAN] = (x[EXP+MAN] ^ y[EXP+MAN]) & ~zero;
    assign z[EXP+MAN-1:0] = zero ? {(EXP+MAN){1'b0}}
                          : over ? {{EXP{1'b1}}, {MAN{1'b0}}}
                          : {exponent[EXP-1:0], rounded[MAN+1] ? rounded[MAN:1] : rounded[MAN-1:0]};
endmodule
