// The array of design olive_systolic with int4 normals (--set datapath.normal=int) behind the ports of the testbench that
// `olivine vectors` writes: one ovp4 decoder per row and per column, at the edges; of the pair on a port, the even or the
// odd operand goes in. Needs os_array, pe, product, delay, column_drain and ovp4_decoder.

module olivine_dut #(
    parameter ROWS = 4,
    parameter COLS = 4,
    parameter ACT_UNIT_BITS = 8,
    parameter ACT_UNIT_VALUES = 2,
    parameter WEIGHT_UNIT_BITS = 8,
    parameter WEIGHT_UNIT_VALUES = 2,
    parameter ACC_BITS = 32
) (
    input  wire                             clk,
    input  wire                             rst,
    output wire                             ready,
    input  wire                             valid,
    input  wire                             first,
    input  wire                             last,
    input  wire [                     31:0] act_index,
    input  wire [                     31:0] weight_index,
    input  wire [   ROWS*ACT_UNIT_BITS-1:0] act,
    input  wire [COLS*WEIGHT_UNIT_BITS-1:0] weight,
    output wire [                 COLS-1:0] out_valid,
    output wire [        COLS*ACC_BITS-1:0] out
);
  localparam OPERAND_BITS = 7;

  wire [ROWS*OPERAND_BITS-1:0] act_operands;
  wire [COLS*OPERAND_BITS-1:0] weight_operands;

  genvar i;
  generate
    for (i = 0; i < ROWS; i = i + 1) begin : g_row
      wire [OPERAND_BITS-1:0] left, right;
      ovp4_decoder decoder (.pair(act[8*i+:8]), .left(left), .right(right));
      assign act_operands[i*OPERAND_BITS+:OPERAND_BITS] = act_index[0] ? right : left;
    end
    for (i = 0; i < COLS; i = i + 1) begin : g_column
      wire [OPERAND_BITS-1:0] left, right;
      ovp4_decoder decoder (.pair(weight[8*i+:8]), .left(left), .right(right));
      assign weight_operands[i*OPERAND_BITS+:OPERAND_BITS] = weight_index[0] ? right : left;
    end
  endgenerate

  assign ready = 1'b1;

  os_array #(
      .ROWS(ROWS), .COLS(COLS), .EXPONENT_INTEGER(1),
      .ACT_BITS(OPERAND_BITS), .WEIGHT_BITS(OPERAND_BITS), .ACC_BITS(ACC_BITS)
  ) array (
      .clk(clk), .rst(rst), .valid(valid), .first(first), .last(last),
      .act(act_operands), .weight(weight_operands), .out_valid(out_valid), .out(out)
  );
endmodule
