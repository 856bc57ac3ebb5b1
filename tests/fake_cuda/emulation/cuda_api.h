// cuda.h with its functions visible outside the library, and the word that starts the definition of one of them.
#pragma once
#pragma GCC visibility push(default)
#include <cuda.h>
#pragma GCC visibility pop

#if CUDA_VERSION < 13000
#error "the emulation speaks the driver API of CUDA 13 (cuCtxCreate_v4 and its like)"
#endif

#define API extern "C" __attribute__((visibility("default"))) CUresult
#define CONTROL extern "C" __attribute__((visibility("default")))
