// Lets g++ compile kernels.cu, and runs the kernels on the host. For tests only: an emulation, not a GPU.
//
// Every CUDA thread can wait like a fiber, so barriers and warp shuffles really wait. A thread that never waits costs a
// function call. Threads run one at a time, and so do blocks. The emulated driver launches a `HostKernel`.
#pragma once

#include <setjmp.h>
#include <signal.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

struct HostKernel {
    int parameters;
    size_t bytes;           // of the packed arguments, laid out as the CUDA driver lays them out
    const size_t *offsets;  // [parameters]
    const size_t *sizes;    // [parameters]
    // 0, or a Fault
    int (*run)(const unsigned grid[3], const unsigned block[3], size_t shared_bytes, const char *arguments);
};
enum Fault {
    DONE = 0,
    DIVERGENT = 1,               // threads of a block wait at different places
    SHARED_MEMORY_OVERRUN = 2,   // a block wrote behind its shared memory, or asked for too much
    ACCESS_OUTSIDE_BUFFERS = 3,  // a guard page was touched
    UNDEFINED = 4,               // trapped by the undefined-behaviour sanitiser: a misaligned vector, an overflow
};

// Whoever loads the library sets this: it is called in the place of cudaGraphSetConditional.
extern "C" __attribute__((visibility("default"))) void (*host_set_condition)(unsigned long long handle, unsigned value);
void (*host_set_condition)(unsigned long long handle, unsigned value) = nullptr;
extern "C" inline void cudaGraphSetConditional(unsigned long long handle, unsigned value) {
    host_set_condition(handle, value);
}

