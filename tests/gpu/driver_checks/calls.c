/* Counts the calls into the CUDA driver that a program makes through the linker, where this library is in LD_PRELOAD.
 *
 * calls_of(name) gives the count of a function. Calls by ctypes look the driver up themselves and are not counted. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct { const char *name; long count; } counted[32];
static int known;

static void *next(const char *name, int *slot) {
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY);
    void *function = driver ? dlsym(driver, name) : NULL;
    if (!function) {
        fprintf(stderr, "calls.c: the driver has no %s\n", name);
        abort();
    }
    *slot = known++;
    counted[*slot].name = name;
    return function;
}

#define COUNTED(name, parameters, arguments)                           \
    int name parameters {                                              \
        static int (*real) parameters;                                 \
        static int slot;                                               \
        if (!real) real = (int (*) parameters)next(#name, &slot);      \
        __atomic_add_fetch(&counted[slot].count, 1, __ATOMIC_SEQ_CST); \
        return real arguments;                                         \
    }

typedef unsigned long long Address;
typedef unsigned long Size;

COUNTED(cuCtxPushCurrent_v2, (void *context), (context))
COUNTED(cuCtxPopCurrent_v2, (void **context), (context))
COUNTED(cuCtxSynchronize, (void), ())
COUNTED(cuMemcpyHtoDAsync_v2, (Address to, const void *from, Size size, void *stream), (to, from, size, stream))
COUNTED(cuMemcpyDtoHAsync_v2, (void *to, Address from, Size size, void *stream), (to, from, size, stream))
COUNTED(cuEventRecord, (void *event, void *stream), (event, stream))
COUNTED(cuEventSynchronize, (void *event), (event))
COUNTED(cuStreamWaitEvent, (void *stream, void *event, unsigned flags), (stream, event, flags))
COUNTED(cuStreamSynchronize, (void *stream), (stream))
COUNTED(cuMemAlloc_v2, (Address *memory, Size size), (memory, size))
COUNTED(cuMemFree_v2, (Address memory), (memory))
COUNTED(cuMemHostAlloc, (void **memory, Size size, unsigned flags), (memory, size, flags))
COUNTED(cuLaunchKernel,
        (void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
         unsigned block_z, unsigned shared, void *stream, void **parameters, void **extra),
        (function, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared, stream, parameters, extra))

long calls_of(const char *name) {
    for (int i = 0; i < known; i++)
        if (!strcmp(counted[i].name, name)) return counted[i].count;
    return 0;
}
