// Touching a guard page ends the process with a sentence that names the work and the allocation.
#pragma once
#include <string>

namespace fake {

// While it lives, the report of a crash on this thread names this work.
class NowRunning {
  public:
    explicit NowRunning(const std::string &label);
    ~NowRunning();
};

void install_crash_report();

}  // namespace fake
