// GOBO decompressor between DRAM and chip: index of a weight to its FP16 centroid, or the outlier in its place; one
// value per cycle into an output register. The dictionary of N centroids is loaded once per layer. I: bits of an index.
module dec_gobo #(parameter N = 16, parameter I = 4) (
    input clk, input load, input [I-1:0] index, input is_outlier, input [15:0] outlier, output reg [15:0] value
);
    reg [15:0] centroids [0:N-1];
    always @(posedge clk) begin
        if (load) centroids[index] <= outlier;
        value <= is_outlier ? outlier : centroids[index];
    end
endmodule
