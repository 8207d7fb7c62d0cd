// One lane of the pass that finds outlier columns (LLM.int8(), NeurIPS 2022): |x| >= threshold, and the largest
// magnitude so far of those below it. FP16 magnitudes order as their bits do. `clear` starts a new row.
module scan_fp16 (
    input clk, input clear, input [15:0] x, input [14:0] threshold, output reg outlier, output reg [14:0] largest
);
    wire over = x[14:0] >= threshold;
    wire [14:0] kept = clear ? 15'b0 : largest;
    always @(posedge clk) begin
        outlier <= over;
        if (clear | !over & x[14:0] > kept) largest <= over ? kept : x[14:0] > kept ? x[14:0] : kept;
    end
endmodule
