// What matrix instructions of sm_90a give, bit for bit. Operands are bytes along K: A (rows, steps * 32), W (8, steps * 32).
// Sums C and D are (rows, 8) words of 32 bits (FP16 sums: the low half). One warp (16 rows) or warpgroup (64) per product.
#include <cuda_runtime.h>

#include "instructions.cuh"

constexpr int STEP = 32;   // bytes of one row of operands that an instruction takes
constexpr int COLUMNS = 8;

template <typename Sum> __device__ Sum as_sum(uint32_t bits);
template <> __device__ float as_sum<float>(uint32_t bits) { return __uint_as_float(bits); }
template <> __device__ uint32_t as_sum<uint32_t>(uint32_t bits) { return bits; }
__device__ uint32_t as_bits(float x) { return __float_as_uint(x); }
__device__ uint32_t as_bits(uint32_t x) { return x; }

// Sums of a thread: columns 2t and 2t + 1 of rows g and g + 8 of its warp's 16; FP16 sums two in a register.
template <typename Sum, int sums> __device__ void load(Sum (&d)[sums], const uint32_t* c, int row, int column) {
    for (int half = 0; half < 2; half++) {
        const uint32_t* pair = c + (row + 8 * half) * COLUMNS + column;
        if (sums == 2) d[half] = as_sum<Sum>(pair[0] | pair[1] << 16);
        else for (int i = 0; i < 2; i++) d[(2 * half + i) % sums] = as_sum<Sum>(pair[i]);
    }
}

template <typename Sum, int sums> __device__ void store(const Sum (&d)[sums], uint32_t* out, int row, int column) {
    for (int half = 0; half < 2; half++) {
        uint32_t* pair = out + (row + 8 * half) * COLUMNS + column;
        if (sums == 2) pair[0] = as_bits(d[half]) & 0xFFFF, pair[1] = as_bits(d[half]) >> 16;
        else for (int i = 0; i < 2; i++) pair[i] = as_bits(d[(2 * half + i) % sums]);
    }
}

template <Kind kind> __global__ void narrow(const uint8_t* a, const uint8_t* w, const uint32_t* c, uint32_t* out, int steps) {
    using Instruction = Mma<kind>;
    const int g = threadIdx.x / 4, t = threadIdx.x % 4, row_bytes = steps * STEP;
    a += size_t(blockIdx.x) * 16 * row_bytes;
    w += size_t(blockIdx.x) * COLUMNS * row_bytes;
    c += blockIdx.x * 16 * COLUMNS;
    out += blockIdx.x * 16 * COLUMNS;
    typename Instruction::Sum d[Instruction::sums];
    load(d, c, g, 2 * t);
    for (int step = 0; step < steps; step++) {
        uint32_t left[4], right[2];
        for (int i = 0; i < 4; i++)
            left[i] = *(const uint32_t*)(a + (g + i % 2 * 8) * row_bytes + step * STEP + i / 2 * 16 + 4 * t);
        for (int i = 0; i < 2; i++) right[i] = *(const uint32_t*)(w + g * row_bytes + step * STEP + i * 16 + 4 * t);
        Instruction::run(d, left, right);
    }
    store(d, out, g, 2 * t);
}

// Both operands lie as 8 rows x 16 bytes, 128 bytes in a row; the next 16 bytes along K, then the next 8 rows follow.
__device__ uint64_t descriptor(const void* shared, bool swapped) {
    const uint64_t address = __cvta_generic_to_shared(shared), along_k = 128, along_rows = 256;
    const uint64_t leading = swapped ? along_rows : along_k, stride = swapped ? along_k : along_rows;
    return (address & 0x3FFFF) >> 4 | leading >> 4 << 16 | stride >> 4 << 32;
}

__device__ void stage(uint8_t* shared, const uint8_t* rows, int count, int row_bytes) {
    for (int i = threadIdx.x; i < count * 2; i += blockDim.x) {
        const int row = i / 2, chunk = i % 2;
        *(uint4*)(shared + row / 8 * 256 + chunk * 128 + row % 8 * 16) = *(const uint4*)(rows + row * row_bytes + chunk * 16);
    }
}

template <Kind kind>
__global__ void wide(const uint8_t* a, const uint8_t* w, const uint32_t* c, uint32_t* out, int steps, bool swapped) {
    using Instruction = Wgmma<kind, COLUMNS>;
    __shared__ alignas(1024) uint8_t left[64 * STEP], right[COLUMNS * STEP];
    const int row_bytes = steps * STEP, row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4, column = threadIdx.x % 4 * 2;
    a += size_t(blockIdx.x) * 64 * row_bytes;
    w += size_t(blockIdx.x) * COLUMNS * row_bytes;
    c += blockIdx.x * 64 * COLUMNS;
    out += blockIdx.x * 64 * COLUMNS;
    typename Instruction::Sum d[Instruction::sums];
    load(d, c, row, column);
    for (int step = 0; step < steps; step++) {
        stage(left, a + step * STEP, 64, row_bytes);
        stage(right, w + step * STEP, COLUMNS, row_bytes);
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
        __syncthreads();
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
        Instruction::run(d, descriptor(left, swapped), descriptor(right, swapped));
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
        asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
        __syncthreads();
    }
    store(d, out, row, column);
}

struct Request {
    const uint8_t *a, *w;
    const uint32_t* c;
    uint32_t* out;
    int count, steps;
    bool swapped;
};

template <Kind kind> void launch(const Request& r, bool of_warpgroup) {
    if (of_warpgroup) wide<kind><<<r.count, 128>>>(r.a, r.w, r.c, r.out, r.steps, r.swapped);
    else narrow<kind><<<r.count, 32>>>(r.a, r.w, r.c, r.out, r.steps);
}

using Launch = void (*)(const Request&, bool);
constexpr Launch LAUNCHES[kinds] = {launch<f16_f32>, launch<f16_f16>, launch<bf16_f32>, launch<tf32_f32>,
                                    launch<s8_s32>,  launch<e4m3_f32>, launch<e5m2_f32>};

// ``count`` products; 0, or the CUDA error.
extern "C" int products(int kind, int of_warpgroup, int count, int steps, int swapped, const void* a, const void* w,
                        const void* c, void* out) {
    const size_t rows = size_t(count) * (of_warpgroup ? 64 : 16), a_bytes = rows * steps * STEP;
    const size_t w_bytes = size_t(count) * COLUMNS * steps * STEP, c_bytes = rows * COLUMNS * 4;
    uint8_t* device = nullptr;
    if (cudaError_t error = cudaMalloc(&device, a_bytes + w_bytes + 2 * c_bytes)) return error;
    uint8_t *left = device, *right = left + a_bytes, *before = right + w_bytes, *after = before + c_bytes;
    cudaMemcpy(left, a, a_bytes, cudaMemcpyHostToDevice);
    cudaMemcpy(right, w, w_bytes, cudaMemcpyHostToDevice);
    cudaMemcpy(before, c, c_bytes, cudaMemcpyHostToDevice);
    cudaMemset(after, 0xA5, c_bytes);
    LAUNCHES[kind]({left, right, (const uint32_t*)before, (uint32_t*)after, count, steps, swapped != 0}, of_warpgroup);
    cudaError_t error = cudaGetLastError();
    if (!error) error = cudaMemcpy(out, after, c_bytes, cudaMemcpyDeviceToHost);
    cudaFree(device);
    return error;
}

extern "C" const char* error_text(int error) { return cudaGetErrorString(cudaError_t(error)); }
