// Faults that a test plants at the n-th call of a function, or at every call.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "cuda_api.h"

namespace fake {

enum class Mishap { call_fails, context_is_lost, captures_are_invalidated };

struct Fault {
    std::string api;
    std::uint64_t nth;  // counted from 1 since the fault was planted; 0: every call
    Mishap mishap;
    CUresult result;    // of the call, or of every later call when the context is lost
    std::uint64_t seen = 0;
};

class Faults {
  public:
    void plant(Fault fault) { faults_.push_back(std::move(fault)); }
    // The faults that hit this call.
    std::vector<Fault> strike(const std::string &api) {
        std::vector<Fault> striking;
        for (auto &fault : faults_)
            if (fault.api == api && (++fault.seen == fault.nth || fault.nth == 0)) striking.push_back(fault);
        return striking;
    }

  private:
    std::vector<Fault> faults_;
};

}  // namespace fake
