// Two's complement adder of W bits, carry dropped; no register.
module add_int #(parameter W = 32) (input [W-1:0] a, input [W-1:0] b, output [W-1:0] sum);
    assign sum = a + b;
endmodule
