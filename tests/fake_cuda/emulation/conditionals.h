// Loops in graphs: a conditional node, whose body runs again while a kernel has set its condition.
#pragma once
#include <memory>
#include <vector>

#include "graphs.h"

namespace fake {

// What a conditional handle names. A kernel sets it.
struct Condition {
    std::uintptr_t handle = 0;
    unsigned initial = 0;        // at each launch, where `assigned`
    bool assigned = false;
    bool bound = false;          // to a node
    unsigned value = 0;
};

struct Loop {
    std::shared_ptr<Condition> condition;
    std::shared_ptr<Graph> body;
    CUgraph graphs[1];           // the array of the driver that the program reads the body from
};

// A driver before CUDA 12.4 has no loops.
CUresult refuse_before_loops(const std::string &call);

// A body may hold kernels, copies, fills, and loops, and nothing of the host.
CUresult refuse_in_body(const Operation &operation, Capture &capture);

// The places of these nodes in a graph.
CUresult find_nodes(const Graph &graph, const CUgraphNode *nodes, std::size_t count, std::vector<std::size_t> &places);

// Called by a host-built kernel in the place of cudaGraphSetConditional.
void set_condition(unsigned long long handle, unsigned value);

}  // namespace fake
