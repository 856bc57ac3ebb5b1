// cuda.h with functions that are visible outside the library, and the macros that begin their definitions.
#pragma once
#pragma GCC visibility push(default)
#include <cuda.h>
#pragma GCC visibility pop

#if CUDA_VERSION < 13000
#error "the emulation needs cuda.h of CUDA 13 (cuCtxCreate_v4 and similar names)"
#endif

#define API extern "C" __attribute__((visibility("default"))) CUresult
#define CONTROL extern "C" __attribute__((visibility("default")))
