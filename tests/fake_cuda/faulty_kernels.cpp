// Host-built kernels for the tests of the emulated driver: a correct one, and one for each fault.
#include <cstring>

#include "emulation/host_kernel.h"

namespace {

// The parameters of all of them: (float *out, float value, int count), packed as the CUDA driver packs them.
constexpr std::size_t offsets[] = {0, 8, 12}, sizes[] = {8, 4, 4};

struct Parameters {
    float *out, value;
    int count;
    explicit Parameters(const char *packed) : value(0), count(0) {
        std::memcpy(&out, packed, sizeof out);
        std::memcpy(&value, packed + offsets[1], sizeof value);
        std::memcpy(&count, packed + offsets[2], sizeof count);
    }
};

using Three = const unsigned *;  // x, y, z

// out[i] += value for the i < count that the grid reaches
int add(Three grid, Three block, std::size_t, const char *packed) {
    Parameters p(packed);
    for (unsigned i = 0; i < grid[0] * block[0] && i < static_cast<unsigned>(p.count); ++i) p.out[i] += p.value;
    return none;
}

// Does not check the count, so that the last block goes out of bounds.
int out_of_bounds(Three grid, Three block, std::size_t, const char *packed) {
    Parameters p(packed);
    for (unsigned i = 0; i < grid[0] * block[0]; ++i) p.out[i] = p.value;
    return none;
}

// Writes into the padding between the end of the allocation and the guard page.
int writes_right_behind(Three, Three, std::size_t, const char *packed) {
    Parameters p(packed);
    p.out[p.count] = p.value;
    return none;
}

int divergent(Three, Three, std::size_t, const char *) { return divergent_barriers; }

}  // namespace

#define EXPORT(name)                                                           \
    extern "C" __attribute__((visibility("default")))                          \
    const HostKernel host_kernel_##name = {3, 16, offsets, sizes, &name}

EXPORT(add);
EXPORT(out_of_bounds);
EXPORT(writes_right_behind);
EXPORT(divergent);
