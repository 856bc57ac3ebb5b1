// Lazy streams: a call only queues work, which runs in order when something needs its result.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "entry.h"
#include "objects.h"

namespace fake {

struct Capture;
struct Stream;

// One piece of work, in a stream or as a node of a graph.
struct Operation {
    CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
    std::string label;                          // empty: bookkeeping that the timeline leaves out
    std::vector<std::shared_ptr<Object>> uses;  // memory and modules that must live when it is launched
    std::function<CUresult()> run;              // called without the driver's lock
};

// All work that was enqueued on a stream up to some moment.
struct Position {
    std::shared_ptr<Stream> stream;
    std::uint64_t count = 0;
    bool reached() const;
};

struct Queued {
    Operation operation;
    std::vector<Position> after;
};

struct Stream : Object {
    int number = 0;
    unsigned flags = 0;
    std::deque<Queued> pending;
    std::uint64_t enqueued = 0, finished = 0;
    std::shared_ptr<Capture> capture;   // the capture that it is in now
    std::vector<std::size_t> frontier;  // nodes that the next captured operation depends on

    std::string describe() const override { return "stream " + std::to_string(number); }
    bool owned_by_the_program() const override { return number != 0; }
    bool is_null() const { return number == 0; }
    // Takes part in the implicit ordering with the legacy default stream.
    bool blocking() const { return !is_null() && !(flags & CU_STREAM_NON_BLOCKING); }
};

// The stream a handle names; null and CU_STREAM_LEGACY are the current context's default stream.
CUresult find_stream(CUstream handle, std::shared_ptr<Stream> &stream);

Position end_of(const std::shared_ptr<Stream> &stream);

// Puts work into a stream, or into the capture that the stream is part of.
CUresult enqueue(Entry &entry, CUstream handle, Operation operation, std::vector<Position> after = {});

// Runs what is needed to reach this position, or waits while another thread runs it.
void run_until(Lock &lock, const Position &position);
void run_everything(Lock &lock, const Context &context);

// Runs one operation on this thread, with its label in the timeline and in the report of a crash.
CUresult run_operation(const Operation &operation, const std::string &where);

// Drops all pending operations, and makes every later call fail with this result.
void lose_context(CUresult result);

}  // namespace fake
