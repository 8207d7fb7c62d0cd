// The array of designs int8_systolic and int4_systolic behind the ports of the testbench that `olivine vectors` writes:
// two's complement values of 8 bits, or of 4 with the first of two in the high nibble of a byte. Needs os_array, pe,
// product, delay, column_drain and ovp4_decoder.

module olivine_dut #(
    parameter ROWS = 4,
    parameter COLS = 4,
    parameter ACT_UNIT_BITS = 8,
    parameter ACT_UNIT_VALUES = 1,
    parameter WEIGHT_UNIT_BITS = 8,
    parameter WEIGHT_UNIT_VALUES = 1,
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
  localparam ACT_BITS = ACT_UNIT_BITS / ACT_UNIT_VALUES;
  localparam WEIGHT_BITS = WEIGHT_UNIT_BITS / WEIGHT_UNIT_VALUES;

  wire [      ROWS*ACT_BITS-1:0] act_operands;
  wire [COLS*WEIGHT_BITS-1:0] weight_operands;

  genvar i;
  generate
    for (i = 0; i < ROWS; i = i + 1) begin : g_row
      wire [ACT_UNIT_BITS-1:0] unit = act[i*ACT_UNIT_BITS+:ACT_UNIT_BITS];
      assign act_operands[i*ACT_BITS+:ACT_BITS] = unit >> (ACT_UNIT_VALUES - 1 - act_index) * ACT_BITS;
    end
    for (i = 0; i < COLS; i = i + 1) begin : g_column
      wire [WEIGHT_UNIT_BITS-1:0] unit = weight[i*WEIGHT_UNIT_BITS+:WEIGHT_UNIT_BITS];
      assign weight_operands[i*WEIGHT_BITS+:WEIGHT_BITS] = unit >> (WEIGHT_UNIT_VALUES - 1 - weight_index) * WEIGHT_BITS;
    end
  endgenerate

  assign ready = 1'b1;

  os_array #(
      .ROWS(ROWS), .COLS(COLS), .EXPONENT_INTEGER(0),
      .ACT_BITS(ACT_BITS), .WEIGHT_BITS(WEIGHT_BITS), .ACC_BITS(ACC_BITS)
  ) array (
      .clk(clk), .rst(rst), .valid(valid), .first(first), .last(last),
      .act(act_operands), .weight(weight_operands), .out_valid(out_valid), .out(out)
  );
endmodule
