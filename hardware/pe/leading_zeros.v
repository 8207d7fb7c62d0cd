// Number of zeros above the first one of x, and W for x = 0, by halving.
module leading_zeros #(parameter W = 24, parameter C = 5) (input [W-1:0] x, output reg [C-1:0] count);
    // Padded below with ones to a power of two, so that x = 0 counts W.
    wire [(1<<C)-1:0] padded = {x, {((1<<C)-W){1'b1}}};
    reg [(1<<C)-1:0] rest;
    integer level;
    always @* begin
        rest = padded;
        count = 0;
        for (level = C - 1; level >= 0; level = level - 1)
            if ((rest >> ((1<<C) - (1<<level))) == 0) begin
                count[level] = 1'b1;
                rest = rest << (1<<level);
            end
    end
endmodule
