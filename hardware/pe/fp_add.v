// Floating-point addition, round to nearest even. No subnormals, infinities or NaNs: an exponent field of 0 is zero,
// a result below the smallest normal number is +0, one beyond the largest takes the topmost exponent field.
// EXP, MAN: stored exponent and mantissa bits. LZ: bits that count 0 .. MAN+4.
module fp_add #(
    parameter EXP = 8, parameter MAN = 23, parameter LZ = 5
) (
    input [EXP+MAN:0] x, input [EXP+MAN:0] y, output [EXP+MAN:0] z
);
    wire swap = y[EXP+MAN-1:0] > x[EXP+MAN-1:0];
    wire [EXP+MAN:0] big = swap ? y : x, small = swap ? x : y;
    wire [EXP-1:0] big_exp = big[EXP+MAN-1:MAN], small_exp = small[EXP+MAN-1:MAN];
    wire subtract = big[EXP+MAN] ^ small[EXP+MAN];

    // Significands with hidden bit and three bits below: guard, round, sticky.
    wire [MAN+3:0] big_sig = {|big_exp, big[MAN-1:0], 3'b0}, small_sig = {|small_exp, small[MAN-1:0], 3'b0};
    wire [EXP-1:0] distance = big_exp - small_exp;
    wire far = distance > MAN + 3;
    wire [LZ-1:0] shift = distance[LZ-1:0];
    wire [2*MAN+7:0] wide = {small_sig, {(MAN+4){1'b0}}} >> shift;
    wire [MAN+3:0] aligned = far ? {{(MAN+3){1'b0}}, |small_exp} : {wide[2*MAN+7:MAN+5], |wide[MAN+4:0]};

    wire [MAN+4:0] sum = subtract ? big_sig - aligned : big_sig + aligned;
    wire [LZ-1:0] zeros;
    leading_zeros #(.W(MAN+5), .C(LZ)) counter (sum, zeros);
    wire [MAN+4:0] normal = sum << zeros;
    wire round_up = normal[3] & (normal[4] | |normal[2:0]);
    wire [MAN+1:0] rounded = {1'b0, normal[MAN+4:4]} + round_up;
    wire signed [EXP+1:0] exponent = $signed({2'b0, big_exp}) + 1 - $signed({1'b0, zeros}) + rounded[MAN+1];
    wire zero = sum == 0 || exponent <= 0;
    wire over = exponent >= (1 << EXP) - 1;
    wire [MAN-1:0] mantissa = rounded[MAN+1] ? rounded[MAN:1] : rounded[MAN-1:0];
    assign z = zero ? {(EXP+MAN+1){1'b0}}
             : {big[EXP+MAN], over ? {EXP{1'b1}} : exponent[EXP-1:0], over ? {MAN{1'b0}} : mantissa};
endmodule
