"""The real NVRTC compiles kernels.cu for every supported GPU. Nothing runs, so no GPU is needed."""

from __future__ import annotations

import sys

import pytest

from latentline.backends.settings import Precision
from latentline.backends.tensorrt.gpu import nvrtc
from latentline.backends.tensorrt.gpu.nvrtc import (
    LOOP,
    compile_kernels,
    kernel_source,
    nvrtc_version,
    source_hash,
)
from latentline.errors import EngineError
from tests.fake_cuda.host_kernels import kernel_names

CAPABILITIES = [(7, 5), (8, 0), (8, 6), (8, 7), (8, 9), (9, 0), (10, 0), (11, 0), (12, 0)]


@pytest.fixture(scope="module", autouse=True)
def found_nvrtc() -> None:
    """Skip where there is no NVRTC, and say what is missing."""
    try:
        nvrtc_version()
    except EngineError as error:
        pytest.skip(f"NVRTC IS MISSING: nothing was compiled for a GPU; {error}")


@pytest.mark.parametrize(
    ("capability", "precision"),
    [*((capability, "fp16") for capability in CAPABILITIES), (CAPABILITIES[0], "fp32"), (CAPABILITIES[-1], "fp32")],
)
def test_the_kernels_compile(capability: tuple[int, int], precision: Precision) -> None:
    """The compiled module has every kernel; it is a cubin, or PTX for an architecture that this NVRTC does not know.

    In both precisions all arithmetic is in float, so that float32 is compiled for the oldest and the newest GPU only.
    """
    module = compile_kernels(capability, precision)
    assert module.startswith(b"\x7fELF") or b".version" in module
    names = kernel_names()
    assert len(names) == 11
    for name in names:
        assert name.encode() in module


@pytest.mark.parametrize("capability", [*CAPABILITIES, (99, 0)])
def test_the_end_of_an_iteration_compiles(capability: tuple[int, int]) -> None:
    """loop.cu is a module of its own, whose condition the driver sets: no device library is linked."""
    module = compile_kernels(capability, "fp32", name=LOOP)
    assert b"next_iteration" in module and b"cudaGraphSetConditional" in module


def test_a_gpu_of_the_future_gets_ptx() -> None:
    """A compute capability that NVRTC does not know yet gets PTX, which the driver compiles further."""
    module = compile_kernels((99, 0), "fp32")
    assert b".version" in module
    assert b".entry adam(" in module


def test_a_gpu_too_old_is_refused() -> None:
    """A GPU that is too old for this NVRTC is refused with its compute capability and what to install."""
    with pytest.raises(EngineError, match=r"this GPU has 2\.0; install the NVRTC of an older CUDA version"):
        compile_kernels((2, 0), "fp32")


def test_a_broken_source_gives_the_compilers_first_error() -> None:
    """The sentence has NVRTC's version, the target, and the first error with its line."""
    with pytest.raises(EngineError) as caught:
        compile_kernels((8, 7), "fp32", 'extern "C" __global__ void broken() {\n  nonsense;\n}\nmore nonsense')
    major, minor = nvrtc_version()
    assert str(caught.value) == (
        f"NVRTC {major}.{minor} cannot compile the kernels for sm_87: "
        'kernels.cu(2): error: identifier "nonsense" is undefined'
    )


def test_a_missing_nvrtc_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library, or the package that finds it, the sentence says what to install."""
    from cuda import pathfinder

    def missing(name: str) -> None:
        raise pathfinder.DynamicLibNotFoundError(name)

    monkeypatch.setattr(pathfinder, "load_nvidia_dynamic_lib", missing)
    with pytest.raises(EngineError, match="NVRTC was not found; install the CUDA toolkit"):
        compile_kernels((8, 7), "fp32")
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", None)
    with pytest.raises(EngineError, match="install the package cuda-pathfinder"):
        nvrtc_version()


def test_the_hash_changes_with_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another source has another hash, so the cache never serves the kernels of another version."""
    before = source_hash()
    assert before == source_hash()
    source = kernel_source()
    monkeypatch.setattr(nvrtc, "kernel_source", lambda name: source + "\n")
    assert source_hash() != before
