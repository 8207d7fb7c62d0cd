// Latencies and rates of one multiprocessor and of the memories: a line of JSON per result on standard output.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "instructions.cuh"

void check(cudaError_t error, const char* what) {
    if (!error) return;
    printf("{\"test\": \"%s\", \"error\": \"%s\"}\n", what, cudaGetErrorString(error));
    exit(1);
}

int multiprocessors() {
    int count;
    check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, 0), "multiprocessors");
    return count;
}

template <typename T> struct Buffer {
    T* data = nullptr;
    size_t count;
    explicit Buffer(size_t count) : count(count) {
        check(cudaMalloc(&data, count * sizeof(T)), "cudaMalloc");
        check(cudaMemset(data, 0, count * sizeof(T)), "cudaMemset");
    }
    ~Buffer() { cudaFree(data); }
    std::vector<T> host() const {
        std::vector<T> values(count);
        check(cudaMemcpy(values.data(), data, count * sizeof(T), cudaMemcpyDeviceToHost), "cudaMemcpy");
        return values;
    }
};

// Least milliseconds of several runs.
template <typename Run> float best_ms(Run run, int times = 5) {
    cudaEvent_t begin, end;
    cudaEventCreate(&begin), cudaEventCreate(&end);
    float best = 1e30f;
    for (int i = 0; i < times; i++) {
        cudaEventRecord(begin), run(), cudaEventRecord(end);
        check(cudaEventSynchronize(end), "a timed kernel");
        float ms;
        cudaEventElapsedTime(&ms, begin, end);
        best = std::min(best, ms);
    }
    cudaEventDestroy(begin), cudaEventDestroy(end);
    return best;
}

__device__ uint32_t folded(float x) { return __float_as_uint(x); }
__device__ uint32_t folded(uint32_t x) { return x; }

// ---- mma.sync: `chains` independent sums per warp, each of 16 rounds x `rounds` dependent instructions
template <Kind kind, int chains> __global__ void mma_chain(long long* cycles, uint32_t* sink, int rounds) {
    using Instruction = Mma<kind>;
    typename Instruction::Sum d[chains][Instruction::sums] = {};
    uint32_t a[4] = {threadIdx.x, 0, 0, 0}, b[2] = {0, threadIdx.x};
    long long begin = 0;
    for (int pass = 0; pass < 2; pass++) {   // the first one fetches the instructions
        __syncthreads();
        begin = clock64();
        for (int round = 0; round < rounds; round++)
#pragma unroll
            for (int i = 0; i < 16; i++)
#pragma unroll
                for (int chain = 0; chain < chains; chain++) Instruction::run(d[chain], a, b);
        uint32_t all = 0;
        for (int chain = 0; chain < chains; chain++) for (auto x : d[chain]) all ^= folded(x);
        sink[threadIdx.x] = all;   // waits for the last sums
    }
    const long long end = clock64();
    atomicMin(&cycles[0], begin), atomicMax(&cycles[1], end);
}

template <Kind kind, int chains> void mma_test(const char* name) {
    Buffer<uint32_t> sink(1024);
    for (int warps : {1, 2, 4, 8, 16}) {
        const int rounds = 64;
        long long cycles[2] = {1ll << 62, 0}, *device;
        check(cudaMalloc(&device, sizeof cycles), "mma");
        cudaMemcpy(device, cycles, sizeof cycles, cudaMemcpyHostToDevice);
        mma_chain<kind, chains><<<1, 32 * warps>>>(device, sink.data, rounds);
        check(cudaMemcpy(cycles, device, sizeof cycles, cudaMemcpyDeviceToHost), name);
        cudaFree(device);
        const double per_warp = double(cycles[1] - cycles[0]) / (16.0 * rounds * chains);
        printf("{\"test\": \"mma\", \"kind\": \"%s\", \"chains\": %d, \"warps\": %d, \"cycles_per_instruction_of_a_warp\": %.4f, "
               "\"cycles_per_dependent_instruction\": %.4f}\n", name, chains, warps, per_warp, per_warp * chains);
    }
}

