// Device and pinned host memory: pieces of one reserved range of addresses.
//
// A guard page follows every allocation, new memory reads as NaN (all bits set), and an address is never used twice, so
// that a use after free faults, too.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "objects.h"

namespace fake {

enum class Kind { device, pinned, mapped, registered };  // registered: the program's own memory, page-locked and mapped

struct Allocation : Object {
    std::uintptr_t base = 0;
    std::size_t bytes = 0;
    Kind kind = Kind::device;
    unsigned flags = 0;
    std::uintptr_t piece = 0;     // of the reserved range: [piece, piece + readable), then the guard page
    std::size_t readable = 0;

    std::string describe() const override;
    bool holds(std::uintptr_t address, std::size_t count) const {
        return address >= base && count <= bytes && address - base <= bytes - count;
    }
    bool on_device() const { return kind == Kind::device; }
    bool reachable_by_kernels() const { return kind != Kind::pinned; }
    // Whether something was written into the padding around the allocation, where there is no guard page.
    bool padding_is_intact() const;
};

class Memory {
  public:
    // Null when the reserved range is used up.
    std::shared_ptr<Allocation> allocate(Kind kind, std::size_t bytes);
    std::shared_ptr<Allocation> add_registered(std::uintptr_t base, std::size_t bytes);
    void release(Allocation &allocation);

    // The allocation, live or freed, that holds this address.
    std::shared_ptr<Allocation> at(std::uintptr_t address) const;
    // The nearest allocation at or before this address: for reports.
    std::shared_ptr<Allocation> before(std::uintptr_t address) const;
    static bool in_range(std::uintptr_t address);

    std::size_t device_bytes() const { return device_bytes_; }
    const std::map<std::uintptr_t, std::shared_ptr<Allocation>> &all() const { return table_; }

  private:
    std::map<std::uintptr_t, std::shared_ptr<Allocation>> table_;  // freed ones stay, marked dead
    std::size_t device_bytes_ = 0;
};

enum class Side { device, host };

// Checks that [address, address + bytes) may be used from that side, and adds the allocation to `uses` where it is
// known. Ordinary host memory is not known to the driver: nothing can be checked, and `pageable` is set.
CUresult check_range(Side side, std::uintptr_t address, std::size_t bytes, const std::string &what,
                     std::vector<std::shared_ptr<Object>> &uses, bool *pageable = nullptr);

}  // namespace fake
