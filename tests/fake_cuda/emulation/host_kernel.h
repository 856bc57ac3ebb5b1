// What a shared library of host-built kernels exports for every kernel, as `host_kernel_NAME`.
#pragma once
#include <cstddef>

struct HostKernel {
    int parameters;                // how many
    std::size_t bytes;             // of the packed parameter buffer, laid out as the CUDA driver does
    const std::size_t *offsets;    // of each parameter in that buffer
    const std::size_t *sizes;      // of each parameter
    // Runs the whole grid; a KernelFault.
    int (*run)(const unsigned grid[3], const unsigned block[3], std::size_t shared_bytes, const char *arguments);
};

// A library whose kernels end loops also exports a variable `host_set_condition` of this type: what is called in the
// place of cudaGraphSetConditional.
using SetCondition = void (*)(unsigned long long handle, unsigned value);

enum KernelFault { none, divergent_barriers, shared_memory_overrun, access_outside_memory, undefined_behaviour };
