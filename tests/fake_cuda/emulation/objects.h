// Everything a handle can name, and the table from handles to objects.
//
// A handle is a number that a process never uses twice. So a stale one (in a late finaliser, or in a test that uses
// what it destroyed) finds nothing, while a real driver may crash or hit another object.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "cuda_api.h"

namespace fake {

struct Context;

struct Object {
    virtual ~Object() = default;
    virtual std::string describe() const = 0;
    // An object inside another (a function of a module, a node of a graph) is no leak of its own.
    virtual bool owned_by_the_program() const { return true; }

    std::uintptr_t handle = 0;
    std::shared_ptr<Context> context;
    bool alive = true;
};

class Objects {
  public:
    template <class T>
    std::shared_ptr<T> add(std::shared_ptr<T> object) {
        object->handle = next_handle();
        keep(object);
        return object;
    }

    void keep(const std::shared_ptr<Object> &object) { table_[object->handle] = object; }

    template <class T>
    CUresult find(const void *handle, std::shared_ptr<T> &found) const {
        auto entry = table_.find(reinterpret_cast<std::uintptr_t>(handle));
        found = entry == table_.end() ? nullptr : std::dynamic_pointer_cast<T>(entry->second);
        if (!found) return CUDA_ERROR_INVALID_HANDLE;
        // An object that was destroyed with its context stays in the table, so that the answer can tell.
        return found->alive ? CUDA_SUCCESS : CUDA_ERROR_CONTEXT_IS_DESTROYED;
    }

    void destroy(Object &object) {
        object.alive = false;
        table_.erase(object.handle);
    }

    const std::map<std::uintptr_t, std::shared_ptr<Object>> &all() const { return table_; }

    static std::uintptr_t next_handle();

  private:
    std::map<std::uintptr_t, std::shared_ptr<Object>> table_;
};

template <class Handle>
Handle as_handle(const Object &object) {
    return reinterpret_cast<Handle>(object.handle);
}

}  // namespace fake
