// A PE for block formats: dot product inside a block, then scales and FP32 sum at its end (mx_dot.v, scale_add.v).
// `last` marks a block's last product: one cycle later the sum takes the block, and the next block may begin. In other
// cycles the scale unit sees zeros, so that it does not switch.
module pe_mx #(
    parameter EXP = 2, parameter MAN = 1, parameter ACC = 14, parameter UNIT = 2, parameter SCALE = 0
) (
    input clk, input clear, input last, input [EXP+MAN:0] a, input [EXP+MAN:0] w,
    input [7:0] a_scale, input [7:0] w_scale, output [31:0] out
);
    reg ended;
    always @(posedge clk) ended <= last;
    wire [ACC-1:0] dot;
    mx_dot #(.EXP(EXP), .MAN(MAN), .ACC(ACC)) block (clk, ended, a, w, dot);
    scale_add #(.ACC(ACC), .UNIT(UNIT), .SCALE(SCALE)) end_of_block (
        clk, ended, clear, dot & {ACC{ended}}, a_scale & {8{ended}}, w_scale & {8{ended}}, out
    );
endmodule
