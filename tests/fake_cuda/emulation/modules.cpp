#include "modules.h"

#include <dlfcn.h>
#include <elf.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <regex>

#include "context.h"
#include "entry.h"
#include "journal.h"
#include "state.h"
#include "streams.h"

namespace fake {

namespace {

bool is_elf(const std::string &image) { return image.starts_with(ELFMAG); }

// A cubin's size is in its ELF header, PTX ends with a null byte.
std::string read_image(const void *start) {
    const auto *bytes = static_cast<const char *>(start);
    if (std::memcmp(bytes, ELFMAG, SELFMAG) != 0) return bytes;
    Elf64_Ehdr header;
    std::memcpy(&header, bytes, sizeof header);
    const std::size_t sections = header.e_shoff + std::size_t{header.e_shentsize} * header.e_shnum;
    const std::size_t segments = header.e_phoff + std::size_t{header.e_phentsize} * header.e_phnum;
    return {bytes, std::max(sections, segments)};
}

// The newest PTX version a driver takes, as 10 * major + minor: CUDA 12.6 takes 8.5, CUDA 13.0 takes 9.0.
int newest_ptx(int driver_version) {
    const int major = driver_version / 1000, minor = driver_version % 1000 / 10;
    return 10 * (major - 4) + (major == 12 && minor > 5 ? minor - 1 : minor);
}

CUresult check_ptx(const std::string &text, const Config &config) {
    std::smatch version, target;
    if (!std::regex_search(text, version, std::regex(R"(\.version\s+(\d+)\.(\d+))")) ||
        !std::regex_search(text, target, std::regex(R"(\.target\s+sm_(\d+))")))
        return CUDA_ERROR_INVALID_PTX;
    if (10 * std::stoi(version[1]) + std::stoi(version[2]) > newest_ptx(config.driver_version))
        return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
    return std::stoi(target[1]) > 10 * config.major + config.minor ? CUDA_ERROR_NO_BINARY_FOR_GPU : CUDA_SUCCESS;
}

// The compute capability lies in the flags: in the second byte since ELF ABI 8 (CUDA 13), in the first before.
CUresult check_cubin(const std::string &image, const Config &config) {
    constexpr unsigned EM_CUDA_MACHINE = 190;
    Elf64_Ehdr header;
    if (image.size() < sizeof header) return CUDA_ERROR_INVALID_IMAGE;
    std::memcpy(&header, image.data(), sizeof header);
    if (header.e_machine != EM_CUDA_MACHINE) return CUDA_ERROR_INVALID_IMAGE;
    const unsigned sm = header.e_ident[EI_ABIVERSION] >= 8 ? header.e_flags >> 8 & 0xFF : header.e_flags & 0xFF;
    const bool fits = static_cast<int>(sm / 10) == config.major && static_cast<int>(sm % 10) <= config.minor;
    if (!fits) journal().report("the cubin is built for compute capability " + std::to_string(sm / 10) + "." +
                                std::to_string(sm % 10) + ", which this device is not");
    return fits ? CUDA_SUCCESS : CUDA_ERROR_NO_BINARY_FOR_GPU;
}

CUresult load(std::string image, CUmodule *handle) {
    if (image.empty()) return CUDA_ERROR_INVALID_IMAGE;
    TRY(is_elf(image) ? check_cubin(image, state().config) : check_ptx(image, state().config));
    void *library = state().kernels.empty() ? nullptr : dlopen(state().kernels.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        journal().report(state().kernels.empty() ? "no library of host-built kernels is set (use_kernels)"
                                                 : std::string("host-built kernels: ") + dlerror());
        return CUDA_ERROR_SHARED_OBJECT_INIT_FAILED;
    }
    auto module = state().objects.add(std::make_shared<Module>());
    module->context = current_context();
    module->image = std::move(image);
    module->library = library;
    module->set_condition = static_cast<SetCondition *>(dlsym(library, "host_set_condition"));
    *handle = as_handle<CUmodule>(*module);
    return CUDA_SUCCESS;
}

}  // namespace

Module::~Module() {
    if (library) dlclose(library);
}

bool Module::has_kernel(const std::string &name) const {
    if (is_elf(image)) return image.find(std::string("\0.text.", 7) + name + '\0') != std::string::npos;
    return std::regex_search(image, std::regex(R"(\.entry\s+)" + name + R"(\b)"));
}

}  // namespace fake

using namespace fake;

API cuModuleLoadData(CUmodule *handle, const void *image) {
    ENTER(needs_context | unsafe);
    return image ? load(read_image(image), handle) : CUDA_ERROR_INVALID_VALUE;
}

// The logs stay empty, and their sizes come back as what was filled; pycuda reads that much of an uninitialised buffer.
API cuModuleLoadDataEx(CUmodule *handle, const void *image, unsigned count, CUjit_option *options, void **values) {
    ENTER(needs_context | unsafe);
    for (unsigned i = 0; i < count; ++i)
        if (options[i] == CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES || options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
            values[i] = nullptr;
    return image ? load(read_image(image), handle) : CUDA_ERROR_INVALID_VALUE;
}

API cuModuleLoad(CUmodule *handle, const char *path) {
    ENTER(needs_context | unsafe);
    std::ifstream file(path, std::ios::binary);
    if (!file) return CUDA_ERROR_FILE_NOT_FOUND;
    return load({std::istreambuf_iterator<char>(file), {}}, handle);
}

API cuModuleUnload(CUmodule handle) {
    ENTER(needs_context | unsafe | releases);
    std::shared_ptr<Module> module;
    TRY(state().objects.find(handle, module));
    run_everything(entry.lock(), *current_context());
    for (const auto &[key, object] : std::map(state().objects.all()))
        if (auto function = std::dynamic_pointer_cast<Function>(object); function && function->module == module)
            state().objects.destroy(*function);
    state().objects.destroy(*module);
    return state().lost;
}

API cuModuleGetFunction(CUfunction *handle, CUmodule module_handle, const char *name) {
    ENTER(needs_context);
    std::shared_ptr<Module> module;
    TRY(state().objects.find(module_handle, module));
    if (!module->has_kernel(name)) return CUDA_ERROR_NOT_FOUND;
    auto *kernel = static_cast<const HostKernel *>(dlsym(module->library, (std::string("host_kernel_") + name).c_str()));
    if (!kernel) {
        journal().report("the image holds kernel " + std::string(name) + ", but the host-built library does not");
        return CUDA_ERROR_NOT_FOUND;
    }
    auto function = state().objects.add(std::make_shared<Function>());
    function->context = module->context;
    function->name = name;
    function->module = module;
    function->kernel = kernel;
    *handle = as_handle<CUfunction>(*function);
    return CUDA_SUCCESS;
}

API cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction handle) {
    ENTER(needs_context);
    std::shared_ptr<Function> function;
    TRY(state().objects.find(handle, function));
    *value = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? 1024 : 0;
    return CUDA_SUCCESS;
}

API cuFuncSetAttribute(CUfunction handle, CUfunction_attribute, int) {
    ENTER(needs_context);
    std::shared_ptr<Function> function;
    return state().objects.find(handle, function);
}

API cuFuncSetCacheConfig(CUfunction handle, CUfunc_cache) {
    ENTER(needs_context);
    std::shared_ptr<Function> function;
    return state().objects.find(handle, function);
}

// pycuda still sets the block's shape before each launch, although the launch has it.
API cuFuncSetBlockShape(CUfunction handle, int, int, int) {
    ENTER(needs_context);
    std::shared_ptr<Function> function;
    return state().objects.find(handle, function);
}
