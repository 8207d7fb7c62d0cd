// Drain control of one column: once the bottom PE is done, the drain registers shift down ROWS times.
//
// In shift 0 the bottom row's result is on the column's output; row r still receives from above in shifts 0 ... r-1.

module column_drain #(
    parameter ROWS = 4
) (
    input  wire            clk,
    input  wire            rst,
    input  wire            start,   // the bottom PE adds its last product
    output wire            active,  // a result is on the column's output
    output wire [ROWS-1:0] receive
);
  reg [31:0] left;  // shifts still to make; synthesis keeps the few bits that change

  always @(posedge clk) begin
    if (rst) left <= 0;
    else if (start) left <= ROWS;
    else if (active) left <= left - 1;
  end

  assign active = left != 0;

  genvar r;
  generate
    for (r = 0; r < ROWS; r = r + 1) begin : g_row
      assign receive[r] = active && r + left > ROWS;
    end
  endgenerate
endmodule
