// Kernel launches: limits, parameters, and the memory that pointers among them may reach.
#include <sys/mman.h>

#include <cstring>

#include "conditionals.h"
#include "context.h"
#include "entry.h"
#include "journal.h"
#include "memory.h"
#include "modules.h"
#include "state.h"
#include "streams.h"

using namespace fake;

namespace {

struct Shape {
    unsigned grid[3], block[3];
    std::size_t shared_bytes;
};

bool within_limits(const Shape &shape) {
    const auto &[gx, gy, gz] = shape.grid;
    const auto &[bx, by, bz] = shape.block;
    const bool something = gx && gy && gz && bx && by && bz;
    const bool grid = gx <= 2147483647u && gy <= 65535 && gz <= 65535;
    const bool block = bx <= 1024 && by <= 1024 && bz <= 64 && std::size_t{bx} * by * bz <= 1024;
    return something && grid && block && shape.shared_bytes <= 48 * 1024;
}

using Arguments = std::shared_ptr<std::vector<char>>;

CUresult pack(const Function &function, void **parameters, void **extra, Arguments &arguments) {
    const auto &kernel = *function.kernel;
    arguments = std::make_shared<std::vector<char>>(kernel.bytes);
    if (parameters) {
        for (int i = 0; i < kernel.parameters; ++i)
            std::memcpy(arguments->data() + kernel.offsets[i], parameters[i], kernel.sizes[i]);
        return CUDA_SUCCESS;
    }
    const void *buffer = nullptr;
    std::size_t bytes = 0;
    for (; extra && *extra != CU_LAUNCH_PARAM_END; extra += 2) {
        if (extra[0] == CU_LAUNCH_PARAM_BUFFER_POINTER) buffer = extra[1];
        if (extra[0] == CU_LAUNCH_PARAM_BUFFER_SIZE) bytes = *static_cast<std::size_t *>(extra[1]);
    }
    if (bytes != kernel.bytes || (bytes && !buffer)) {
        journal().report(function.describe() + " takes " + std::to_string(kernel.bytes) +
                         " bytes of parameters, the launch packs " + std::to_string(bytes));
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (bytes) std::memcpy(arguments->data(), buffer, bytes);
    return CUDA_SUCCESS;
}

// Whether this process has memory there, so that an 8-byte parameter is an address, of the wrong kind.
bool is_host_address(std::uintptr_t value) {
    return value > 0xFFFF && value < (std::uintptr_t{1} << 47) &&
           msync(reinterpret_cast<void *>(value & ~std::uintptr_t{4095}), 4096, MS_ASYNC) == 0;
}

// Every 8-byte parameter that looks like an address must be one that a kernel may use.
CUresult check_pointers(const Function &function, const std::vector<char> &arguments, Operation &operation) {
    const auto &kernel = *function.kernel;
    for (int i = 0; i < kernel.parameters; ++i) {
        if (kernel.sizes[i] != sizeof(std::uintptr_t)) continue;
        std::uintptr_t value = 0;
        std::memcpy(&value, arguments.data() + kernel.offsets[i], sizeof value);
        const auto what = function.describe() + ", parameter " + std::to_string(i);
        if (Memory::in_range(value) || state().memory.at(value)) {
            if (check_range(Side::device, value, 1, what, operation.uses) != CUDA_SUCCESS)
                return CUDA_ERROR_ILLEGAL_ADDRESS;
        } else if (is_host_address(value)) {
            journal().report(what + ": an address of ordinary host memory stands for a device address");
            return CUDA_ERROR_ILLEGAL_ADDRESS;
        }
    }
    return CUDA_SUCCESS;
}

CUresult report_fault(const Function &function, int fault) {
    switch (fault) {
        case KernelFault::divergent_barriers:
            journal().report(function.describe() + ": the threads of a block wait at different barriers");
            return CUDA_ERROR_LAUNCH_FAILED;
        case KernelFault::shared_memory_overrun:
            journal().report(function.describe() + " wrote behind the shared memory of a block");
            return CUDA_ERROR_ILLEGAL_ADDRESS;
        case KernelFault::access_outside_memory:
            journal().report(function.describe() + " touched memory out of bounds");
            return CUDA_ERROR_ILLEGAL_ADDRESS;
        default:
            journal().report(function.describe() + ": a misaligned vector or an overflowing number");
            return CUDA_ERROR_MISALIGNED_ADDRESS;
    }
}

CUresult run(const Function &function, const Shape &shape, const std::vector<char> &arguments,
             const std::vector<std::shared_ptr<Object>> &uses) {
    if (function.module->set_condition) *function.module->set_condition = set_condition;
    const int fault = function.kernel->run(shape.grid, shape.block, shape.shared_bytes, arguments.data());
    if (fault != KernelFault::none) return report_fault(function, fault);
    for (const auto &used : uses) {
        auto allocation = std::dynamic_pointer_cast<Allocation>(used);
        if (!allocation || allocation->padding_is_intact()) continue;
        journal().report(function.describe() + " wrote right outside " + allocation->describe());
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    }
    return CUDA_SUCCESS;
}

}  // namespace

API cuLaunchKernel(CUfunction handle, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared_bytes, CUstream stream, void **parameters, void **extra) {
    ENTER(needs_context);
    std::shared_ptr<Function> function;
    TRY(state().objects.find(handle, function));
    const Shape shape{{gx, gy, gz}, {bx, by, bz}, shared_bytes};
    if (!within_limits(shape)) {
        journal().report(function->describe() + ": the grid, the block or the shared memory exceeds a limit");
        return CUDA_ERROR_INVALID_VALUE;
    }
    Arguments arguments;
    TRY(pack(*function, parameters, extra, arguments));
    Operation operation{CU_GRAPH_NODE_TYPE_KERNEL, function->describe(), {}, {}};
    TRY(check_pointers(*function, *arguments, operation));
    operation.run = [function, shape, arguments, uses = operation.uses] {
        return run(*function, shape, *arguments, uses);
    };
    operation.uses.push_back(function->module);
    return enqueue(entry, stream, std::move(operation));
}
