// Filling memory with one value of 1, 2 or 4 bytes, in lines and rectangles.
#include "context.h"
#include "entry.h"
#include "journal.h"
#include "memory.h"
#include "state.h"
#include "streams.h"

using namespace fake;

namespace {

template <class Value>
CUresult fill(Entry &entry, CUdeviceptr to, std::size_t pitch, Value value, std::size_t width, std::size_t height,
              CUstream stream) {
    if (!width || !height) return CUDA_SUCCESS;
    if (to % sizeof(Value) || pitch % sizeof(Value) || (height > 1 && pitch < width * sizeof(Value))) {
        journal().report(entry.name() + ": the address or the pitch does not suit the value's size");
        return CUDA_ERROR_INVALID_VALUE;
    }
    Operation operation{CU_GRAPH_NODE_TYPE_MEMSET, "", {}, {}};
    operation.label = "fill, " + (height == 1 ? "" : std::to_string(height) + " x ") +
                      std::to_string(width * sizeof(Value)) + " bytes";
    const auto bytes = (height - 1) * pitch + width * sizeof(Value);
    TRY(check_range(Side::device, to, bytes, entry.name(), operation.uses));
    operation.run = [=] {
        for (std::size_t row = 0; row < height; ++row)
            std::fill_n(reinterpret_cast<Value *>(to + row * pitch), width, value);
        return CUDA_SUCCESS;
    };
    return enqueue(entry, stream, std::move(operation));
}

}  // namespace

#define FILLS(BITS, VALUE)                                                                                     \
    API cuMemsetD##BITS(CUdeviceptr to, VALUE value, std::size_t count) {                                      \
        ENTER(needs_context | unsafe_on_null_stream);                                                          \
        return fill(entry, to, 0, value, count, 1, nullptr);                                                   \
    }                                                                                                          \
    API cuMemsetD##BITS##Async(CUdeviceptr to, VALUE value, std::size_t count, CUstream stream) {              \
        ENTER(needs_context);                                                                                  \
        return fill(entry, to, 0, value, count, 1, stream);                                                    \
    }                                                                                                          \
    API cuMemsetD2D##BITS(CUdeviceptr to, std::size_t pitch, VALUE value, std::size_t width, std::size_t rows) { \
        ENTER(needs_context | unsafe_on_null_stream);                                                          \
        return fill(entry, to, pitch, value, width, rows, nullptr);                                            \
    }                                                                                                          \
    API cuMemsetD2D##BITS##Async(CUdeviceptr to, std::size_t pitch, VALUE value, std::size_t width,            \
                                 std::size_t rows, CUstream stream) {                                          \
        ENTER(needs_context);                                                                                  \
        return fill(entry, to, pitch, value, width, rows, stream);                                             \
    }

FILLS(8, unsigned char)
FILLS(16, unsigned short)
FILLS(32, unsigned int)
