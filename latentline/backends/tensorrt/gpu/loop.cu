// The end of an iteration of a search that is one loop of the captured graph. A file of its own, because a driver before
// CUDA 12.4 cannot load it, and an older NVRTC cannot compile it. The driver gives cudaGraphSetConditional when it loads
// the kernel.

extern "C" __device__ void cudaGraphSetConditional(unsigned long long condition, unsigned value);

// Counts the iteration that ends, and lets the loop go on while there are more. For one thread.
extern "C" __global__ void next_iteration(int *iteration, int iterations, unsigned long long condition) {
    const int next = *iteration + 1;
    *iteration = next;
    cudaGraphSetConditional(condition, next < iterations);
}
