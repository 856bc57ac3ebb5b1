// Stream capture: work on a capturing stream becomes nodes of a graph, and many other calls are forbidden.
#pragma once
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "streams.h"

namespace fake {

struct Graph;
struct Loop;

struct Node : Object {
    Operation operation;
    std::vector<std::size_t> after;  // indices of the nodes it waits for
    std::shared_ptr<Loop> loop;      // of a conditional node; others have an operation that runs

    std::string describe() const override { return "a graph node (" + operation.label + ")"; }
    bool owned_by_the_program() const override { return false; }
};

struct Capture {
    int number = 0;
    std::weak_ptr<Stream> origin;
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
    std::thread::id owner;
    bool invalid = false;
    std::shared_ptr<Graph> graph;        // that the work is recorded in
    std::vector<CUgraphNode> answered;   // the nodes that the last query of the capture gave

    bool into_a_body() const;

    void invalidate(const std::string &why);
};

// Adds a node to the stream's capture.
CUresult record(Stream &stream, Operation operation);

// Refusals; each invalidates the captures that it concerns, as the driver does.
CUresult refuse_beside_captures(const std::string &call);
CUresult refuse_on_null_stream(const Context &context, const std::string &call);
CUresult refuse_in_capture(Stream &stream, const std::string &call);
CUresult refuse_to_wait_for_context(const Context &context);

void invalidate_all_captures();

}  // namespace fake
