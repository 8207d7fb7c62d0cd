// What a PE multiplies: two integers, or two exponent-integer operands.

module int_product #(
    parameter ACT_BITS = 8,
    parameter WEIGHT_BITS = 8,
    parameter OUT_BITS = 32
) (
    input  wire signed [   ACT_BITS-1:0] act,
    input  wire signed [WEIGHT_BITS-1:0] weight,
    output wire signed [   OUT_BITS-1:0] product
);
  assign product = act * weight;
endmodule


// <a, b> x <c, d> = (b * d) << (a + c): a 4 x 4 bit multiplier, a 3-bit adder and a shifter.
module exponent_integer_product #(
    parameter OUT_BITS = 32
) (
    input  wire        [         6:0] act,
    input  wire        [         6:0] weight,
    output wire signed [OUT_BITS-1:0] product
);
  wire signed [3:0] act_integer = act[3:0];
  wire signed [3:0] weight_integer = weight[3:0];
  wire signed [7:0] integer_product = act_integer * weight_integer;
  wire        [3:0] exponent = {1'b0, act[6:4]} + {1'b0, weight[6:4]};

  wire signed [OUT_BITS-1:0] extended = integer_product;
  assign product = extended <<< exponent;
endmodule
