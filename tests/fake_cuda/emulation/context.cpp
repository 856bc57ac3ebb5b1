#include "context.h"

#include "capture.h"
#include "entry.h"
#include "journal.h"
#include "state.h"
#include "streams.h"

namespace fake {

namespace {

using Contexts = std::vector<std::shared_ptr<Context>>;

// The calling thread's stack of contexts; a reset empties the stacks of all threads.
Contexts &stack() {
    static thread_local Contexts contexts;
    static thread_local unsigned long seen = generation();
    if (seen != generation()) contexts.clear();
    seen = generation();
    return contexts;
}

std::shared_ptr<Context> make_context(bool primary) {
    auto context = state().objects.add(std::make_shared<Context>());
    context->primary = primary;
    context->null_stream = state().objects.add(std::make_shared<Stream>());
    context->null_stream->context = context;
    return context;
}

CUresult destroy_and_pop(Entry &entry, const std::shared_ptr<Context> &context) {
    run_everything(entry.lock(), *context);
    destroy_context(*context);
    if (!stack().empty() && stack().back() == context) stack().pop_back();
    return state().lost;
}

}  // namespace

std::shared_ptr<Context> current_context() { return stack().empty() ? nullptr : stack().back(); }

void destroy_context(Context &context) {
    auto drop = [&](Object &object) {
        if (object.owned_by_the_program()) journal().dropped(object.describe());
    };
    for (const auto &[base, allocation] : std::map(state().memory.all()))
        if (allocation->alive && allocation->context.get() == &context) {
            drop(*allocation);
            state().memory.release(*allocation);
        }
    for (const auto &[handle, object] : state().objects.all())
        if (object->alive && object->context.get() == &context) {
            drop(*object);
            object->alive = false;
        }
    context.null_stream = nullptr;
    state().captures.clear();
    context.alive = false;
    if (state().primary.get() == &context) state().primary = nullptr;
}

}  // namespace fake

using namespace fake;

API cuCtxCreate(CUcontext *context, CUctxCreateParams *, unsigned, CUdevice device) {
    ENTER(anywhere);
    if (!context) return CUDA_ERROR_INVALID_VALUE;
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    TRY(state().lost);
    stack().push_back(make_context(false));
    *context = as_handle<CUcontext>(*stack().back());
    return CUDA_SUCCESS;
}

API cuCtxDestroy(CUcontext handle) {
    ENTER(anywhere);
    std::shared_ptr<Context> context;
    if (state().objects.find(handle, context) != CUDA_SUCCESS || context->primary) return CUDA_ERROR_INVALID_CONTEXT;
    return destroy_and_pop(entry, context);
}

API cuCtxAttach(CUcontext *context, unsigned) {
    ENTER(needs_context);
    *context = as_handle<CUcontext>(*current_context());
    return CUDA_SUCCESS;
}

API cuCtxDetach(CUcontext handle) {
    ENTER(anywhere);
    std::shared_ptr<Context> context;
    if (state().objects.find(handle, context) != CUDA_SUCCESS || context->primary) return CUDA_ERROR_INVALID_CONTEXT;
    return destroy_and_pop(entry, context);
}

API cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    ENTER(anywhere);
    if (!context) return CUDA_ERROR_INVALID_VALUE;
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    TRY(state().lost);
    if (!state().primary) state().primary = make_context(true);
    ++state().primary->retained;
    *context = as_handle<CUcontext>(*state().primary);
    return CUDA_SUCCESS;
}

API cuDevicePrimaryCtxRelease(CUdevice device) {
    ENTER(anywhere);
    if (device != 0) return CUDA_ERROR_INVALID_DEVICE;
    auto primary = state().primary, current = current_context();
    // pycuda makes a context current before it releases it, so a late finaliser must not release another one.
    const bool stale = current && current->primary && !current->alive;
    if (!primary || stale) return CUDA_ERROR_INVALID_CONTEXT;
    if (--primary->retained == 0) {
        run_everything(entry.lock(), *primary);
        destroy_context(*primary);
    }
    return CUDA_SUCCESS;
}

API cuCtxPushCurrent(CUcontext handle) {
    ENTER(anywhere);
    std::shared_ptr<Context> context;
    if (state().objects.find(handle, context) == CUDA_ERROR_INVALID_HANDLE) return CUDA_ERROR_INVALID_CONTEXT;
    stack().push_back(context);  // also a destroyed one, like the driver: the next call reports it
    return CUDA_SUCCESS;
}

API cuCtxPopCurrent(CUcontext *context) {
    ENTER(anywhere);
    if (stack().empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (context) *context = as_handle<CUcontext>(*stack().back());
    stack().pop_back();
    return CUDA_SUCCESS;
}

API cuCtxSetCurrent(CUcontext handle) {
    ENTER(anywhere);
    std::shared_ptr<Context> context;
    if (handle && state().objects.find(handle, context) != CUDA_SUCCESS) return CUDA_ERROR_INVALID_CONTEXT;
    if (!stack().empty()) stack().pop_back();
    if (context) stack().push_back(context);
    return CUDA_SUCCESS;
}

API cuCtxGetCurrent(CUcontext *context) {
    ENTER(anywhere);
    *context = current_context() ? as_handle<CUcontext>(*current_context()) : nullptr;
    return CUDA_SUCCESS;
}

API cuCtxGetDevice(CUdevice *device) {
    ENTER(needs_context);
    *device = 0;
    return CUDA_SUCCESS;
}

API cuCtxGetApiVersion(CUcontext, unsigned *version) {
    ENTER(anywhere);
    *version = static_cast<unsigned>(state().config.driver_version);
    return CUDA_SUCCESS;
}

API cuCtxSynchronize() {
    ENTER(needs_context);
    TRY(refuse_to_wait_for_context(*current_context()));
    run_everything(entry.lock(), *current_context());
    return state().lost;
}
