// End of a block: an integer of ACC bits, times the scales of both blocks, becomes FP32 and is added to the output.
// `enable` takes a block, `clear` makes it the first of its output.
// SCALE = 0: E8M0 scales, added to the exponent. SCALE = 1: E4M3 scales (NVFP4), their significands multiplied in.
// UNIT: fraction bits of the integer. Rounding to nearest even, once on the way to FP32 (only where more than 24 bits
// may be set) and once in the addition. Results out of FP32's range: see fp_add. NaN scales are not recognised.
module scale_add #(parameter ACC = 14, parameter UNIT = 2, parameter SCALE = 0) (
    input clk, input enable, input clear, input [ACC-1:0] dot, input [7:0] a_scale, input [7:0] w_scale,
    output reg [31:0] out
);
    localparam W = SCALE ? ACC + 7 : ACC - 1 > 24 ? ACC - 1 : 25;
    wire negative = dot[ACC-1];
    wire [ACC-2:0] magnitude = negative ? -dot[ACC-2:0] : dot[ACC-2:0];
    wire [W-1:0] scaled;
    wire signed [10:0] power;
    generate
        if (SCALE) begin : e4m3
            wire [4:0] a_exp, w_exp;
            wire [3:0] a_sig, w_sig;
            fp8_fields a_fields (1'b0, a_scale[6:0], a_exp, a_sig);
            fp8_fields w_fields (1'b0, w_scale[6:0], w_exp, w_sig);
            wire [7:0] product = a_sig * w_sig;
            assign scaled = magnitude * product;
            // fp8_fields has bias 15, and each significand 3 fraction bits.
            assign power = $signed({6'b0, a_exp}) + $signed({6'b0, w_exp}) - 30 - 6 - UNIT;
        end else begin : e8m0
            assign scaled = {{(W-ACC+1){1'b0}}, magnitude};
            assign power = $signed({3'b0, a_scale}) + $signed({3'b0, w_scale}) - 254 - UNIT;
        end
    endgenerate
    localparam C = W > 63 ? 7 : 6;
    wire [C-1:0] zeros;
    leading_zeros #(.W(W), .C(C)) counter (scaled, zeros);
    wire [W-1:0] normal = scaled << zeros;
    wire [24:0] rounded;
    generate
        if (W > 25) begin : long
            wire up = normal[W-25] & (normal[W-24] | |(normal & ((1 << (W-25)) - 1)));
            assign rounded = {1'b0, normal[W-1:W-24]} + up;
        end else begin : short
            assign rounded = {1'b0, normal, 24'b0} >> W;
        end
    endgenerate
    wire signed [10:0] exponent = power + (W - 1 + 127) - $signed({1'b0, zeros}) + rounded[24];
    wire zero = scaled == 0 || exponent <= 0, over = exponent >= 255;
    wire [31:0] term = zero ? 32'b0
                     : {negative, over ? 8'hff : exponent[7:0],
                        over ? 23'b0 : rounded[24] ? rounded[23:1] : rounded[22:0]};
    wire [31:0] sum;
    fp_add #(.EXP(8), .MAN(23), .LZ(5)) adder (clear | !enable ? 32'b0 : out, term, sum);
    always @(posedge clk) if (enable) out <= sum;
endmodule
