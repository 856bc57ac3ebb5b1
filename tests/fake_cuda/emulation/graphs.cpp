#include "graphs.h"

#include <algorithm>
#include <queue>

#include "conditionals.h"
#include "context.h"
#include "entry.h"
#include "journal.h"
#include "state.h"
#include "streams.h"

namespace fake {

struct Executable : Object {
    std::vector<std::shared_ptr<Node>> nodes;
    std::vector<std::shared_ptr<Condition>> conditions;
    Position last_launch;
    std::string describe() const override {
        return "an executable graph of " + std::to_string(nodes.size()) + " nodes";
    }
};

namespace {

constexpr int MOST_ITERATIONS = 1000000;  // of a loop that this program would wait for

// A launch with released memory or kernels would corrupt or crash a device. Here it is refused.
CUresult check_uses(const std::vector<std::shared_ptr<Node>> &nodes) {
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        if (nodes[i]->loop) TRY(check_uses(nodes[i]->loop->body->nodes));
        for (const auto &used : nodes[i]->operation.uses)
            if (!used->alive) {
                journal().report("graph launch: node " + std::to_string(i) + " (" + nodes[i]->operation.label +
                                 ") uses " + used->describe() + " that is gone since the capture");
                return CUDA_ERROR_ILLEGAL_ADDRESS;
            }
    }
    return CUDA_SUCCESS;
}

CUresult run_nodes(const std::vector<std::shared_ptr<Node>> &nodes, const std::string &where);

CUresult run_loop(const Loop &loop, const std::string &where) {
    for (int i = 0; loop.condition->value; ++i) {
        if (i == MOST_ITERATIONS) {
            journal().report("a loop does not end: its condition is never set to 0");
            return CUDA_ERROR_LAUNCH_TIMEOUT;
        }
        TRY(run_nodes(loop.body->nodes, where));
    }
    return CUDA_SUCCESS;
}

// Runs the nodes in an order that their dependencies allow, the latest captured first. So a missing dependency gives a
// wrong result, which the order of capture would hide.
CUresult run_nodes(const std::vector<std::shared_ptr<Node>> &nodes, const std::string &where) {
    std::vector<std::size_t> missing(nodes.size());
    std::vector<std::vector<std::size_t>> successors(nodes.size());
    std::priority_queue<std::size_t> ready;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        missing[i] = nodes[i]->after.size();
        if (missing[i] == 0) ready.push(i);
        for (auto earlier : nodes[i]->after) successors[earlier].push_back(i);
    }
    while (!ready.empty()) {
        const auto node = ready.top();
        ready.pop();
        TRY(nodes[node]->loop ? run_loop(*nodes[node]->loop, where) : run_operation(nodes[node]->operation, where));
        for (auto later : successors[node])
            if (--missing[later] == 0) ready.push(later);
    }
    return CUDA_SUCCESS;
}

}  // namespace

std::shared_ptr<Graph> add_graph(const std::shared_ptr<Context> &context) {
    auto graph = state().objects.add(std::make_shared<Graph>());
    graph->context = context;
    return graph;
}

void destroy_graph(Graph &graph) {
    for (const auto &node : graph.nodes) {
        if (node->loop) destroy_graph(*node->loop->body);
        state().objects.destroy(*node);
    }
    state().objects.destroy(graph);
}

}  // namespace fake

using namespace fake;

API cuGraphDestroy(CUgraph handle) {
    ENTER(needs_context | releases);
    std::shared_ptr<Graph> graph;
    TRY(state().objects.find(handle, graph));
    if (graph->body) return CUDA_ERROR_INVALID_VALUE;  // it belongs to its node
    destroy_graph(*graph);
    return state().lost;
}

API cuGraphGetNodes(CUgraph handle, CUgraphNode *nodes, std::size_t *count) {
    ENTER(needs_context);
    std::shared_ptr<Graph> graph;
    TRY(state().objects.find(handle, graph));
    if (!nodes) {
        *count = graph->nodes.size();
        return CUDA_SUCCESS;
    }
    for (std::size_t i = 0; i < *count; ++i)
        nodes[i] = i < graph->nodes.size() ? as_handle<CUgraphNode>(*graph->nodes[i]) : nullptr;
    *count = std::min(*count, graph->nodes.size());
    return CUDA_SUCCESS;
}

API cuGraphNodeGetType(CUgraphNode handle, CUgraphNodeType *type) {
    ENTER(needs_context);
    std::shared_ptr<Node> node;
    TRY(state().objects.find(handle, node));
    *type = node->operation.type;
    return CUDA_SUCCESS;
}

API cuGraphInstantiate(CUgraphExec *handle, CUgraph graph_handle, unsigned long long flags) {
    ENTER(needs_context | unsafe);
    if (flags) return CUDA_ERROR_NOT_SUPPORTED;
    std::shared_ptr<Graph> graph;
    TRY(state().objects.find(graph_handle, graph));
    if (graph->body) return CUDA_ERROR_INVALID_VALUE;
    for (const auto &condition : graph->conditions)
        if (!condition->bound) return CUDA_ERROR_INVALID_VALUE;
    auto earlier = graph->executable.lock();
    if (earlier && earlier->alive && !graph->conditions.empty()) {
        journal().report("a graph with a loop may be instantiated once at a time");
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    auto executable = state().objects.add(std::make_shared<Executable>());
    executable->context = graph->context;
    executable->nodes = graph->nodes;
    executable->conditions = graph->conditions;
    graph->executable = executable;
    *handle = as_handle<CUgraphExec>(*executable);
    return CUDA_SUCCESS;
}

API cuGraphUpload(CUgraphExec handle, CUstream stream) {
    ENTER(needs_context);
    std::shared_ptr<Executable> executable;
    TRY(state().objects.find(handle, executable));
    TRY(check_uses(executable->nodes));
    return enqueue(entry, stream, {});
}

API cuGraphLaunch(CUgraphExec handle, CUstream stream_handle) {
    ENTER(needs_context);
    std::shared_ptr<Executable> executable;
    std::shared_ptr<Stream> stream;
    TRY(state().objects.find(handle, executable));
    TRY(find_stream(stream_handle, stream));
    TRY(refuse_in_capture(*stream, "cuGraphLaunch (child graphs are not emulated)"));
    TRY(check_uses(executable->nodes));
    Operation operation;
    operation.type = CU_GRAPH_NODE_TYPE_GRAPH;
    // The launch keeps the nodes alive, so the executable may be destroyed while it is pending.
    operation.run = [nodes = executable->nodes, conditions = executable->conditions,
                     where = stream->describe() + ", graph"] {
        for (const auto &condition : conditions)
            if (condition->assigned) condition->value = condition->initial;
        return run_nodes(nodes, where);
    };
    std::vector<Position> after;
    if (executable->last_launch.stream) after.push_back(executable->last_launch);  // never two at once
    TRY(enqueue(entry, stream_handle, std::move(operation), std::move(after)));
    executable->last_launch = end_of(stream);
    return CUDA_SUCCESS;
}

API cuGraphExecDestroy(CUgraphExec handle) {
    ENTER(needs_context | releases);
    std::shared_ptr<Executable> executable;
    TRY(state().objects.find(handle, executable));
    state().objects.destroy(*executable);
    return state().lost;
}
