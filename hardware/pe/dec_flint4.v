// Signed flint4 (ANT, MICRO 2022) to exponent and integer: sign, then ANT's first-one coding of the magnitude,
// 000 001 010 011 100 101 110 111 = 0 1 2 3 16 8 4 6. value = integer << exponent; integer is two's complement.
// REG: with an output register.
module dec_flint4 #(parameter REG = 0) (input clk, input [3:0] code, output [3:0] exponent, output [3:0] integer_part);
    // 1xx: the first one below the leading bit gives the exponent; 16 = 1 << 4, 8 = 1 << 3, 4 = 2 << 1, 6 = 3 << 1.
    wire [3:0] exp = !code[2] ? 4'd0 : code[1] ? 4'd1 : code[0] ? 4'd3 : 4'd4;
    wire [2:0] magnitude = !code[2] ? {1'b0, code[1:0]} : code[1] ? {2'b01, code[0]} : 3'd1;
    wire [3:0] value = code[3] ? -{1'b0, magnitude} : {1'b0, magnitude};
    generate
        if (REG) begin : registered
            reg [7:0] held;
            always @(posedge clk) held <= {exp, value};
            assign {exponent, integer_part} = held;
        end else begin : plain
            assign {exponent, integer_part} = {exp, value};
        end
    endgenerate
endmodule
