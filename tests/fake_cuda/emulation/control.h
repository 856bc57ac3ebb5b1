// What a test states about the next host function of its thread: its name in the timeline, and the memory it uses.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace fake {

struct Annotation {
    std::string label;
    std::vector<std::uintptr_t> addresses;
};

// Returns the calling thread's annotation and clears it.
Annotation take_annotation();

}  // namespace fake
