#include "state.h"

#include "capture.h"
#include "context.h"
#include "journal.h"
#include "streams.h"

namespace fake {

// None of these is ever destroyed: Python's last finalisers call the driver after static objects are gone.
State &state() {
    static State *the_state = new State;
    return *the_state;
}

std::mutex &driver_mutex() {
    static auto *mutex = new std::mutex;
    return *mutex;
}

std::condition_variable &operation_ended() {
    static auto *condition = new std::condition_variable;
    return *condition;
}

static unsigned long resets = 0;
unsigned long generation() { return resets; }

std::uintptr_t Objects::next_handle() {
    static std::uintptr_t last = 0xCADA000000;  // far from any memory, so that nobody can dereference a handle
    return last += 16;
}

void reset() {
    for (const auto &[base, allocation] : std::map(state().memory.all())) state().memory.release(*allocation);
    State fresh;
    fresh.initialized = state().initialized;
    // Contexts stay known, as destroyed ones: pycuda ends the process when a late finaliser cannot make one current.
    for (const auto &[handle, object] : state().objects.all())
        if (auto context = std::dynamic_pointer_cast<Context>(object)) {
            context->alive = false;
            context->null_stream = nullptr;
            fresh.objects.keep(context);
        }
    state() = std::move(fresh);
    ++resets;
    journal().clear();
}

std::vector<std::string> leaks() {
    std::vector<std::string> found;
    for (const auto &[base, allocation] : state().memory.all())
        if (allocation->alive) found.push_back(allocation->describe());
    for (const auto &[handle, object] : state().objects.all())
        if (object->alive && object->owned_by_the_program()) found.push_back(object->describe());
    return found;
}

}  // namespace fake
