// Graphs: captured nodes, and their executable copies.
#pragma once
#include <memory>
#include <vector>

#include "capture.h"

namespace fake {

struct Graph : Object {
    std::vector<std::shared_ptr<Node>> nodes;
    std::string describe() const override { return "a graph of " + std::to_string(nodes.size()) + " nodes"; }
};

std::shared_ptr<Graph> add_graph(const std::shared_ptr<Context> &context, std::vector<std::shared_ptr<Node>> nodes);

}  // namespace fake
