// The whole driver's state in one value, so that a reset is an assignment.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "faults.h"
#include "memory.h"
#include "objects.h"

namespace fake {

struct Config {
    int major = 8, minor = 7;                     // compute capability
    bool integrated = false;
    std::size_t memory = std::size_t{8} << 30;    // of the device, in bytes
    int driver_version = 13000;
    bool eager_copies = false;                    // copies run as soon as their own stream lets them
};

struct Condition;

struct State {
    Config config;
    bool initialized = false;
    CUresult lost = CUDA_SUCCESS;  // sticky: the error that every later call returns
    Objects objects;
    Memory memory;
    Faults faults;
    std::shared_ptr<Context> primary;
    std::set<std::shared_ptr<Capture>> captures;  // the open ones
    std::map<std::uintptr_t, std::weak_ptr<Condition>> conditions;  // of loops, by handle
    int streams_made = 0, captures_made = 0;
    bool executing = false;  // some thread runs an operation right now
    std::string kernels;     // path of the shared library of host-built kernels
};

State &state();
std::mutex &driver_mutex();
std::condition_variable &operation_ended();

// The number of resets. What a thread remembers from before the last one is void.
unsigned long generation();
void reset();

// What the program made and has not destroyed, one description each.
std::vector<std::string> leaks();

}  // namespace fake
