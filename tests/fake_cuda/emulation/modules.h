// Modules: the image that was loaded (cubin or PTX), and the host builds of its kernels.
#pragma once
#include <memory>
#include <string>

#include "host_kernel.h"
#include "objects.h"

namespace fake {

struct Module : Object {
    std::string image;
    void *library = nullptr;  // of host-built kernels
    SetCondition *set_condition = nullptr;  // what they call to end a loop, where there is such a thing

    ~Module() override;
    std::string describe() const override { return "a module of " + std::to_string(image.size()) + " bytes"; }
    bool has_kernel(const std::string &name) const;
};

struct Function : Object {
    std::string name;
    std::shared_ptr<Module> module;
    const HostKernel *kernel = nullptr;

    std::string describe() const override { return "kernel " + name; }
    bool owned_by_the_program() const override { return false; }
};

}  // namespace fake
