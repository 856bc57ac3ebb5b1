// Graphs: captured nodes, and their executable copies.
#pragma once
#include <memory>
#include <vector>

#include "capture.h"

namespace fake {

struct Condition;
struct Executable;

struct Graph : Object {
    std::vector<std::shared_ptr<Node>> nodes;
    std::vector<std::shared_ptr<Condition>> conditions;  // whose handles were made for it
    std::weak_ptr<Executable> executable;                // the last one made of it
    bool body = false;                                   // of a conditional node, which owns it
    std::string describe() const override { return "a graph of " + std::to_string(nodes.size()) + " nodes"; }
    bool owned_by_the_program() const override { return !body; }
};

std::shared_ptr<Graph> add_graph(const std::shared_ptr<Context> &context);

// Destroys a graph with its nodes, and with the bodies of its loops.
void destroy_graph(Graph &graph);

}  // namespace fake