template <Kind kind> void mma_tests(const char* name) {
    mma_test<kind, 1>(name), mma_test<kind, 2>(name), mma_test<kind, 4>(name);
}

// ---- wgmma: a batch of `count` instructions on the same sums, committed and waited for
__device__ uint64_t descriptor(const void* shared) {   // no swizzle: 128 bytes to the next 16 along K, 256 to the next 8 rows
    const uint64_t address = __cvta_generic_to_shared(shared);
    return (address & 0x3FFFF) >> 4 | 128ull >> 4 << 16 | 256ull >> 4 << 32;
}

constexpr int BATCHES = 8;   // of 1, 2, 4 ... 128 instructions

template <Kind kind, int columns, int groups, bool held>
__global__ void __launch_bounds__(128 * groups) wgmma_batches(long long* begins, long long* ends, uint32_t* sink) {
    using Instruction = Wgmma<kind, columns>;
    __shared__ alignas(1024) uint8_t left[groups][64 * 32], right[columns * 32];
    const int group = threadIdx.x / 128;
    for (int i = threadIdx.x; i < int(sizeof left); i += blockDim.x) left[0][i] = 0;
    for (int i = threadIdx.x; i < int(sizeof right); i += blockDim.x) right[i] = 0;
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    typename Instruction::Sum d[Instruction::sums] = {};
    uint32_t a[4] = {};
    const uint64_t left_at = descriptor(left[group]), right_at = descriptor(right);
    for (int pass = 0; pass < 2; pass++) {   // the first one fetches the instructions
        for (int batch = 0; batch < BATCHES; batch++) {
            __syncthreads();
            const long long begin = clock64();
            asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
            for (int i = 0; i < 1 << batch; i++) {
                if constexpr (held) Instruction::run(d, a, right_at);
                else Instruction::run(d, left_at, right_at);
            }
            asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
            asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
            const long long end = clock64();
            if (threadIdx.x % 128 == 0) begins[group * BATCHES + batch] = begin, ends[group * BATCHES + batch] = end;
        }
    }
    uint32_t all = 0;
    for (auto x : d) all ^= folded(x);
    sink[threadIdx.x] = all;
}

template <Kind kind, int columns, int groups, bool held> void wgmma_test(const char* name) {
    Buffer<long long> begins(groups * BATCHES), ends(groups * BATCHES);
    Buffer<uint32_t> sink(1024);
    wgmma_batches<kind, columns, groups, held><<<1, 128 * groups>>>(begins.data, ends.data, sink.data);
    check(cudaDeviceSynchronize(), name);
    const auto first = begins.host(), last = ends.host();
    printf("{\"test\": \"wgmma\", \"kind\": \"%s\", \"columns\": %d, \"warpgroups\": %d, \"a_from\": \"%s\", \"cycles_of_batches\": [",
           name, columns, groups, held ? "registers" : "shared");
    for (int batch = 0; batch < BATCHES; batch++) {
        long long begin = 1ll << 62, end = 0;
        for (int g = 0; g < groups; g++) {
            begin = std::min(begin, first[g * BATCHES + batch]);
            end = std::max(end, last[g * BATCHES + batch]);
        }
        printf("%s%lld", batch ? ", " : "", end - begin);
    }
    printf("]}\n");
}

template <Kind kind, int columns, bool held> void wgmma_groups(const char* name) {
    wgmma_test<kind, columns, 1, held>(name), wgmma_test<kind, columns, 2, held>(name);
    if constexpr (columns <= 64) wgmma_test<kind, columns, 4, held>(name);
}

