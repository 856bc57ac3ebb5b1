// Functions, not of CUDA, by which tests control the emulation and read what happened.
#include "control.h"

#include <cstdio>
#include <utility>

#include "capture.h"
#include "crash.h"
#include "journal.h"
#include "state.h"
#include "streams.h"

namespace fake {

static thread_local Annotation annotation;

Annotation take_annotation() { return std::exchange(annotation, {}); }

// A string lives until the calling thread asks for the next one.
static const char *keep(std::string text) {
    static thread_local std::string kept;
    kept = std::move(text);
    return kept.c_str();
}

// Prints the leaks at the end of the process, when Python is gone.
static struct AtExit {
    AtExit() { install_crash_report(); }
    ~AtExit() {
        Lock lock(driver_mutex());
        for (const auto &leak : leaks()) std::fprintf(stderr, "fake_cuda: leaked: %s\n", leak.c_str());
    }
} at_exit;

}  // namespace fake

using namespace fake;

CONTROL void fake_cuda_reset() {
    Lock lock(driver_mutex());
    operation_ended().wait(lock, [] { return !state().executing; });
    reset();
}

CONTROL void fake_cuda_configure(int major, int minor, int integrated, std::size_t memory, int driver_version,
                                 int eager_copies) {
    Lock lock(driver_mutex());
    state().config = {major, minor, integrated != 0, memory, driver_version, eager_copies != 0};
}

CONTROL void fake_cuda_use_kernels(const char *path) {
    Lock lock(driver_mutex());
    state().kernels = path;
}

// mishap: 0 the call fails, 1 the context is lost, 2 open captures are invalidated. nth: 1 the next call; 0 every call.
CONTROL void fake_cuda_plant_fault(const char *api, int mishap, int result, unsigned long long nth) {
    Lock lock(driver_mutex());
    state().faults.plant({api, nth, static_cast<Mishap>(mishap), static_cast<CUresult>(result)});
}

CONTROL void fake_cuda_lose_context(int result) {
    Lock lock(driver_mutex());
    lose_context(static_cast<CUresult>(result));
}

CONTROL void fake_cuda_invalidate_captures() {
    Lock lock(driver_mutex());
    invalidate_all_captures();
}

CONTROL void fake_cuda_annotate(const char *label, const std::uintptr_t *addresses, std::size_t count) {
    annotation = {label, {addresses, addresses + count}};
}

CONTROL const char *fake_cuda_calls() { return keep(journal().calls_json()); }
CONTROL const char *fake_cuda_timeline() { return keep(journal().timeline_json()); }
CONTROL const char *fake_cuda_reports() { return keep(journal().reports_json()); }
CONTROL const char *fake_cuda_dropped() { return keep(journal().dropped_json()); }

CONTROL const char *fake_cuda_leaks() {
    Lock lock(driver_mutex());
    return keep(json(leaks()));
}

CONTROL int fake_cuda_leak_count() {
    Lock lock(driver_mutex());
    return static_cast<int>(leaks().size());
}

// Every driver symbol of cuda.h that the emulation leaves out ends here.
CONTROL int fake_cuda_unsupported(const char *api) {
    journal().report(std::string(api) + " is not emulated");
    return CUDA_ERROR_NOT_SUPPORTED;
}
