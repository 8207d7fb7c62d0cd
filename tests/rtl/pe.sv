// One output-stationary processing element.
//
// The activation and its tags hop to the right, the weight hops down, one register each. A finished sum moves from the
// accumulator to the drain register, so that the next fold's first product may follow at once.

module pe #(
    parameter EXPONENT_INTEGER = 1,
    parameter ACT_BITS = 7,
    parameter WEIGHT_BITS = 7,
    parameter ACC_BITS = 32
) (
    input wire clk,
    input wire rst,

    input  wire                   valid,  // operands are a product of a fold, not a bubble
    input  wire                   first,  // the fold's first
    input  wire                   last,   // and its last
    input  wire [   ACT_BITS-1:0] act,
    input  wire [WEIGHT_BITS-1:0] weight,
    output reg                    valid_right,
    output reg                    first_right,
    output reg                    last_right,
    output reg  [   ACT_BITS-1:0] act_right,
    output reg  [WEIGHT_BITS-1:0] weight_down,

    input  wire                receive,  // take the result of the PE above
    input  wire [ACC_BITS-1:0] above,
    output reg  [ACC_BITS-1:0] result
);
  wire signed [ACC_BITS-1:0] product;

  generate
    if (EXPONENT_INTEGER) begin : g_exponent_integer
      exponent_integer_product #(.OUT_BITS(ACC_BITS)) multiply (.act(act), .weight(weight), .product(product));
    end else begin : g_int
      int_product #(
          .ACT_BITS(ACT_BITS), .WEIGHT_BITS(WEIGHT_BITS), .OUT_BITS(ACC_BITS)
      ) multiply (.act(act), .weight(weight), .product(product));
    end
  endgenerate

  reg signed [ACC_BITS-1:0] accumulator;
  wire signed [ACC_BITS-1:0] sum = (first ? {ACC_BITS{1'b0}} : accumulator) + product;

  always @(posedge clk) begin
    valid_right <= valid & ~rst;
    first_right <= first;
    last_right  <= last;
    act_right   <= act;
    weight_down <= weight;
    if (valid) accumulator <= sum;
    if (valid & last) result <= sum;
    else if (receive) result <= above;
  end
endmodule
