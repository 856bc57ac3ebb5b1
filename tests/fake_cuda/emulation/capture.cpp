#include "capture.h"

#include <algorithm>
#include <set>

#include "context.h"
#include "conditionals.h"
#include "graphs.h"
#include "journal.h"
#include "state.h"

namespace fake {

// How this thread treats the captures of others (cuThreadExchangeStreamCaptureMode).
static thread_local CUstreamCaptureMode thread_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;

bool Capture::into_a_body() const { return graph->body; }

void Capture::invalidate(const std::string &why) {
    if (!invalid) journal().report("capture " + std::to_string(number) + " is invalidated: " + why);
    invalid = true;
}

CUresult record(Stream &stream, Operation operation) {
    auto &capture = *stream.capture;
    if (capture.invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (capture.into_a_body()) TRY(refuse_in_body(operation, capture));
    auto node = state().objects.add(std::make_shared<Node>());
    node->context = stream.context;
    node->operation = std::move(operation);
    node->after = stream.frontier;
    stream.frontier = {capture.graph->nodes.size()};
    capture.graph->nodes.push_back(node);
    return CUDA_SUCCESS;
}

CUresult refuse_beside_captures(const std::string &call) {
    if (thread_mode == CU_STREAM_CAPTURE_MODE_RELAXED) return CUDA_SUCCESS;
    bool refused = false;
    for (const auto &capture : state().captures) {
        const bool own = capture->owner == std::this_thread::get_id() && capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED;
        const bool watched = capture->mode == CU_STREAM_CAPTURE_MODE_GLOBAL &&
                             thread_mode == CU_STREAM_CAPTURE_MODE_GLOBAL;
        if (!own && !watched) continue;
        capture->invalidate(call + " was called" + (own ? "" : " by another thread"));
        refused = true;
    }
    return refused ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

CUresult refuse_on_null_stream(const Context &context, const std::string &call) {
    bool refused = false;
    for (const auto &[handle, object] : state().objects.all()) {
        auto stream = std::dynamic_pointer_cast<Stream>(object);
        if (!stream || !stream->capture || !stream->blocking() || stream->context.get() != &context) continue;
        stream->capture->invalidate(call + " uses the legacy default stream, which waits for the capturing stream");
        refused = true;
    }
    return refused ? CUDA_ERROR_STREAM_CAPTURE_IMPLICIT : CUDA_SUCCESS;
}

CUresult refuse_in_capture(Stream &stream, const std::string &call) {
    if (!stream.capture) return CUDA_SUCCESS;
    stream.capture->invalidate(call + " cannot be captured");
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult refuse_to_wait_for_context(const Context &context) {
    bool refused = false;
    for (const auto &capture : state().captures) {
        auto origin = capture->origin.lock();
        if (!origin || origin->context.get() != &context) continue;
        capture->invalidate("cuCtxSynchronize would wait for it");
        refused = true;
    }
    return refused ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

void invalidate_all_captures() {
    for (const auto &capture : state().captures) capture->invalidate("a planted fault, as if by another thread");
}

// Only the last nodes of the origin stream may have no successor, else a fork was not joined.
static bool joined(const Capture &capture, const Stream &origin) {
    std::set<std::size_t> awaited(origin.frontier.begin(), origin.frontier.end());
    const auto &nodes = capture.graph->nodes;
    for (const auto &node : nodes) awaited.insert(node->after.begin(), node->after.end());
    return awaited.size() == nodes.size();
}

static void leave(const std::shared_ptr<Capture> &capture) {
    for (const auto &[handle, object] : state().objects.all()) {
        auto stream = std::dynamic_pointer_cast<Stream>(object);
        if (!stream || stream->capture != capture) continue;
        stream->capture = nullptr;
        stream->frontier.clear();
    }
    state().captures.erase(capture);
}

// Begins a capture into `graph`, or into a new one.
static CUresult begin(CUstream handle, CUstreamCaptureMode mode, std::shared_ptr<Graph> graph) {
    std::shared_ptr<Stream> stream;
    TRY(find_stream(handle, stream));
    if (stream->is_null()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
    auto capture = std::make_shared<Capture>();
    capture->graph = graph ? std::move(graph) : add_graph(stream->context);
    capture->number = ++state().captures_made;
    capture->origin = stream;
    capture->mode = mode;
    capture->owner = std::this_thread::get_id();
    stream->capture = capture;
    state().captures.insert(capture);
    return CUDA_SUCCESS;
}

}  // namespace fake

using namespace fake;

API cuStreamBeginCapture(CUstream handle, CUstreamCaptureMode mode) {
    ENTER(needs_context);
    return begin(handle, mode, nullptr);
}

API cuStreamBeginCaptureToGraph(CUstream handle, CUgraph graph_handle, const CUgraphNode *, const CUgraphEdgeData *,
                                std::size_t count, CUstreamCaptureMode mode) {
    ENTER(needs_context);
    TRY(refuse_before_loops(entry.name()));
    std::shared_ptr<Graph> graph;
    TRY(state().objects.find(graph_handle, graph));
    if (count || !graph->nodes.empty()) return CUDA_ERROR_NOT_SUPPORTED;  // nobody here adds to what is there
    return begin(handle, mode, graph);
}

API cuStreamEndCapture(CUstream handle, CUgraph *graph) {
    ENTER(needs_context | releases);
    if (!graph) return CUDA_ERROR_INVALID_VALUE;
    *graph = nullptr;
    std::shared_ptr<Stream> stream;
    TRY(find_stream(handle, stream));
    auto capture = stream->capture;
    if (!capture) return CUDA_ERROR_ILLEGAL_STATE;
    if (capture->origin.lock() != stream) return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    if (capture->owner != std::this_thread::get_id() && capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED)
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    const bool whole = joined(*capture, *stream);
    leave(capture);
    TRY(state().lost);
    if (capture->invalid || !whole) {
        destroy_graph(*capture->graph);
        return capture->invalid ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    }
    *graph = as_handle<CUgraph>(*capture->graph);
    return CUDA_SUCCESS;
}

API cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status) {
    ENTER(needs_context);
    std::shared_ptr<Stream> stream;
    TRY(find_stream(handle, stream));
    if (stream->is_null()) TRY(refuse_on_null_stream(*stream->context, entry.name()));
    *status = !stream->capture            ? CU_STREAM_CAPTURE_STATUS_NONE
              : stream->capture->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                         : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
}

// The graph that a stream is captured into, and the nodes that its next work will wait for. They stay where the driver
// put them until the next query.
API cuStreamGetCaptureInfo_v3(CUstream handle, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *graph,
                              const CUgraphNode **nodes, const CUgraphEdgeData **edges, std::size_t *count) {
    ENTER(needs_context);
    std::shared_ptr<Stream> stream;
    TRY(find_stream(handle, stream));
    if (!stream->capture) {
        *status = CU_STREAM_CAPTURE_STATUS_NONE;
        return CUDA_SUCCESS;
    }
    auto &capture = *stream->capture;
    *status = capture.invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    if (capture.invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    capture.answered.clear();
    for (auto node : stream->frontier) capture.answered.push_back(as_handle<CUgraphNode>(*capture.graph->nodes[node]));
    if (id) *id = static_cast<cuuint64_t>(capture.number);
    if (graph) *graph = as_handle<CUgraph>(*capture.graph);
    if (nodes) *nodes = capture.answered.data();
    if (edges) *edges = nullptr;
    if (count) *count = capture.answered.size();
    return CUDA_SUCCESS;
}

API cuStreamUpdateCaptureDependencies_v2(CUstream handle, CUgraphNode *nodes, const CUgraphEdgeData *,
                                         std::size_t count, unsigned flags) {
    ENTER(needs_context);
    std::shared_ptr<Stream> stream;
    TRY(find_stream(handle, stream));
    if (!stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
    if (stream->capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (flags != CU_STREAM_SET_CAPTURE_DEPENDENCIES) return CUDA_ERROR_NOT_SUPPORTED;
    return find_nodes(*stream->capture->graph, nodes, count, stream->frontier);
}

API cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode) {
    ENTER(anywhere);
    std::swap(*mode, thread_mode);
    return CUDA_SUCCESS;
}