// ------------------------------------------------------------------------------------------------- fibers
namespace host_fiber {

constexpr size_t STACK_BYTES = 64 * 1024;

#if defined(__x86_64__)
// Saves the callee-saved registers and the stack pointer, and continues where `load` was saved. swapcontext does the
// same with two system calls, which takes a hundred times longer.
using Context = void *;
extern "C" void host_fiber_switch(Context *save, Context load);
asm(R"(
    .text
    .type host_fiber_switch, @function
host_fiber_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
inline void change(Context &from, Context &to) { host_fiber_switch(&from, to); }
inline void prepare(Context &fiber, char *stack, void (*entry)()) {
    void **top = reinterpret_cast<void **>(stack + STACK_BYTES);
    *--top = nullptr;  // the entry never returns; this aligns the stack as a call would
    *--top = reinterpret_cast<void *>(entry);
    for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
    fiber = top;
}
#else
using Context = ucontext_t;
inline void change(Context &from, Context &to) { swapcontext(&from, &to); }
inline void prepare(Context &fiber, char *stack, void (*entry)()) {
    getcontext(&fiber);
    fiber.uc_stack.ss_sp = stack;
    fiber.uc_stack.ss_size = STACK_BYTES;
    makecontext(&fiber, entry, 0);
}
#endif

}  // namespace host_fiber

// ------------------------------------------------------------------------------------- the language of CUDA
#define __global__
#define __device__
#define __shared__
#define __launch_bounds__(...)
#define __restrict__ __restrict

struct uint3 {
    unsigned x, y, z;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) ushort4 {
    unsigned short x, y, z, w;
};
struct alignas(4) uchar4 {
    unsigned char x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z, unsigned short w) {
    return {x, y, z, w};
}
using std::min;

inline float half_to_float(unsigned short bits) {
    _Float16 half;
    std::memcpy(&half, &bits, sizeof half);
    return static_cast<float>(half);
}
inline unsigned short float_to_half(float value) {
    const _Float16 half = static_cast<_Float16>(value);
    unsigned short bits;
    std::memcpy(&bits, &half, sizeof bits);
    return bits;
}

uint3 threadIdx, blockIdx, blockDim, gridDim;

// A block's dynamic shared memory, the only kind that kernels.cu uses, followed by bytes that nobody may touch.
constexpr size_t SHARED_LIMIT = 48 * 1024, SHARED_CANARY = 1024;
alignas(16) float scratch[(SHARED_LIMIT + SHARED_CANARY) / sizeof(float)];

// -------------------------------------------------------------------------------------------- one block
namespace host_device {

using host_fiber::Context;

constexpr unsigned WARP_SIZE = 32, THREAD_LIMIT = 1024;
enum class State { runnable, at_barrier, at_shuffle, returned };

struct Thread {
    Context context;
    State state;
    int line;              // of the barrier it waits at
    unsigned shuffles;     // number that it has taken part in
    uint32_t exchange[2];  // what its warp may read; two, because a lane may be one shuffle ahead of another
};

Thread threads[THREAD_LIMIT];
unsigned count, started, current;
Context scheduler;
void (*body)(const char *);
const char *packed;

inline char *stack_of(unsigned worker) {
    static std::vector<std::unique_ptr<char[]>> stacks;
    while (stacks.size() <= worker) stacks.emplace_back(new char[host_fiber::STACK_BYTES + 16]);
    const auto address = reinterpret_cast<uintptr_t>(stacks[worker].get());
    return stacks[worker].get() + (16 - address % 16) % 16;
}

inline void become(unsigned thread) {
    current = thread;
    threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / blockDim.x / blockDim.y};
}

// What every fiber does: run the threads of the block that have not started, one after the other. A thread that waits
// keeps its fiber, and the scheduler starts another fiber for the rest.
inline void work() {
    while (started < count) {
        become(started++);
        const unsigned self = current;
        threads[self].state = State::runnable;
        threads[self].shuffles = 0;
        body(packed);
        threads[self].state = State::returned;
    }
    host_fiber::change(threads[current].context, scheduler);
    __builtin_unreachable();
}

inline void wait(State state) {
    Thread &self = threads[current];
    self.state = state;
    host_fiber::change(self.context, scheduler);
}

inline void go_on(unsigned thread) {
    become(thread);
    host_fiber::change(scheduler, threads[thread].context);
}

inline bool all(unsigned begin, unsigned end, State state) {
    return std::all_of(threads + begin, threads + end, [state](const Thread &t) { return t.state == state; });
}

// A warp runs until its threads wait at a barrier or have returned.
inline void run_warp(unsigned begin, unsigned end) {
    for (;;) {
        for (unsigned thread = end; thread-- > begin;)
            if (threads[thread].state == State::runnable) go_on(thread);
        if (!all(begin, end, State::at_shuffle)) return;
        for (unsigned thread = begin; thread < end; ++thread) threads[thread].state = State::runnable;
    }
}

// One warp after the other runs as far as it can, in every other block the last warp first. So a missing barrier shows
// in one order or the other.
inline bool run_threads() {
    started = 0;
    for (unsigned worker = 0; started < count; ++worker) {
        Context fresh;
        host_fiber::prepare(fresh, stack_of(worker), work);
        host_fiber::change(scheduler, fresh);
    }
    const unsigned warps = (count + WARP_SIZE - 1) / WARP_SIZE;
    const bool last_first = (blockIdx.x + blockIdx.y + blockIdx.z) % 2 == 0;
    for (;;) {
        for (unsigned i = 0; i < warps; ++i) {
            const unsigned warp = last_first ? warps - 1 - i : i;
            run_warp(warp * WARP_SIZE, std::min((warp + 1) * WARP_SIZE, count));
        }
        if (all(0, count, State::returned)) return true;
        const auto same_line = [](const Thread &t) { return t.line == threads[0].line; };
        if (!all(0, count, State::at_barrier) || !std::all_of(threads, threads + count, same_line)) return false;
        for (unsigned thread = 0; thread < count; ++thread) threads[thread].state = State::runnable;
    }
}

// Shared memory starts as NaN, and the bytes behind it must stay so.
inline Fault run_block(size_t shared_bytes) {
    char *shared = reinterpret_cast<char *>(scratch);
    std::memset(shared, 0xff, shared_bytes + SHARED_CANARY);
    if (!run_threads()) return DIVERGENT;
    const auto untouched = [](char c) { return c == '\xff'; };
    const bool kept = std::all_of(shared + shared_bytes, shared + shared_bytes + SHARED_CANARY, untouched);
    return kept ? DONE : SHARED_MEMORY_OVERRUN;
}

// -------------------------------------------------------------------------------------------- one launch

thread_local bool inside = false;
sigjmp_buf outside;
struct sigaction former_segv, former_ill;

// A kernel touched the guard page behind a buffer, or hit a trap: end the launch, not the process.
inline void on_fault(int signal) {
    if (inside) siglongjmp(outside, signal);
    sigaction(signal, signal == SIGSEGV ? &former_segv : &former_ill, nullptr);  // not from a kernel: it faults again, for the earlier handler
}

inline int run_grid(const unsigned grid[3], const unsigned block[3], size_t shared_bytes, const char *arguments,
                    void (*kernel)(const char *)) {
    static std::mutex one_launch_at_a_time;
    const std::lock_guard<std::mutex> lock(one_launch_at_a_time);
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    count = block[0] * block[1] * block[2];
    body = kernel;
    packed = arguments;
    if (count == 0 || count > THREAD_LIMIT) return DIVERGENT;
    if (shared_bytes > SHARED_LIMIT) return SHARED_MEMORY_OVERRUN;

    struct sigaction action = {};
    action.sa_handler = on_fault;
    sigaction(SIGSEGV, &action, &former_segv);
    sigaction(SIGILL, &action, &former_ill);
    volatile Fault fault = DONE;
    if (const int signal = sigsetjmp(outside, 1)) {
        fault = signal == SIGSEGV ? ACCESS_OUTSIDE_BUFFERS : UNDEFINED;
    } else {
        inside = true;
        for (unsigned z = 0; z < grid[2] && fault == DONE; ++z)
            for (unsigned y = 0; y < grid[1] && fault == DONE; ++y)
                for (unsigned x = 0; x < grid[0] && fault == DONE; ++x) {
                    blockIdx = {x, y, z};
                    fault = run_block(shared_bytes);
                }
    }
    inside = false;
    sigaction(SIGSEGV, &former_segv, nullptr);
    sigaction(SIGILL, &former_ill, nullptr);
    return fault;
}

// ------------------------------------------------------------------------------ from packed arguments to a call

template <auto Kernel> struct Entry;
template <typename... Arguments, void (*Kernel)(Arguments...)> struct Entry<Kernel> {
    static constexpr size_t N = sizeof...(Arguments);
    struct Layout {
        size_t offsets[N], sizes[N], bytes;
    };
    static constexpr Layout layout() {
        Layout made{};
        size_t i = 0;
        ((made.offsets[i] = (made.bytes + alignof(Arguments) - 1) / alignof(Arguments) * alignof(Arguments),
          made.sizes[i] = sizeof(Arguments), made.bytes = made.offsets[i] + sizeof(Arguments), ++i),
         ...);
        return made;
    }
    static constexpr Layout packing = layout();

    template <size_t... I> static void call(const char *from, std::index_sequence<I...>) {
        Kernel(*reinterpret_cast<const std::remove_const_t<Arguments> *>(from + packing.offsets[I])...);
    }
    static void thread(const char *from) { call(from, std::make_index_sequence<N>{}); }
    static int run(const unsigned grid[3], const unsigned block[3], size_t shared_bytes, const char *arguments) {
        alignas(16) char aligned[packing.bytes];
        std::memcpy(aligned, arguments, sizeof aligned);
        return run_grid(grid, block, shared_bytes, aligned, thread);
    }
};

}  // namespace host_device

#define HOST_KERNEL(name)                                                                                   \
    extern "C" __attribute__((visibility("default"))) const HostKernel host_kernel_##name = {              \
        host_device::Entry<&name>::N, host_device::Entry<&name>::packing.bytes,                            \
        host_device::Entry<&name>::packing.offsets, host_device::Entry<&name>::packing.sizes,              \
        host_device::Entry<&name>::run};

// ------------------------------------------------------------------------------------ barriers and shuffles

inline void host_barrier(int line) {
    host_device::threads[host_device::current].line = line;
    host_device::wait(host_device::State::at_barrier);
}
#define __syncthreads() host_barrier(__LINE__)

inline float __shfl_xor_sync(unsigned mask, float value, int lane_mask) {
    using namespace host_device;
    const unsigned self = current, slot = threads[self].shuffles++ % 2, other = self ^ static_cast<unsigned>(lane_mask);
    std::memcpy(&threads[self].exchange[slot], &value, sizeof value);
    wait(mask == 0xffffffffu ? State::at_shuffle : State::at_barrier);  // part of a warp: no kernel needs it
    if (other >= count) return NAN;  // there is no such lane
    float received;
    std::memcpy(&received, &threads[other].exchange[slot], sizeof received);
    return received;
}
