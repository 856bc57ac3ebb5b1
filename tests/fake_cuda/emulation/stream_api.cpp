// Making, ending and waiting for streams; host functions in stream order.
#include "capture.h"
#include "context.h"
#include "control.h"
#include "entry.h"
#include "journal.h"
#include "state.h"
#include "streams.h"

using namespace fake;

API cuStreamCreate(CUstream *handle, unsigned flags) {
    ENTER(needs_context);
    if (!handle || (flags & ~unsigned{CU_STREAM_NON_BLOCKING})) return CUDA_ERROR_INVALID_VALUE;
    auto stream = state().objects.add(std::make_shared<Stream>());
    stream->context = current_context();
    stream->number = ++state().streams_made;
    stream->flags = flags;
    *handle = as_handle<CUstream>(*stream);
    return CUDA_SUCCESS;
}

API cuStreamCreateWithPriority(CUstream *handle, unsigned flags, int) { return cuStreamCreate(handle, flags); }

API cuStreamDestroy(CUstream handle) {
    ENTER(needs_context | releases);
    std::shared_ptr<Stream> stream;
    TRY(state().objects.find(handle, stream));
    if (stream->is_null()) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capture) stream->capture->invalidate("one of its streams was destroyed");
    run_until(entry.lock(), end_of(stream));
    state().objects.destroy(*stream);
    return state().lost;
}

API cuStreamSynchronize(CUstream handle) {
    ENTER(needs_context);
    std::shared_ptr<Stream> stream;
    TRY(find_stream(handle, stream));
    TRY(refuse_in_capture(*stream, entry.name()));
    if (stream->is_null()) {
        TRY(refuse_on_null_stream(*stream->context, entry.name()));
        TRY(enqueue(entry, handle, {}));  // bookkeeping that waits for every blocking stream
    }
    run_until(entry.lock(), end_of(stream));
    return state().lost;
}

// A query finds work pending once, and then the work runs, so that a program that polls comes to an end.
API cuStreamQuery(CUstream handle) {
    ENTER(needs_context);
    std::shared_ptr<Stream> stream;
    TRY(find_stream(handle, stream));
    TRY(refuse_in_capture(*stream, entry.name()));
    if (stream->is_null()) TRY(refuse_on_null_stream(*stream->context, entry.name()));
    if (end_of(stream).reached()) return CUDA_SUCCESS;
    run_until(entry.lock(), end_of(stream));
    return state().lost != CUDA_SUCCESS ? state().lost : CUDA_ERROR_NOT_READY;
}

API cuStreamGetFlags(CUstream handle, unsigned *flags) {
    ENTER(needs_context);
    std::shared_ptr<Stream> stream;
    TRY(find_stream(handle, stream));
    *flags = stream->flags;
    return CUDA_SUCCESS;
}

API cuStreamGetPriority(CUstream handle, int *priority) {
    ENTER(needs_context);
    std::shared_ptr<Stream> stream;
    TRY(find_stream(handle, stream));
    *priority = 0;
    return CUDA_SUCCESS;
}

API cuLaunchHostFunc(CUstream handle, CUhostFn function, void *argument) {
    ENTER(needs_context);
    if (!function) return CUDA_ERROR_INVALID_VALUE;
    auto note = take_annotation();
    // What a test names is work of a library that runs on the GPU, for which a host function stands here.
    const auto type = note.label.empty() ? CU_GRAPH_NODE_TYPE_HOST : CU_GRAPH_NODE_TYPE_KERNEL;
    Operation operation{type, note.label.empty() ? "host function" : note.label, {}, {}};
    for (auto address : note.addresses)
        TRY(check_range(Side::device, address, 1, operation.label, operation.uses));
    operation.run = [function, argument] {
        InsideHostFunction inside;
        function(argument);
        return CUDA_SUCCESS;
    };
    return enqueue(entry, handle, std::move(operation));
}
