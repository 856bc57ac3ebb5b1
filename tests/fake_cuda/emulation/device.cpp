// The only device: what it reports about itself, and the texts of errors.
#include <cstring>

#include "context.h"
#include "cuda_api.h"
#include "entry.h"
#include "state.h"

using namespace fake;

namespace {

struct ErrorName {
    CUresult result;
    const char *name, *words;
};

const ErrorName error_names[] = {
#include "error_names.inc"
};

const ErrorName *find_error(CUresult result) {
    for (const auto &error : error_names)
        if (error.result == result) return &error;
    return nullptr;
}

CUresult copy_text(const char *text, char *buffer, int length) {
    if (!buffer || length <= 0) return CUDA_ERROR_INVALID_VALUE;
    std::strncpy(buffer, text, static_cast<std::size_t>(length) - 1);
    buffer[length - 1] = 0;
    return CUDA_SUCCESS;
}

}  // namespace

API cuGetErrorName(CUresult result, const char **text) {
    const auto *error = find_error(result);
    *text = error ? error->name : nullptr;
    return error ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API cuGetErrorString(CUresult result, const char **text) {
    const auto *error = find_error(result);
    *text = error ? error->words : "unrecognised error code";  // never null, because pycuda makes a string of it
    return error ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

API cuInit(unsigned flags) {
    ENTER(before_init);
    if (flags) return CUDA_ERROR_INVALID_VALUE;
    state().initialized = true;
    return CUDA_SUCCESS;
}

API cuDriverGetVersion(int *version) {
    ENTER(before_init);
    *version = state().config.driver_version;
    return CUDA_SUCCESS;
}

API cuDeviceGetCount(int *count) {
    ENTER(anywhere);
    *count = 1;
    return CUDA_SUCCESS;
}

API cuDeviceGet(CUdevice *device, int ordinal) {
    ENTER(anywhere);
    if (ordinal != 0) return CUDA_ERROR_INVALID_DEVICE;
    *device = 0;
    return CUDA_SUCCESS;
}

API cuDeviceGetName(char *name, int length, CUdevice) {
    ENTER(anywhere);
    return copy_text("host emulation of CUDA for tests (not a GPU)", name, length);
}

API cuDeviceGetPCIBusId(char *text, int length, CUdevice) {
    ENTER(anywhere);
    return copy_text("0000:00:00.0", text, length);
}

API cuDeviceTotalMem(std::size_t *bytes, CUdevice) {
    ENTER(anywhere);
    *bytes = state().config.memory;
    return CUDA_SUCCESS;
}

API cuDeviceComputeCapability(int *major, int *minor, CUdevice) {
    ENTER(anywhere);
    *major = state().config.major;
    *minor = state().config.minor;
    return CUDA_SUCCESS;
}

API cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
    ENTER(anywhere);
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    const auto &config = state().config;
    switch (attribute) {
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = config.major; break;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = config.minor; break;
        case CU_DEVICE_ATTRIBUTE_INTEGRATED: *value = config.integrated; break;
        case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
        case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
        case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS:
        case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT: *value = 1; break;
        case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
        case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 8; break;
        case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
        case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
        case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y: *value = 1024; break;
        case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z: *value = 64; break;
        case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: *value = 2147483647; break;
        case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
        case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: *value = 65535; break;
        case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = 48 * 1024; break;
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}

// NVRTC asks the driver for private tables, and works without them.
API cuGetExportTable(const void **table, const CUuuid *) {
    *table = nullptr;
    return CUDA_ERROR_NOT_SUPPORTED;
}