template <Kind kind, bool held> void wgmma_tests(const char* name) {
    wgmma_groups<kind, 8, held>(name), wgmma_groups<kind, 16, held>(name), wgmma_groups<kind, 32, held>(name);
    wgmma_groups<kind, 64, held>(name), wgmma_groups<kind, 128, held>(name), wgmma_groups<kind, 256, held>(name);
}

// ---- latencies of memories
__global__ void chase(const uint32_t* next, uint32_t start, int warm_steps, int steps, bool through_l1, long long* cycles, uint32_t* sink) {
    uint32_t at = start;
    for (int i = 0; i < warm_steps; i++) at = through_l1 ? __ldca(next + at) : __ldcg(next + at);
    const long long begin = clock64();
    for (int i = 0; i < steps; i++) at = through_l1 ? __ldca(next + at) : __ldcg(next + at);
    *sink = at;
    *cycles = clock64() - begin;
}

void chase_test(size_t bytes, bool through_l1) {   // a random cycle through lines of 128 bytes
    const size_t lines = bytes / 128;
    std::vector<uint32_t> order(lines), next(lines * 32);
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin() + 1, order.end(), std::mt19937(1));
    for (size_t i = 0; i < lines; i++) next[size_t(order[i]) * 32] = order[(i + 1) % lines] * 32;
    Buffer<uint32_t> device(next.size()), sink(1);
    Buffer<long long> cycles(1);
    check(cudaMemcpy(device.data, next.data(), bytes, cudaMemcpyHostToDevice), "chase");
    const int steps = int(std::min<size_t>(std::max<size_t>(lines, 4096), 1 << 15));
    const int warm = bytes <= (64u << 20) ? int(lines) : 4096;
    chase<<<1, 1>>>(device.data, 0, warm, steps, through_l1, cycles.data, sink.data);
    check(cudaDeviceSynchronize(), "chase");
    printf("{\"test\": \"latency\", \"bytes\": %zu, \"through_l1\": %s, \"cycles\": %.3f}\n", bytes, through_l1 ? "true" : "false",
           double(cycles.host()[0]) / steps);
}

__global__ void shared_latency(long long* out, uint32_t* sink) {
    __shared__ uint32_t next[1024];
    for (int i = 0; i < 1024; i++) next[i] = (i + 33) % 1024;
    uint32_t at = 0;
    long long begin = 0;
    for (int pass = 0; pass < 2; pass++) {
        begin = clock64();
#pragma unroll 16
        for (int i = 0; i < 1024; i++) at = next[at];
        *sink = at;
    }
    *out = clock64() - begin;
}

__global__ void barriers(long long* out) {
    long long begin = 0;
    for (int pass = 0; pass < 2; pass++) {
        __syncthreads();
        begin = clock64();
#pragma unroll 16
        for (int i = 0; i < 1024; i++) __syncthreads();
    }
    if (!threadIdx.x) *out = clock64() - begin;
}

__global__ void shared_rate(long long* out, uint32_t* sink) {   // 16 bytes per thread, no two words in one bank twice
    __shared__ uint4 data[1024];
    data[threadIdx.x] = make_uint4(threadIdx.x, 0, 0, 0);
    uint32_t all = 0;
    long long begin = 0;
    for (int pass = 0; pass < 2; pass++) {
        __syncthreads();
        begin = clock64();
#pragma unroll 16
        for (int i = 0; i < 1024; i++) {
            uint32_t x, y, z, w;
            const uint32_t at = __cvta_generic_to_shared(data + (threadIdx.x + i * 32) % 1024);
            asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(x), "=r"(y), "=r"(z), "=r"(w) : "r"(at));
            all += x ^ y ^ z ^ w;
        }
        __syncthreads();
    }
    sink[threadIdx.x] = all;
    if (!threadIdx.x) *out = clock64() - begin;
}

