// Dot product inside a block of shared scale: exact integers at the unit of the smallest product, one product per cycle.
// Elements: sign, EXP exponent bits, MAN mantissa bits with subnormals; EXP = 0 is two's complement of 1 + MAN bits.
// ACC must hold a block of largest products. `first` starts a new block with this cycle's product.
module mx_dot #(parameter EXP = 2, parameter MAN = 1, parameter ACC = 14) (
    input clk, input first, input [EXP+MAN:0] a, input [EXP+MAN:0] w, output reg signed [ACC-1:0] acc
);
    wire [ACC-1:0] term;
    generate
        if (EXP == 0) begin : integers
            wire [2*MAN+1:0] product;
            mul_signed #(.A(MAN+1), .B(MAN+1)) multiplier (a, w, product);
            assign term = {{(ACC-2*MAN-1){product[2*MAN+1]}}, product[2*MAN:0]};
        end else begin : floats
            // Exponent fields count from 1; a field of 0 has the exponent of 1 and no hidden bit.
            localparam TOP = 2 * ((1 << EXP) - 2);
            wire [EXP-1:0] a_field = a[EXP+MAN-1:MAN], w_field = w[EXP+MAN-1:MAN];
            wire a_normal = |a_field, w_normal = |w_field;
            wire [2*MAN+1:0] product = {a_normal, a[MAN-1:0]} * {w_normal, w[MAN-1:0]};
            wire [EXP:0] shift = (a_field - a_normal) + (w_field - w_normal);
            wire [2*MAN+1+TOP:0] magnitude = product << shift;
            wire negative = a[EXP+MAN] ^ w[EXP+MAN];
            assign term = {ACC{negative}} ^ {{(ACC-2*MAN-2-TOP){1'b0}}, magnitude};
        end
    endgenerate
    wire carry = EXP == 0 ? 1'b0 : a[EXP+MAN] ^ w[EXP+MAN];
    always @(posedge clk) acc <= (first ? {ACC{1'b0}} : acc) + term + carry;
endmodule
