// Magnitude of an FP8 code as an exponent field at bias 15 and an integer significand with 3 fraction bits.
// E4M3 has bias 7 (8 is added), E5M2 a mantissa of 2 bits (a zero is appended); an exponent field of 0 is subnormal.
module fp8_fields (input e5m2, input [6:0] code, output [4:0] exponent, output [3:0] significand);
    wire subnormal = e5m2 ? code[6:2] == 0 : code[6:3] == 0;
    wire [4:0] field = e5m2 ? code[6:2] : {1'b0, code[6:3]};
    assign exponent = (subnormal ? 5'd1 : field) + (e5m2 ? 5'd0 : 5'd8);
    assign significand = {!subnormal, e5m2 ? {code[1:0], 1'b0} : code[2:0]};
endmodule
