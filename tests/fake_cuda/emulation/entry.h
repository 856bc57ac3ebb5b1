// What every API call does first: take the driver's lock, be counted, meet its planted faults and be refused where it
// has no context, where the context is lost, or where a stream capture forbids it.
#pragma once
#include <mutex>
#include <string>

#include "cuda_api.h"

namespace fake {

using Lock = std::unique_lock<std::mutex>;

enum Rule : unsigned {
    anywhere = 0,          // needs nothing but cuInit
    needs_context = 1,
    unsafe = 2,            // forbidden beside an open capture: it may synchronise behind the caller's back
    releases = 4,          // a clean-up: still done in a lost context, whose error it returns
    before_init = 8,
    unsafe_on_null_stream = 16,  // works in the legacy default stream, which also may not meet a capture
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

// Hands an error on.
#define TRY(call) \
    if (const CUresult try_result = (call); try_result != CUDA_SUCCESS) return try_result
