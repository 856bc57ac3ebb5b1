#include "entry.h"

#include "capture.h"
#include "context.h"
#include "journal.h"
#include "state.h"
#include "streams.h"

namespace fake {

static thread_local bool inside_host_function = false;

InsideHostFunction::InsideHostFunction() { inside_host_function = true; }
InsideHostFunction::~InsideHostFunction() { inside_host_function = false; }

// Counters and faults call cuMemAlloc_v2 cuMemAlloc.
static std::string without_version(std::string name) {
    auto suffix = name.rfind("_v");
    if (suffix != std::string::npos && name.find_first_not_of("0123456789", suffix + 2) == std::string::npos)
        name.resize(suffix);
    return name;
}

Entry::Entry(const char *function, unsigned rules) : name_(without_version(function)), lock_(driver_mutex()) {
    journal().count(name_);
    refusal_ = check(rules);
}

CUresult Entry::check(unsigned rules) {
    if (inside_host_function) {
        journal().report(name_ + " was called from inside a host function, which may not call the driver");
        return CUDA_ERROR_NOT_PERMITTED;
    }
    for (const auto &fault : state().faults.strike(name_)) {
        if (fault.mishap == Mishap::captures_are_invalidated) invalidate_all_captures();
        if (fault.mishap == Mishap::context_is_lost) lose_context(fault.result);
        if (fault.mishap == Mishap::call_fails) return fault.result;
    }
    if (rules & before_init) return CUDA_SUCCESS;
    if (!state().initialized) return CUDA_ERROR_NOT_INITIALIZED;
    if (rules & needs_context) {
        if (state().lost != CUDA_SUCCESS && !(rules & releases)) return state().lost;
        auto context = current_context();
        if (!context) return CUDA_ERROR_INVALID_CONTEXT;
        if (!context->alive) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    }
    if (rules & unsafe_on_null_stream) TRY(refuse_on_null_stream(*current_context(), name_));
    if (rules & (unsafe | unsafe_on_null_stream)) TRY(refuse_beside_captures(name_));
    return CUDA_SUCCESS;
}

}  // namespace fake
