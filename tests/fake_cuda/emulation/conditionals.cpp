#include "conditionals.h"

#include "context.h"
#include "journal.h"
#include "state.h"

namespace fake {

constexpr int FIRST_WITH_LOOPS = 12040;

CUresult refuse_before_loops(const std::string &call) {
    if (state().config.driver_version >= FIRST_WITH_LOOPS) return CUDA_SUCCESS;
    journal().report(call + ": a driver of this version has no loops in graphs");
    return CUDA_ERROR_NOT_SUPPORTED;
}

CUresult refuse_in_body(const Operation &operation, Capture &capture) {
    switch (operation.type) {
        case CU_GRAPH_NODE_TYPE_KERNEL:
        case CU_GRAPH_NODE_TYPE_MEMCPY:
        case CU_GRAPH_NODE_TYPE_MEMSET:
        case CU_GRAPH_NODE_TYPE_EMPTY:
        case CU_GRAPH_NODE_TYPE_CONDITIONAL: return CUDA_SUCCESS;
        default:
            capture.invalidate(operation.label + " cannot be in the body of a loop");
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
}

CUresult find_nodes(const Graph &graph, const CUgraphNode *nodes, std::size_t count, std::vector<std::size_t> &places) {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < count; ++i) {
        const auto handle = reinterpret_cast<std::uintptr_t>(nodes[i]);
        std::size_t place = 0;
        while (place < graph.nodes.size() && graph.nodes[place]->handle != handle) ++place;
        if (place == graph.nodes.size()) return CUDA_ERROR_INVALID_VALUE;
        found.push_back(place);
    }
    places = std::move(found);
    return CUDA_SUCCESS;
}

void set_condition(unsigned long long handle, unsigned value) {
    Lock lock(driver_mutex());
    auto entry = state().conditions.find(handle);
    auto condition = entry == state().conditions.end() ? nullptr : entry->second.lock();
    if (!condition)
        journal().report("a kernel set the condition of a loop that there is not");
    else
        condition->value = value;
}

}  // namespace fake

using namespace fake;

API cuGraphConditionalHandleCreate(CUgraphConditionalHandle *handle, CUgraph graph_handle, CUcontext context,
                                   unsigned initial, unsigned flags) {
    ENTER(needs_context);
    TRY(refuse_before_loops(entry.name()));
    std::shared_ptr<Graph> graph;
    TRY(state().objects.find(graph_handle, graph));
    if (flags & ~unsigned{CU_GRAPH_COND_ASSIGN_DEFAULT}) return CUDA_ERROR_INVALID_VALUE;
    if (context != as_handle<CUcontext>(*current_context())) return CUDA_ERROR_INVALID_VALUE;
    auto condition = std::make_shared<Condition>();
    condition->handle = Objects::next_handle();
    condition->initial = initial;
    condition->assigned = flags & CU_GRAPH_COND_ASSIGN_DEFAULT;
    graph->conditions.push_back(condition);
    state().conditions[condition->handle] = condition;
    *handle = condition->handle;
    return CUDA_SUCCESS;
}

// Of all the kinds of nodes only loops: everything else is captured.
API cuGraphAddNode_v2(CUgraphNode *handle, CUgraph graph_handle, const CUgraphNode *after, const CUgraphEdgeData *,
                      std::size_t count, CUgraphNodeParams *parameters) {
    ENTER(needs_context);
    TRY(refuse_before_loops(entry.name()));
    std::shared_ptr<Graph> graph;
    TRY(state().objects.find(graph_handle, graph));
    if (parameters->type != CU_GRAPH_NODE_TYPE_CONDITIONAL) return CUDA_ERROR_NOT_SUPPORTED;
    auto &wanted = parameters->conditional;
    if (wanted.type != CU_GRAPH_COND_TYPE_WHILE || wanted.size != 1) return CUDA_ERROR_NOT_SUPPORTED;
    if (wanted.ctx != as_handle<CUcontext>(*current_context())) return CUDA_ERROR_INVALID_VALUE;
    auto loop = std::make_shared<Loop>();
    for (const auto &condition : graph->conditions)
        if (condition->handle == wanted.handle && !condition->bound) loop->condition = condition;
    if (!loop->condition) return CUDA_ERROR_INVALID_VALUE;
    auto node = std::make_shared<Node>();
    TRY(find_nodes(*graph, after, count, node->after));
    loop->condition->bound = true;
    loop->body = add_graph(graph->context);
    loop->body->body = true;
    loop->graphs[0] = as_handle<CUgraph>(*loop->body);
    wanted.phGraph_out = loop->graphs;
    node->context = graph->context;
    node->operation = {CU_GRAPH_NODE_TYPE_CONDITIONAL, "loop", {}, {}};
    node->loop = loop;
    graph->nodes.push_back(state().objects.add(node));
    *handle = as_handle<CUgraphNode>(*node);
    return CUDA_SUCCESS;
}
