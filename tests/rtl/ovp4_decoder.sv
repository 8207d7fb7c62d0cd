// One ovp4 byte to two exponent-integer operands of value integer << exponent (OliVe, ISCA 2023, section 4.2).
//
// The left element is in the high nibble. Beside the identifier 1000 stands an outlier, an abfloat E2M1 with bias 2:
// sign, two bits of exponent, one of mantissa. The identifier itself is a victim, zero; all else is an int4.

module ovp4_decoder (
    input  wire [7:0] pair,
    output wire [6:0] left,   // {exponent[2:0], integer[3:0]}, the integer in two's complement
    output wire [6:0] right
);
  localparam [3:0] IDENTIFIER = 4'b1000;

  function automatic [6:0] operand(input [3:0] code, input [3:0] neighbour);
    reg [3:0] magnitude;
    begin
      magnitude = {2'b00, 1'b1, code[0]};
      if (code == IDENTIFIER) operand = 7'd0;
      else if (neighbour != IDENTIFIER) operand = {3'd0, code};
      else operand = {3'd2 + {1'b0, code[2:1]}, code[3] ? -magnitude : magnitude};
    end
  endfunction

  assign left  = operand(pair[7:4], pair[3:0]);
  assign right = operand(pair[3:0], pair[7:4]);
endmodule
