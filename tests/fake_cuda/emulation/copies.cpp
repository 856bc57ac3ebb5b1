// Copies of lines and rectangles, in a stream or while the caller waits.
#include <cstring>
#include <vector>

#include "context.h"
#include "entry.h"
#include "journal.h"
#include "memory.h"
#include "state.h"
#include "streams.h"

using namespace fake;

namespace {

// One end of a copy: `height` rows, `pitch` bytes from one to the next.
struct End {
    Side side;
    std::uintptr_t address;
    std::size_t pitch;
};

struct Rectangle {
    End to, from;
    std::size_t width, height;  // bytes, rows
};

std::string describe(const Rectangle &copy) {
    auto name = [](const End &end) { return end.side == Side::device ? "device" : "host"; };
    auto size = copy.height == 1 ? "" : std::to_string(copy.height) + " x ";
    return std::string("copy ") + name(copy.from) + " to " + name(copy.to) + ", " + size +
           std::to_string(copy.width) + " bytes";
}

CUresult move_rows(const Rectangle &copy) {
    for (std::size_t row = 0; row < copy.height; ++row)
        std::memmove(reinterpret_cast<void *>(copy.to.address + row * copy.to.pitch),
                     reinterpret_cast<const void *>(copy.from.address + row * copy.from.pitch), copy.width);
    return CUDA_SUCCESS;
}

// Sources in ordinary memory are read before the call returns, because the driver stages them.
void stage_source(Rectangle &copy, Operation &operation) {
    auto staged = std::make_shared<std::vector<char>>(copy.width * copy.height);
    auto here = reinterpret_cast<std::uintptr_t>(staged->data());
    move_rows({{Side::host, here, copy.width}, copy.from, copy.width, copy.height});
    copy.from = {Side::host, here, copy.width};
    operation.run = [copy, staged] { return move_rows(copy); };
}

CUresult copy(Entry &entry, Rectangle copy, CUstream stream, bool wait) {
    if (!copy.width || !copy.height) return CUDA_SUCCESS;
    Operation operation{CU_GRAPH_NODE_TYPE_MEMCPY, describe(copy), {}, [copy] { return move_rows(copy); }};
    bool pageable_source = false, pageable_target = false;
    auto check = [&](const End &end, bool &pageable) {
        auto bytes = (copy.height - 1) * end.pitch + copy.width;
        return check_range(end.side, end.address, bytes, entry.name(), operation.uses, &pageable);
    };
    TRY(check(copy.from, pageable_source));
    TRY(check(copy.to, pageable_target));

    std::shared_ptr<Stream> target;
    TRY(find_stream(stream, target));
    const bool pageable = pageable_source || pageable_target;
    if (pageable && !wait) TRY(refuse_in_capture(*target, entry.name() + " of memory that is not pinned"));
    if (pageable_source && !wait) stage_source(copy, operation);
    TRY(enqueue(entry, stream, std::move(operation)));
    if (pageable_target && !wait) journal().count("implicit synchronisation");
    if (pageable_target || wait) run_until(entry.lock(), end_of(target));
    return state().lost;
}

CUresult copy_line(Entry &entry, Side to_side, std::uintptr_t to, Side from_side, std::uintptr_t from,
                   std::size_t bytes, CUstream stream, bool wait) {
    return copy(entry, {{to_side, to, bytes}, {from_side, from, bytes}, bytes, 1}, stream, wait);
}

CUresult copy_rectangle(Entry &entry, const CUDA_MEMCPY2D &request, CUstream stream, bool wait) {
    auto end = [&](CUmemorytype type, const void *host, CUdeviceptr device, std::size_t x, std::size_t y,
                   std::size_t pitch, End &result) {
        if (type != CU_MEMORYTYPE_HOST && type != CU_MEMORYTYPE_DEVICE) return CUDA_ERROR_NOT_SUPPORTED;
        const bool on_host = type == CU_MEMORYTYPE_HOST;
        if (pitch == 0) pitch = request.WidthInBytes;
        if (pitch < x + request.WidthInBytes) {
            journal().report(entry.name() + ": a row does not fit into its pitch of " + std::to_string(pitch));
            return CUDA_ERROR_INVALID_VALUE;
        }
        auto base = on_host ? reinterpret_cast<std::uintptr_t>(host) : static_cast<std::uintptr_t>(device);
        result = {on_host ? Side::host : Side::device, base + y * pitch + x, pitch};
        return CUDA_SUCCESS;
    };
    Rectangle rectangle{};
    rectangle.width = request.WidthInBytes;
    rectangle.height = request.Height;
    const auto &r = request;
    TRY(end(r.srcMemoryType, r.srcHost, r.srcDevice, r.srcXInBytes, r.srcY, r.srcPitch, rectangle.from));
    TRY(end(r.dstMemoryType, r.dstHost, r.dstDevice, r.dstXInBytes, r.dstY, r.dstPitch, rectangle.to));
    return copy(entry, rectangle, stream, wait);
}

std::uintptr_t number(const void *pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

}  // namespace

// Copies that wait run in the legacy default stream, so beside a capture its rules count, not only `unsafe`.

API cuMemcpyHtoD(CUdeviceptr to, const void *from, std::size_t bytes) {
    ENTER(needs_context | unsafe_on_null_stream);
    return copy_line(entry, Side::device, to, Side::host, number(from), bytes, nullptr, true);
}

API cuMemcpyDtoH(void *to, CUdeviceptr from, std::size_t bytes) {
    ENTER(needs_context | unsafe_on_null_stream);
    return copy_line(entry, Side::host, number(to), Side::device, from, bytes, nullptr, true);
}

API cuMemcpyDtoD(CUdeviceptr to, CUdeviceptr from, std::size_t bytes) {
    ENTER(needs_context | unsafe_on_null_stream);
    return copy_line(entry, Side::device, to, Side::device, from, bytes, nullptr, true);
}

API cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, std::size_t bytes, CUstream stream) {
    ENTER(needs_context);
    return copy_line(entry, Side::device, to, Side::host, number(from), bytes, stream, false);
}

API cuMemcpyDtoHAsync(void *to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
    ENTER(needs_context);
    return copy_line(entry, Side::host, number(to), Side::device, from, bytes, stream, false);
}

API cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
    ENTER(needs_context);
    return copy_line(entry, Side::device, to, Side::device, from, bytes, stream, false);
}

API cuMemcpy2D(const CUDA_MEMCPY2D *request) {
    ENTER(needs_context | unsafe_on_null_stream);
    return copy_rectangle(entry, *request, nullptr, true);
}

API cuMemcpy2DUnaligned(const CUDA_MEMCPY2D *request) {
    ENTER(needs_context | unsafe_on_null_stream);
    return copy_rectangle(entry, *request, nullptr, true);
}

API cuMemcpy2DAsync(const CUDA_MEMCPY2D *request, CUstream stream) {
    ENTER(needs_context);
    return copy_rectangle(entry, *request, stream, false);
}
