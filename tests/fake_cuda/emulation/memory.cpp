#include "memory.h"

#include <sys/mman.h>

#include <cstring>

#include "journal.h"
#include "state.h"

namespace fake {

namespace {

constexpr std::size_t page = 4096, alignment = 256, range_bytes = std::size_t{1} << 42;

struct Range {
    std::uintptr_t first = 0, next = 0, end = 0;
};

// Reserved once for the process, without memory behind it. Pieces become readable one after the other.
Range &range() {
    static Range reserved = [] {
        void *start = mmap(nullptr, range_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (start == MAP_FAILED) return Range{};
        auto first = reinterpret_cast<std::uintptr_t>(start);
        return Range{first, first, first + range_bytes};
    }();
    return reserved;
}

std::size_t round_up(std::size_t value, std::size_t step) { return (value + step - 1) / step * step; }

bool all_bits_set(std::uintptr_t from, std::uintptr_t to) {
    for (auto address = from; address < to; ++address)
        if (*reinterpret_cast<const unsigned char *>(address) != 0xFF) return false;
    return true;
}

}  // namespace

std::string Allocation::describe() const {
    static const char *const names[] = {"a device allocation", "a pinned host allocation",
                                        "a mapped pinned host allocation", "registered host memory"};
    return std::string(names[static_cast<int>(kind)]) + " of " + std::to_string(bytes) + " bytes";
}

bool Allocation::padding_is_intact() const {
    if (kind == Kind::registered || !alive) return true;
    return all_bits_set(piece, base) && all_bits_set(base + bytes, piece + readable);
}

std::shared_ptr<Allocation> Memory::allocate(Kind kind, std::size_t bytes) {
    auto &reserved = range();
    const std::size_t padded = round_up(bytes, alignment), readable = round_up(padded, page);
    if (bytes > range_bytes || reserved.end - reserved.next < readable + 2 * page) {
        journal().report("the emulation's range of addresses is used up or could not be reserved");
        return nullptr;
    }
    auto piece = reserved.next + page;
    reserved.next = piece + readable;  // the next piece starts a page later: that page is the guard
    auto start = reinterpret_cast<void *>(piece);
    if (mprotect(start, readable, PROT_READ | PROT_WRITE) != 0) return nullptr;
    std::memset(start, 0xFF, readable);

    auto allocation = std::make_shared<Allocation>();
    allocation->base = piece + readable - padded;
    allocation->bytes = bytes;
    allocation->kind = kind;
    allocation->piece = piece;
    allocation->readable = readable;
    table_[allocation->base] = allocation;
    if (kind == Kind::device) device_bytes_ += padded;
    return allocation;
}

std::shared_ptr<Allocation> Memory::add_registered(std::uintptr_t base, std::size_t bytes) {
    auto allocation = std::make_shared<Allocation>();
    allocation->base = base;
    allocation->bytes = bytes;
    allocation->kind = Kind::registered;
    table_[base] = allocation;
    return allocation;
}

void Memory::release(Allocation &allocation) {
    if (!allocation.alive) return;
    if (!allocation.padding_is_intact())
        journal().report("something wrote outside " + allocation.describe() + ", which is being freed");
    allocation.alive = false;
    if (allocation.kind == Kind::registered) {
        table_.erase(allocation.base);  // the memory is the program's own and may be registered again
        return;
    }
    if (allocation.kind == Kind::device) device_bytes_ -= round_up(allocation.bytes, alignment);
    mmap(reinterpret_cast<void *>(allocation.piece), allocation.readable, PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

std::shared_ptr<Allocation> Memory::before(std::uintptr_t address) const {
    auto after = table_.upper_bound(address);
    return after == table_.begin() ? nullptr : std::prev(after)->second;
}

std::shared_ptr<Allocation> Memory::at(std::uintptr_t address) const {
    auto allocation = before(address);
    return allocation && allocation->holds(address, 1) ? allocation : nullptr;
}

bool Memory::in_range(std::uintptr_t address) { return address >= range().first && address < range().end; }

CUresult check_range(Side side, std::uintptr_t address, std::size_t bytes, const std::string &what,
                     std::vector<std::shared_ptr<Object>> &uses, bool *pageable) {
    auto refuse = [&](const std::string &why) {
        journal().report(what + ": " + why);
        return CUDA_ERROR_INVALID_VALUE;
    };
    auto allocation = state().memory.at(address);
    if (pageable) *pageable = false;
    if (!allocation && side == Side::host && !Memory::in_range(address)) {
        if (!address) return refuse("the host address is null");
        if (pageable) *pageable = true;
        return CUDA_SUCCESS;
    }
    const std::string name = side == Side::device ? "the device address" : "the host address";
    if (!allocation) return refuse(name + " belongs to no allocation");
    if (!allocation->alive) return refuse(name + " lies in " + allocation->describe() + " that was freed");
    if (!allocation->holds(address, bytes))
        return refuse(std::to_string(bytes) + " bytes at offset " + std::to_string(address - allocation->base) +
                      " do not fit into " + allocation->describe());
    // Stricter than a driver with unified addressing, which lets either address stand for the other.
    if (side == Side::host && allocation->on_device()) return refuse("a device address stands for a host address");
    if (side == Side::device && !allocation->reachable_by_kernels())
        return refuse("the address of pinned host memory that was not mapped stands for a device address");
    uses.push_back(allocation);
    return CUDA_SUCCESS;
}

}  // namespace fake
