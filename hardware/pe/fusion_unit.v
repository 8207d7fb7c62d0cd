// BitFusion unit (Sharma et al., ISCA 2018): 16 bricks, each the product of two 2-bit digits, and a shift-add tree.
// One 8x8 product per cycle, or two 8x4, four 4x4 or 8x2, eight 4x2, sixteen 2x2, all added into one accumulator.
// a_bits, w_bits: 0, 1, 2 for operands of 2, 4, 8 bits, two's complement. Operands lie in the low bits of a and w,
// product p at [bits * p +: bits]; a product has one a and one w of its own.
// Brick b = {w1, a1, w0, a0}: a0, w0 say which digit of a pair it takes, a1, w1 which pair; where an operand is too
// narrow to have that digit, the bit says which product the brick belongs to instead.
module fusion_unit #(parameter ACC = 32) (
    input clk, input clear, input [1:0] a_bits, input [1:0] w_bits, input [31:0] a, input [31:0] w,
    output reg signed [ACC-1:0] acc
);
    wire a4 = a_bits != 0, a8 = a_bits[1], w4 = w_bits != 0, w8 = w_bits[1];
    wire signed [5:0] brick [0:15];
    genvar b, g;
    generate
        for (b = 0; b < 16; b = b + 1) begin : bricks
            localparam [3:0] B = b;
            // Digit of each bus; see the layout above: {pair, digit} of its own operand, then the product's number.
            reg [3:0] a_digit, w_digit;
            always @* begin
                case ({a8, a4, w8, w4})
                    4'b1111: begin a_digit = {2'b0, B[2], B[0]};       w_digit = {2'b0, B[3], B[1]}; end
                    4'b1101: begin a_digit = {1'b0, B[3], B[2], B[0]}; w_digit = {2'b0, B[3], B[1]}; end
                    4'b0111: begin a_digit = {2'b0, B[2], B[0]};       w_digit = {1'b0, B[2], B[3], B[1]}; end
                    4'b0101: begin a_digit = {1'b0, B[3], B[2], B[0]}; w_digit = {1'b0, B[3], B[2], B[1]}; end
                    4'b1100: begin a_digit = {B[3], B[1], B[2], B[0]}; w_digit = {2'b0, B[3], B[1]}; end
                    4'b0011: begin a_digit = {2'b0, B[2], B[0]};       w_digit = {B[2], B[0], B[3], B[1]}; end
                    4'b0100: begin a_digit = {B[3:1], B[0]};           w_digit = {1'b0, B[3:1]}; end
                    4'b0001: begin a_digit = {1'b0, B[3:2], B[0]};     w_digit = {B[3:2], B[0], B[1]}; end
                    default: begin a_digit = B;                        w_digit = B; end
                endcase
            end
            // Only the top digit of an operand carries a sign.
            wire a_top = (!a4 | B[0]) & (!a8 | B[2]), w_top = (!w4 | B[1]) & (!w8 | B[3]);
            wire [1:0] x = a[2*a_digit +: 2], y = w[2*w_digit +: 2];
            wire signed [2:0] xs = {a_top & x[1], x}, ys = {w_top & y[1], y};
            assign brick[b] = xs * ys;
        end
        wire signed [11:0] group [0:3];
        for (g = 0; g < 4; g = g + 1) begin : groups
            wire signed [8:0] low, high;
            assign low = brick[4*g] + (a4 ? brick[4*g+1] <<< 2 : brick[4*g+1]);
            assign high = brick[4*g+2] + (a4 ? brick[4*g+3] <<< 2 : brick[4*g+3]);
            assign group[g] = low + (w4 ? high <<< 2 : high);
        end
    endgenerate
    wire signed [16:0] low, high;
    wire signed [21:0] total;
    assign low = group[0] + (a8 ? group[1] <<< 4 : group[1]);
    assign high = group[2] + (a8 ? group[3] <<< 4 : group[3]);
    assign total = low + (w8 ? high <<< 4 : high);
    wire [ACC-1:0] term = {{(ACC-21){total[21]}}, total[20:0]};
    always @(posedge clk) acc <= (clear ? {ACC{1'b0}} : acc) + term;
endmodule
