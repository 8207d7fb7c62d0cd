// Two's complement multiplier, A x B bits, after Baugh and Wooley (IEEE Trans. Computers C-22, 1973): the rows of the two
// sign bits enter inverted with three constant ones, so that no partial product needs sign extension. A, B >= 2.
module mul_signed #(
    parameter A = 8, parameter B = 8
) (
    input [A-1:0] a, input [B-1:0] b, output [A+B-1:0] product
);
    wire [A+B-1:0] magnitudes = a[A-2:0] * b[B-2:0];
    wire [A-2:0] row_a = ~(a[A-2:0] & {(A-1){b[B-1]}});
    wire [B-2:0] row_b = ~(b[B-2:0] & {(B-1){a[A-1]}});
    localparam [A+B-1:0] ONE = 1;
    assign product = magnitudes + {a[A-1] & b[B-1], {(A+B-2){1'b0}}} + {row_a, {(B-1){1'b0}}} + {row_b, {(A-1){1'b0}}}
                   + ((ONE << (A+B-1)) + (ONE << (A-1)) + (ONE << (B-1)));
endmodule
