// Allocating and freeing: device memory, pinned host memory, and host memory that kernels may reach.
#include "context.h"
#include "entry.h"
#include "journal.h"
#include "memory.h"
#include "state.h"
#include "streams.h"

using namespace fake;

namespace {

CUresult allocate(Kind kind, std::size_t bytes, unsigned flags, std::uintptr_t &address) {
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    auto &memory = state().memory;
    const std::size_t total = state().config.memory;
    if (kind == Kind::device && (bytes > total || memory.device_bytes() > total - bytes))
        return CUDA_ERROR_OUT_OF_MEMORY;
    auto allocation = memory.allocate(kind, bytes);
    if (!allocation) return CUDA_ERROR_OUT_OF_MEMORY;
    allocation->context = current_context();
    allocation->flags = flags;
    address = allocation->base;
    return CUDA_SUCCESS;
}

// Frees what starts exactly here; the driver waits for the context's work first.
template <class Fits>
CUresult release(Entry &entry, std::uintptr_t address, Fits fits) {
    run_everything(entry.lock(), *current_context());
    auto allocation = state().memory.at(address);
    if (!allocation || !allocation->alive || allocation->base != address || !fits(*allocation)) {
        journal().report(entry.name() + ": nothing that it could free starts at this address" +
                         (allocation && !allocation->alive ? " (freed before)" : ""));
        return CUDA_ERROR_INVALID_VALUE;
    }
    state().memory.release(*allocation);
    return state().lost;
}

std::uintptr_t as_number(const void *pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

}  // namespace

API cuMemAlloc(CUdeviceptr *address, std::size_t bytes) {
    ENTER(needs_context | unsafe);
    std::uintptr_t base = 0;
    TRY(allocate(Kind::device, bytes, 0, base));
    *address = base;
    return CUDA_SUCCESS;
}

API cuMemAllocPitch(CUdeviceptr *address, std::size_t *pitch, std::size_t width, std::size_t height, unsigned) {
    ENTER(needs_context | unsafe);
    *pitch = (width + 511) / 512 * 512;
    std::uintptr_t base = 0;
    TRY(allocate(Kind::device, *pitch * height, 0, base));
    *address = base;
    return CUDA_SUCCESS;
}

API cuMemFree(CUdeviceptr address) {
    ENTER(needs_context | unsafe | releases);
    if (!address) return CUDA_SUCCESS;
    return release(entry, address, [](const Allocation &a) { return a.kind == Kind::device; });
}

API cuMemHostAlloc(void **address, std::size_t bytes, unsigned flags) {
    ENTER(needs_context | unsafe);
    std::uintptr_t base = 0;
    TRY(allocate(flags & CU_MEMHOSTALLOC_DEVICEMAP ? Kind::mapped : Kind::pinned, bytes, flags, base));
    *address = reinterpret_cast<void *>(base);
    return CUDA_SUCCESS;
}

API cuMemFreeHost(void *address) {
    ENTER(needs_context | unsafe | releases);
    return release(entry, as_number(address),
                   [](const Allocation &a) { return a.kind == Kind::pinned || a.kind == Kind::mapped; });
}

API cuMemHostRegister(void *address, std::size_t bytes, unsigned flags) {
    ENTER(needs_context | unsafe);
    if (!address || !bytes) return CUDA_ERROR_INVALID_VALUE;
    auto earlier = state().memory.before(as_number(address) + bytes - 1);
    if (earlier && earlier->alive && earlier->base + earlier->bytes > as_number(address))
        return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    auto allocation = state().memory.add_registered(as_number(address), bytes);
    allocation->context = current_context();
    allocation->flags = flags;
    return CUDA_SUCCESS;
}

API cuMemHostUnregister(void *address) {
    ENTER(needs_context | unsafe | releases);
    return release(entry, as_number(address), [](const Allocation &a) { return a.kind == Kind::registered; });
}

API cuMemHostGetDevicePointer(CUdeviceptr *device, void *host, unsigned flags) {
    ENTER(needs_context);
    auto allocation = state().memory.at(as_number(host));
    if (flags || !allocation || !allocation->alive || allocation->on_device()) return CUDA_ERROR_INVALID_VALUE;
    if (!allocation->reachable_by_kernels()) {
        // Stricter than a driver with unified addressing, where every pinned allocation is mapped.
        journal().report(entry.name() + ": " + allocation->describe() + " was made without DEVICEMAP");
        return CUDA_ERROR_INVALID_VALUE;
    }
    *device = as_number(host);
    return CUDA_SUCCESS;
}

API cuMemHostGetFlags(unsigned *flags, void *host) {
    ENTER(needs_context);
    auto allocation = state().memory.at(as_number(host));
    if (!allocation || !allocation->alive || allocation->on_device()) return CUDA_ERROR_INVALID_VALUE;
    *flags = allocation->flags;
    return CUDA_SUCCESS;
}

API cuMemGetInfo(std::size_t *free, std::size_t *total) {
    ENTER(needs_context);
    *total = state().config.memory;
    *free = *total - state().memory.device_bytes();
    return CUDA_SUCCESS;
}

API cuMemGetAddressRange(CUdeviceptr *base, std::size_t *bytes, CUdeviceptr address) {
    ENTER(needs_context);
    auto allocation = state().memory.at(address);
    if (!allocation || !allocation->alive || !allocation->reachable_by_kernels()) return CUDA_ERROR_NOT_FOUND;
    if (base) *base = allocation->base;
    if (bytes) *bytes = allocation->bytes;
    return CUDA_SUCCESS;
}
