// One kernel for each fault that no kernel may have. For tests only.
extern __shared__ float scratch[];

extern "C" __global__ void divergent_barriers(float *out) {
    if (threadIdx.x < 5) __syncthreads();
    else
        __syncthreads();
    out[threadIdx.x] = 1.0f;
}
extern "C" __global__ void early_return(float *out) {
    if (threadIdx.x == 3) return;
    __syncthreads();
    out[threadIdx.x] = 1.0f;
}
extern "C" __global__ void partial_shuffle(float *out) {
    if (threadIdx.x % 2 == 0) out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}
extern "C" __global__ void missing_barrier(float *out) {
    scratch[threadIdx.x] = 1.0f;
    out[threadIdx.x] = scratch[threadIdx.x ^ 33] + __shfl_xor_sync(0xffffffffu, 1.0f, 1);
}
extern "C" __global__ void shared_overrun(float *out) {
    scratch[threadIdx.x + 1] = 1.0f;
    out[threadIdx.x] = scratch[0];
}
extern "C" __global__ void write_behind(float *out) { out[threadIdx.x + 1] = 1.0f; }
extern "C" __global__ void write_before(float *out) { *(out + threadIdx.x - 1) = 1.0f; }
extern "C" __global__ void misaligned_vector(float4 *out) { out[threadIdx.x] = make_float4(1, 1, 1, 1); }
extern "C" __global__ void overflow(float *out, int n) { out[threadIdx.x] = n + static_cast<int>(threadIdx.x); }

// A correct kernel: each thread reads its neighbour's number by a shuffle, and another thread's by shared memory.
extern "C" __global__ void well_behaved(char pad, float *out) {
    const float neighbour = __shfl_xor_sync(0xffffffffu, static_cast<float>(threadIdx.x), 1);
    scratch[threadIdx.x] = neighbour;
    __syncthreads();
    out[blockIdx.x * blockDim.x + threadIdx.x] = scratch[threadIdx.x ^ 32] + blockIdx.x + pad;
}