template <bool special> __global__ void lanes(long long* out, float* sink, float by) {
    float x[8];
    for (int i = 0; i < 8; i++) x[i] = threadIdx.x + i;
    long long begin = 0;
    for (int pass = 0; pass < 2; pass++) {
        __syncthreads();
        begin = clock64();
        for (int i = 0; i < 128; i++)
#pragma unroll
            for (int j = 0; j < 8; j++) {
                if (special) asm volatile("ex2.approx.ftz.f32 %0, %0;" : "+f"(x[j]));
                else asm volatile("fma.rn.f32 %0, %0, %1, %1;" : "+f"(x[j]) : "f"(by));
            }
        __syncthreads();
    }
    float all = 0;
    for (float v : x) all += v;
    sink[threadIdx.x] = all;
    if (!threadIdx.x) *out = clock64() - begin;
}

void one(const char* name, const char* field, double value, int threads) {
    printf("{\"test\": \"%s\", \"threads\": %d, \"%s\": %.4f}\n", name, threads, field, value);
}

void multiprocessor_tests() {
    Buffer<long long> cycles(1);
    Buffer<uint32_t> sink(1024);
    Buffer<float> floats(1024);
    auto read = [&](const char* what) { check(cudaDeviceSynchronize(), what); return double(cycles.host()[0]); };
    shared_latency<<<1, 1>>>(cycles.data, sink.data);
    one("shared_latency", "cycles", read("shared_latency") / 1024, 1);
    for (int threads : {32, 128, 256, 384, 512, 1024}) {
        barriers<<<1, threads>>>(cycles.data);
        one("barrier", "cycles", read("barrier") / 1024, threads);
    }
    shared_rate<<<1, 1024>>>(cycles.data, sink.data);
    one("shared_rate", "bytes_per_cycle", 1024.0 * 1024 * 16 / read("shared_rate"), 1024);
    lanes<false><<<1, 1024>>>(cycles.data, floats.data, 0.5f);
    one("fp32_fma", "per_cycle", 1024.0 * 1024 / read("fp32_fma"), 1024);
    lanes<true><<<1, 1024>>>(cycles.data, floats.data, 0.5f);
    one("ex2", "per_cycle", 1024.0 * 1024 / read("ex2"), 1024);
}

// ---- rates of memories: one block of 1024 threads on each of some multiprocessors
__device__ uint4 operator^(uint4 a, uint4 b) { return make_uint4(a.x ^ b.x, a.y ^ b.y, a.z ^ b.z, a.w ^ b.w); }

__global__ void __launch_bounds__(1024) read_all(const uint4* data, size_t count, int repeats, uint32_t* sink) {
    uint4 all = make_uint4(0, 0, 0, 0);
    const size_t stride = size_t(gridDim.x) * blockDim.x;
    for (int repeat = 0; repeat < repeats; repeat++) {   // another multiprocessor's lines each time: none are in L1 anyway
        const size_t shift = (blockIdx.x + repeat) % gridDim.x * blockDim.x + threadIdx.x;
#pragma unroll 8
        for (size_t i = shift; i < count; i += stride) all = all ^ __ldcg(data + i);
    }
    if ((all.x ^ all.y ^ all.z ^ all.w) == 0x12345) *sink = 1;
}

__global__ void __launch_bounds__(1024) write_all(uint4* data, size_t count) {
    for (size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += size_t(gridDim.x) * blockDim.x)
        data[i] = make_uint4(i, 1, 2, 3);
}

__global__ void __launch_bounds__(1024) copy_all(uint4* to, const uint4* from, size_t count) {
    const size_t stride = size_t(gridDim.x) * blockDim.x;
#pragma unroll 4
    for (size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) to[i] = from[i];
}

void rate(const char* name, size_t bytes, int blocks, double moved, float ms) {
    printf("{\"test\": \"%s\", \"bytes\": %zu, \"blocks\": %d, \"gb_s\": %.2f, \"ms\": %.5f}\n", name, bytes, blocks, moved / ms / 1e6, ms);
}

