// Contexts, and which one each thread has current.
#pragma once
#include <memory>
#include <vector>

#include "objects.h"

namespace fake {

struct Stream;

struct Context : Object {
    bool primary = false;
    unsigned retained = 0;                // of a primary context
    std::shared_ptr<Stream> null_stream;  // the legacy default stream

    std::string describe() const override { return primary ? "the retained primary context" : "a context"; }
};

// The calling thread's current context, or null.
std::shared_ptr<Context> current_context();

// Ends everything that lives in the context, noting what the program had not destroyed itself.
void destroy_context(Context &context);

}  // namespace fake
