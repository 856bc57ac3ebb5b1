// What every API call does first: it takes the driver's lock, is counted, meets its planted faults, and is refused
// without a context, after the context is lost, or when a stream capture forbids it.
#pragma once
#include <mutex>
#include <string>

#include "cuda_api.h"

namespace fake {

using Lock = std::unique_lock<std::mutex>;

enum Rule : unsigned {
    anywhere = 0,          // needs nothing but cuInit
    needs_context = 1,
    unsafe = 2,            // forbidden beside an open capture, because it may synchronise implicitly
    releases = 4,          // a clean-up: it still works in a lost context, but returns that error
    before_init = 8,
    unsafe_on_null_stream = 16,  // runs in the legacy default stream, which is also forbidden beside a capture
};

class Entry {
  public:
    Entry(const char *function, unsigned rules);
    CUresult refusal() const { return refusal_; }
    Lock &lock() { return lock_; }
    const std::string &name() const { return name_; }

  private:
    CUresult check(unsigned rules);
    std::string name_;
    Lock lock_;
    CUresult refusal_ = CUDA_SUCCESS;
};

// Host functions run on the thread that synchronises, which may not call the driver from there.
struct InsideHostFunction {
    InsideHostFunction();
    ~InsideHostFunction();
};

}  // namespace fake

#define ENTER(rules)                    \
    fake::Entry entry(__func__, rules); \
    if (entry.refusal() != CUDA_SUCCESS) return entry.refusal()

// Returns an error to the caller.
#define TRY(call) \
    if (const CUresult try_result = (call); try_result != CUDA_SUCCESS) return try_result