void memory_rates() {
    const size_t most = 2ull << 30;
    Buffer<uint4> data(most / 16), other(most / 16);
    Buffer<uint32_t> sink(1);
    const int sms = multiprocessors();
    const int alone = 120 << 10;   // shared memory that keeps a second block off a multiprocessor
    check(cudaFuncSetAttribute(read_all, cudaFuncAttributeMaxDynamicSharedMemorySize, alone), "read");
    auto read = [&](size_t bytes, int blocks, int repeats) {
        const float ms = best_ms([&] { read_all<<<blocks, 1024, alone>>>(data.data, bytes / 16, repeats, sink.data); });
        rate("read", bytes, blocks, double(bytes) * repeats, ms);
    };
    for (int blocks : {1, 2, 8, 33, 66, sms}) read(8 << 20, blocks, std::max(2, blocks));
    for (size_t mib : {1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 56, 64, 96, 128, 512, 2048})
        read(mib << 20, sms, mib < 512 ? int(4096 / mib) : 2);
    for (int blocks : {sms, 2 * sms, 8 * sms}) {
        rate("write", most, blocks, most, best_ms([&] { write_all<<<blocks, 1024>>>(data.data, most / 16); }));
        rate("copy", most, blocks, 2.0 * most, best_ms([&] { copy_all<<<blocks, 1024>>>(other.data, data.data, most / 16); }));
    }
}

void latency_tests() {
    for (size_t kib : {8, 32, 128}) chase_test(kib << 10, true);
    for (size_t kib : {8, 128}) chase_test(kib << 10, false);
    for (size_t mib : {1, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 128, 512}) chase_test(mib << 20, false);
}

// ---- launches
__global__ void nothing() {}

void launch_tests() {
    const int count = 1000;
    cudaStream_t stream;
    check(cudaStreamCreate(&stream), "launch");
    const float stream_ms = best_ms([&] { for (int i = 0; i < count; i++) nothing<<<1, 32>>>(); });
    one("launch_stream", "us", 1e3 * stream_ms / count, 32);
    for (int blocks : {1, 132, 1056}) {
        cudaGraph_t graph;
        cudaGraphExec_t exec;
        cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal);
        for (int i = 0; i < count; i++) nothing<<<blocks, 128, 0, stream>>>();
        check(cudaStreamEndCapture(stream, &graph), "graph");
        check(cudaGraphInstantiate(&exec, graph, 0), "graph");
        const float ms = best_ms([&] { cudaGraphLaunch(exec, cudaStreamLegacy); });
        printf("{\"test\": \"launch_graph\", \"blocks\": %d, \"us\": %.4f}\n", blocks, 1e3 * ms / count);
    }
    const float one_ms = best_ms([&] { nothing<<<1, 32>>>(); }, 50);
    one("launch_one_between_events", "us", 1e3 * one_ms, 32);
    one("no_launch_between_events", "us", 1e3 * best_ms([] {}, 50), 32);
}

int main(int count, char** names) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    const char* test = count > 1 ? names[1] : "";
    if (!strcmp(test, "mma")) {
        mma_tests<f16_f32>("f16_f32"), mma_tests<f16_f16>("f16_f16"), mma_tests<tf32_f32>("tf32_f32");
        mma_tests<s8_s32>("s8_s32"), mma_tests<e4m3_f32>("e4m3_f32");
    } else if (!strcmp(test, "wgmma")) {
        wgmma_tests<f16_f32, false>("f16_f32"), wgmma_tests<f16_f32, true>("f16_f32");
        wgmma_tests<s8_s32, false>("s8_s32"), wgmma_tests<e4m3_f32, false>("e4m3_f32");
    } else if (!strcmp(test, "multiprocessor")) multiprocessor_tests();
    else if (!strcmp(test, "latency")) latency_tests();
    else if (!strcmp(test, "rates")) memory_rates();
    else if (!strcmp(test, "launch")) launch_tests();
    else return 2;
}
