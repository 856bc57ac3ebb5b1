#include "streams.h"

#include <algorithm>

#include "capture.h"
#include "context.h"
#include "crash.h"
#include "journal.h"
#include "state.h"

namespace fake {

bool Position::reached() const { return !stream || stream->finished >= count; }

Position end_of(const std::shared_ptr<Stream> &stream) { return {stream, stream->enqueued}; }

CUresult find_stream(CUstream handle, std::shared_ptr<Stream> &stream) {
    auto context = current_context();
    if (handle == CU_STREAM_PER_THREAD) {
        journal().report("the per-thread default stream is not emulated");
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    if (!handle || handle == CU_STREAM_LEGACY) {
        stream = context->null_stream;
        return stream ? CUDA_SUCCESS : CUDA_ERROR_CONTEXT_IS_DESTROYED;
    }
    TRY(state().objects.find(handle, stream));
    return stream->context == context ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

// The implicit order between the legacy default stream and the blocking streams.
static void add_implicit_order(const Stream &stream, std::vector<Position> &after) {
    if (stream.blocking()) after.push_back(end_of(stream.context->null_stream));
    if (!stream.is_null()) return;
    for (const auto &[handle, object] : state().objects.all()) {
        auto other = std::dynamic_pointer_cast<Stream>(object);
        if (other && other->alive && other->context == stream.context && other->blocking())
            after.push_back(end_of(other));
    }
}

static bool runs_early(const Stream &stream, const Queued &queued) {
    const auto type = queued.operation.type;
    return state().config.eager_copies && (type == CU_GRAPH_NODE_TYPE_MEMCPY || type == CU_GRAPH_NODE_TYPE_EMPTY) &&
           stream.pending.size() == 1 &&
           std::all_of(queued.after.begin(), queued.after.end(), [](const Position &p) { return p.reached(); });
}

CUresult enqueue(Entry &entry, CUstream handle, Operation operation, std::vector<Position> after) {
    std::shared_ptr<Stream> stream;
    TRY(find_stream(handle, stream));
    if (stream->capture) return record(*stream, std::move(operation));
    if (stream->is_null()) TRY(refuse_on_null_stream(*stream->context, entry.name()));
    add_implicit_order(*stream, after);
    std::erase_if(after, [](const Position &position) { return position.reached(); });
    stream->pending.push_back({std::move(operation), std::move(after)});
    ++stream->enqueued;
    if (runs_early(*stream, stream->pending.back())) run_until(entry.lock(), end_of(stream));
    return CUDA_SUCCESS;
}

CUresult run_operation(const Operation &operation, const std::string &where) {
    if (!operation.label.empty()) journal().ran(where + ": " + operation.label);
    NowRunning now(operation.label);
    return operation.run ? operation.run() : CUDA_SUCCESS;
}

void run_until(Lock &lock, const Position &position) {
    auto &stream = *position.stream;
    while (!position.reached()) {
        if (state().executing) {
            operation_ended().wait(lock);
            continue;
        }
        auto after = stream.pending.front().after;  // a copy, because another thread may run this operation
        auto missing = std::find_if(after.begin(), after.end(), [](const Position &p) { return !p.reached(); });
        if (missing != after.end()) {
            run_until(lock, *missing);
            continue;
        }
        auto queued = std::move(stream.pending.front());
        stream.pending.pop_front();
        state().executing = true;
        lock.unlock();
        const CUresult result = run_operation(queued.operation, stream.describe());
        lock.lock();
        state().executing = false;
        stream.finished = std::min(stream.finished + 1, stream.enqueued);
        if (result != CUDA_SUCCESS) lose_context(result);
        operation_ended().notify_all();
    }
}

static std::vector<std::shared_ptr<Stream>> all_streams() {
    std::vector<std::shared_ptr<Stream>> streams;
    for (const auto &[handle, object] : state().objects.all())
        if (auto stream = std::dynamic_pointer_cast<Stream>(object)) streams.push_back(stream);
    return streams;
}

void run_everything(Lock &lock, const Context &context) {
    for (const auto &stream : all_streams())
        if (stream->context.get() == &context && stream->alive) run_until(lock, end_of(stream));
}

void lose_context(CUresult result) {
    if (state().lost == CUDA_SUCCESS) state().lost = result;
    for (const auto &stream : all_streams()) {
        stream->pending.clear();
        stream->finished = stream->enqueued;
    }
    operation_ended().notify_all();
}

}  // namespace fake
