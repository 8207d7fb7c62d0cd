// Drives the output-stationary array of tests/rtl as Verilator compiles it: a GEMM fold by fold, every result stored.
//
//   sim M N K act.bin weight.bin out.bin     int8 (M, K) and (N, K) row by row in; int32 (M, N) out
//
// Prints cycles, counted as the contract does, and the CPU seconds of the loop alone.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "Vos_array.h"
#include "verilated.h"

static std::vector<int8_t> read(const char* path, size_t size) {
  std::vector<int8_t> bytes(size);
  FILE* file = fopen(path, "rb");
  if (!file || fread(bytes.data(), 1, size, file) != size) exit(2);
  fclose(file);
  return bytes;
}

static double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec + 1e-9 * now.tv_nsec;
}

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  const long M = atol(argv[1]), N = atol(argv[2]), K = atol(argv[3]);
  const std::vector<int8_t> act = read(argv[4], M * K), weight = read(argv[5], N * K);
  std::vector<int32_t> result(M * N);
  const long row_blocks = (M + ROWS - 1) / ROWS, col_blocks = (N + COLS - 1) / COLS;
  const long folds = row_blocks * col_blocks, period = K > ROWS ? K : ROWS, total = folds * ROWS * COLS;

  Vos_array* array = new Vos_array;
  int8_t* act_port = reinterpret_cast<int8_t*>(&array->act);
  int8_t* weight_port = reinterpret_cast<int8_t*>(&array->weight);
  const int32_t* out_port = reinterpret_cast<const int32_t*>(&array->out);
  array->rst = 1;
  for (int i = 0; i < 4; i++) array->clk = i & 1, array->eval();
  array->rst = 0;

  std::vector<long> left(COLS, 0);
  long cycle = 0, done = 0, fold = 0, k = 0;
  const double start = cpu_seconds();
  while (done < total) {
    const bool valid = fold < folds && k < K;
    array->valid = valid;
    array->first = k == 0;
    array->last = k == K - 1;
    if (valid) {
      const long m = fold / col_blocks * ROWS, n = fold % col_blocks * COLS;
      for (int r = 0; r < ROWS; r++) act_port[r] = m + r < M ? act[(m + r) * K + k] : 0;
      for (int c = 0; c < COLS; c++) weight_port[c] = n + c < N ? weight[(n + c) * K + k] : 0;
    }
    if (++k == period) k = 0, fold++;
    array->clk = 0;
    array->eval();
    cycle++;
    for (int c = 0; c < COLS; c++) {
      if (!(array->out_valid >> c & 1)) continue;
      const long f = left[c] / ROWS, position = left[c] % ROWS;
      const long m = f / col_blocks * ROWS + ROWS - 1 - position, n = f % col_blocks * COLS + c;
      if (m < M && n < N) result[m * N + n] = out_port[c];
      left[c]++;
      done++;
    }
    array->clk = 1;
    array->eval();
  }
  const double seconds = cpu_seconds() - start;
  FILE* file = fopen(argv[6], "wb");
  if (!file || fwrite(result.data(), sizeof(int32_t), M * N, file) != size_t(M * N)) return 2;
  fclose(file);
  printf("%ld %.9f\n", cycle, seconds);
}
