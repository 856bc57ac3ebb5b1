// Events: marks in a stream to wait for, to query, and to time by the host's clock.
#include <chrono>

#include "capture.h"
#include "context.h"
#include "entry.h"
#include "journal.h"
#include "state.h"
#include "streams.h"

using namespace fake;

namespace {

struct Event : Object {
    unsigned flags = 0;
    bool recorded = false;
    Position at;                          // the record operation is the last one before this position
    double milliseconds = 0;              // when it ran
    std::shared_ptr<Capture> capture;     // in which it was last recorded
    std::vector<std::size_t> frontier;    // of the capturing stream at that moment

    std::string describe() const override { return "an event"; }
};

double now() {
    using namespace std::chrono;
    return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

CUresult refuse_captured(Event &event, const std::string &call) {
    if (!event.capture) return CUDA_SUCCESS;
    event.capture->invalidate(call + " of an event that was recorded in it");
    return CUDA_ERROR_CAPTURED_EVENT;
}

// A wait inside a capture: the waiting stream joins it, or waits for another of its branches.
CUresult wait_in_capture(Stream &stream, const Event &event) {
    if (event.capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (!state().captures.contains(event.capture)) return CUDA_ERROR_CAPTURED_EVENT;
    if (stream.capture && stream.capture != event.capture) {
        stream.capture->invalidate("it waits for an event of another capture");
        event.capture->invalidate("another capture waits for one of its events");
        return CUDA_ERROR_STREAM_CAPTURE_MERGE;
    }
    if (stream.is_null()) {
        event.capture->invalidate("the legacy default stream waits for one of its events");
        return CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
    }
    stream.capture = event.capture;
    for (auto node : event.frontier)
        if (std::find(stream.frontier.begin(), stream.frontier.end(), node) == stream.frontier.end())
            stream.frontier.push_back(node);
    return CUDA_SUCCESS;
}

}  // namespace

API cuEventCreate(CUevent *handle, unsigned flags) {
    ENTER(needs_context);
    auto event = state().objects.add(std::make_shared<Event>());
    event->context = current_context();
    event->flags = flags;
    *handle = as_handle<CUevent>(*event);
    return CUDA_SUCCESS;
}

API cuEventDestroy(CUevent handle) {
    ENTER(needs_context | releases);
    std::shared_ptr<Event> event;
    TRY(state().objects.find(handle, event));
    state().objects.destroy(*event);  // a pending record keeps it until it has run
    return state().lost;
}

API cuEventRecord(CUevent handle, CUstream stream_handle) {
    ENTER(needs_context);
    std::shared_ptr<Event> event;
    std::shared_ptr<Stream> stream;
    TRY(state().objects.find(handle, event));
    TRY(find_stream(stream_handle, stream));
    if (stream->capture) {
        if (stream->capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        event->capture = stream->capture;
        event->frontier = stream->frontier;
        return CUDA_SUCCESS;
    }
    Operation operation;
    operation.run = [event] {
        event->milliseconds = now();
        return CUDA_SUCCESS;
    };
    TRY(enqueue(entry, stream_handle, std::move(operation)));
    event->capture = nullptr;
    event->recorded = true;
    event->at = end_of(stream);
    return CUDA_SUCCESS;
}

API cuStreamWaitEvent(CUstream stream_handle, CUevent handle, unsigned flags) {
    ENTER(needs_context);
    if (flags) return CUDA_ERROR_NOT_SUPPORTED;
    std::shared_ptr<Event> event;
    std::shared_ptr<Stream> stream;
    TRY(find_stream(stream_handle, stream));
    TRY(state().objects.find(handle, event));
    if (event->capture) return wait_in_capture(*stream, *event);
    if (!event->recorded) return CUDA_SUCCESS;
    if (stream->capture) {
        stream->capture->invalidate("it waits for an event that was recorded outside it");
        return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    }
    return enqueue(entry, stream_handle, {}, {event->at});
}

API cuEventSynchronize(CUevent handle) {
    ENTER(needs_context);
    std::shared_ptr<Event> event;
    TRY(state().objects.find(handle, event));
    TRY(refuse_captured(*event, entry.name()));
    if (event->recorded) run_until(entry.lock(), event->at);
    return state().lost;
}

API cuEventQuery(CUevent handle) {
    ENTER(needs_context);
    std::shared_ptr<Event> event;
    TRY(state().objects.find(handle, event));
    TRY(refuse_captured(*event, entry.name()));
    if (!event->recorded || event->at.reached()) return CUDA_SUCCESS;
    run_until(entry.lock(), event->at);
    return state().lost != CUDA_SUCCESS ? state().lost : CUDA_ERROR_NOT_READY;
}

API cuEventElapsedTime(float *milliseconds, CUevent from, CUevent to) {
    ENTER(needs_context);
    std::shared_ptr<Event> first, last;
    TRY(state().objects.find(from, first));
    TRY(state().objects.find(to, last));
    for (auto *event : {first.get(), last.get()}) {
        TRY(refuse_captured(*event, entry.name()));
        if (!event->recorded || (event->flags & CU_EVENT_DISABLE_TIMING)) return CUDA_ERROR_INVALID_HANDLE;
        if (!event->at.reached()) return CUDA_ERROR_NOT_READY;
    }
    *milliseconds = static_cast<float>(last->milliseconds - first->milliseconds);
    return CUDA_SUCCESS;
}
