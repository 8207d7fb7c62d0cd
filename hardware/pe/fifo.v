// FIFO of D words of W bits, one push and one pop per cycle; D is a power of two. The caller never overfills it.
// A word moves in with `push` and out with `pop`; `head` is the oldest word. P: bits of a pointer.
module fifo #(parameter D = 4, parameter P = 2, parameter W = 32) (
    input clk, input reset, input push, input pop, input [W-1:0] in, output [W-1:0] head, output [P:0] count
);
    reg [W-1:0] words [0:D-1];
    reg [P:0] write, read;
    assign head = words[read[P-1:0]];
    assign count = write - read;
    always @(posedge clk) begin
        if (push) words[write[P-1:0]] <= in;
        write <= reset ? 0 : write + push;
        read <= reset ? 0 : read + pop;
    end
endmodule
