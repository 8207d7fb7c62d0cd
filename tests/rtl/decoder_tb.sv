// The decoder on every legal byte, and every product of two decoded operands, against the values of the format.
// legal.hex: 0 or 1 per byte; values.hex: left and right value of each byte, 16-bit two's complement. Run where they lie.

module decoder_tb;
  reg legal[0:255];
  reg signed [15:0] values[0:511];
  reg [6:0] operands[0:511];

  reg [7:0] pair;
  wire [6:0] left, right;
  ovp4_decoder decoder (.pair(pair), .left(left), .right(right));

  reg [6:0] act, weight;
  wire signed [31:0] product;
  exponent_integer_product multiply (.act(act), .weight(weight), .product(product));

  integer bytes = 0, products = 0, errors = 0;
  integer i, j;

  function signed [31:0] value(input [6:0] operand);
    reg signed [31:0] integer_part;
    begin
      integer_part = $signed(operand[3:0]);
      value = integer_part <<< operand[6:4];
    end
  endfunction

  task compare(input [7:0] packed_pair, input [6:0] operand, input signed [15:0] expected);
    if (value(operand) !== expected) begin
      errors = errors + 1;
      $display("byte %h: operand %b is %0d, the format says %0d", packed_pair, operand, value(operand), expected);
    end
  endtask

  initial begin
    $readmemh("legal.hex", legal);
    $readmemh("values.hex", values);
    for (i = 0; i < 256; i = i + 1) begin
      pair = i;
      #1;
      operands[2*i]   = left;
      operands[2*i+1] = right;
      if (legal[i] === 1'b1) begin
        bytes = bytes + 1;
        compare(i, left, values[2*i]);
        compare(i, right, values[2*i+1]);
      end
    end
    for (i = 0; i < 512; i = i + 1)
      for (j = 0; j < 512; j = j + 1)
        if (legal[i/2] === 1'b1 && legal[j/2] === 1'b1) begin
          act = operands[i];
          weight = operands[j];
          #1;
          products = products + 1;
          if (product !== values[i] * values[j]) begin
            errors = errors + 1;
            $display("%0d * %0d: found %0d", values[i], values[j], product);
          end
        end
    if (errors == 0) $display("PASS: %0d bytes, %0d products", bytes, products);
    else $display("FAIL: %0d errors", errors);
    $finish(0);
  end
endmodule
