// A touched guard page ends the process, but with a sentence that names the work and the allocation.
#pragma once
#include <string>

namespace fake {

// While it lives, a crash on this thread is blamed on this work.
class NowRunning {
  public:
    explicit NowRunning(const std::string &label);
    ~NowRunning();
};

void install_crash_report();

}  // namespace fake
