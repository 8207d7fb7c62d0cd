// An output-stationary systolic array with double-buffered accumulators (array.fold_overlap: full).
//
// One reduction step of a fold enters per cycle: an operand per row at the left, an operand per column at the top, all
// of the same k. Skew registers hold row r back by r cycles and column c by c, so that PE (r, c) multiplies r + c cycles
// later. Results leave at the bottom of each column, the bottom row's first: a fold of K steps whose first operands are
// on the ports in cycle t has the result of PE (r, c) on the output of column c in cycle t + K + 2*ROWS - 2 + c - r.
// Folds must follow each other at intervals of at least max(K, ROWS).

module os_array #(
    parameter ROWS = 4,
    parameter COLS = 4,
    parameter EXPONENT_INTEGER = 1,
    parameter ACT_BITS = 7,
    parameter WEIGHT_BITS = 7,
    parameter ACC_BITS = 32
) (
    input  wire                        clk,
    input  wire                        rst,
    input  wire                        valid,
    input  wire                        first,
    input  wire                        last,
    input  wire [   ROWS*ACT_BITS-1:0] act,        // row 0 in the low bits
    input  wire [COLS*WEIGHT_BITS-1:0] weight,     // column 0 in the low bits
    output wire [            COLS-1:0] out_valid,
    output wire [   COLS*ACC_BITS-1:0] out
);
  genvar r, c;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : g_row
      wire [2:0] tags;
      wire [ACT_BITS-1:0] operand;
      delay #(.BITS(3), .CYCLES(r), .CLEARED(1)) skew_tags (
          .clk(clk), .rst(rst), .in({valid, first, last}), .out(tags)
      );
      delay #(.BITS(ACT_BITS), .CYCLES(r)) skew (
          .clk(clk), .rst(rst), .in(act[r*ACT_BITS+:ACT_BITS]), .out(operand)
      );

      for (c = 0; c < COLS; c = c + 1) begin : g_pe
        wire valid_in, first_in, last_in, valid_right, first_right, last_right;
        wire [ACT_BITS-1:0] act_in, act_right;
        wire [WEIGHT_BITS-1:0] weight_in, weight_down;
        wire [ACC_BITS-1:0] above, result;

        if (c == 0) begin : g_left_edge
          assign {valid_in, first_in, last_in, act_in} = {tags, operand};
        end else begin : g_from_left
          assign valid_in = g_row[r].g_pe[c-1].valid_right;
          assign first_in = g_row[r].g_pe[c-1].first_right;
          assign last_in  = g_row[r].g_pe[c-1].last_right;
          assign act_in   = g_row[r].g_pe[c-1].act_right;
        end
        if (r == 0) begin : g_top_edge
          assign weight_in = g_column[c].operand;
          assign above     = {ACC_BITS{1'b0}};
        end else begin : g_from_above
          assign weight_in = g_row[r-1].g_pe[c].weight_down;
          assign above     = g_row[r-1].g_pe[c].result;
        end

        pe #(
            .EXPONENT_INTEGER(EXPONENT_INTEGER),
            .ACT_BITS(ACT_BITS),
            .WEIGHT_BITS(WEIGHT_BITS),
            .ACC_BITS(ACC_BITS)
        ) element (
            .clk(clk), .rst(rst),
            .valid(valid_in), .first(first_in), .last(last_in), .act(act_in), .weight(weight_in),
            .valid_right(valid_right), .first_right(first_right), .last_right(last_right),
            .act_right(act_right), .weight_down(weight_down),
            .receive(g_column[c].receive[r]), .above(above), .result(result)
        );
      end
    end

    for (c = 0; c < COLS; c = c + 1) begin : g_column
      wire [WEIGHT_BITS-1:0] operand;
      wire [ROWS-1:0] receive;
      delay #(.BITS(WEIGHT_BITS), .CYCLES(c)) skew (
          .clk(clk), .rst(rst), .in(weight[c*WEIGHT_BITS+:WEIGHT_BITS]), .out(operand)
      );
      column_drain #(.ROWS(ROWS)) drain (
          .clk(clk), .rst(rst),
          .start(g_row[ROWS-1].g_pe[c].valid_in & g_row[ROWS-1].g_pe[c].last_in),
          .active(out_valid[c]), .receive(receive)
      );
      assign out[c*ACC_BITS+:ACC_BITS] = g_row[ROWS-1].g_pe[c].result;
    end
  endgenerate
endmodule
