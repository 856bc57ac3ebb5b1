// What a test says about the next host function of its thread: a name for the timeline, and the memory it uses.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace fake {

struct Annotation {
    std::string label;
    std::vector<std::uintptr_t> addresses;
};

// The calling thread's annotation, which is used up by this.
Annotation take_annotation();

}  // namespace fake
