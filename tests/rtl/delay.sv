// CYCLES registers in a row; none for 0. CLEARED ones start at zero.

module delay #(
    parameter BITS = 1,
    parameter CYCLES = 1,
    parameter CLEARED = 0
) (
    input  wire            clk,
    input  wire            rst,
    input  wire [BITS-1:0] in,
    output wire [BITS-1:0] out
);
  genvar i;
  generate
    for (i = 0; i <= CYCLES; i = i + 1) begin : g_stage
      wire [BITS-1:0] value;
      if (i == 0) begin : g_wire
        assign value = in;
      end else begin : g_register
        reg [BITS-1:0] held;
        always @(posedge clk) held <= CLEARED && rst ? {BITS{1'b0}} : g_stage[i-1].value;
        assign value = held;
      end
    end
  endgenerate
  assign out = g_stage[CYCLES].value;
endmodule
