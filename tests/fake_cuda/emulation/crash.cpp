#include "crash.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "memory.h"
#include "state.h"

namespace fake {

namespace {

thread_local const char *running = nullptr;
struct sigaction previous;

// The signal may arrive on the small stack of a kernel's fiber, so the report has a stack of its own.
struct AlternateStack {
    static constexpr std::size_t bytes = 64 * 1024;
    std::unique_ptr<char[]> memory{new char[bytes]};
    AlternateStack() {
        stack_t stack{memory.get(), 0, bytes};
        stack_t current;
        if (sigaltstack(nullptr, &current) == 0 && (current.ss_flags & SS_DISABLE)) sigaltstack(&stack, nullptr);
    }
    ~AlternateStack() {
        stack_t current;
        if (sigaltstack(nullptr, &current) != 0 || current.ss_sp != memory.get()) return;
        stack_t off{nullptr, SS_DISABLE, 0};
        sigaltstack(&off, nullptr);
    }
};

void report_crash(int, siginfo_t *info, void *) {
    const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    if (!Memory::in_range(address)) {
        sigaction(SIGSEGV, &previous, nullptr);  // not our memory: the access faults again, for the earlier handler
        return;
    }
    char text[512];
    const char *work = running && *running ? running : "the host, outside the driver,";
    auto near = state().memory.before(address);
    int length;
    if (!near) {
        length = std::snprintf(text, sizeof text, "fake_cuda: %s touched memory that was never allocated\n", work);
    } else if (!near->alive && near->holds(address, 1)) {
        length = std::snprintf(text, sizeof text, "fake_cuda: %s touched %s after it was freed\n", work,
                               near->describe().c_str());
    } else {
        length = std::snprintf(text, sizeof text, "fake_cuda: %s touched memory out of bounds: offset %zu of %s\n", work,
                               static_cast<std::size_t>(address - near->base), near->describe().c_str());
    }
    [[maybe_unused]] auto written = write(STDERR_FILENO, text, static_cast<std::size_t>(length));
    std::abort();
}

}  // namespace

NowRunning::NowRunning(const std::string &label) {
    static thread_local AlternateStack stack;
    running = label.c_str();
}

NowRunning::~NowRunning() { running = nullptr; }

void install_crash_report() {
    struct sigaction action = {};
    action.sa_sigaction = report_crash;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &previous);
}

}  // namespace fake
