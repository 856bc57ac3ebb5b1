"""Every name of TensorRT in the code exists in 10.3, 10.13 and 11.4, by lists made from the real bindings."""

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import export
import latentline
from latentline.backends.tensorrt.engines.builder import build_engine
from latentline.backends.tensorrt.graphs.prepare import prepare_graph
from latentline.package.model_package import GENERATOR, ModelPackage
from tests.gpu.standin import building, engine, interface, torch_engine
from tests.gpu.standin.module import StandIn
from tests.paths import ROOT

# Names that TensorRT-RTX needs for an absent GPU and for captures; the code uses them only where the module has them
GUARDED = {
    "ComputeCapability",
    "num_compute_capabilities",
    "set_compute_capability",
    "REQUIRE_USER_ALLOCATION",
    "DynamicShapesKernelSpecializationStrategy",
}
# Removed in TensorRT 11, but also names in our code or in other libraries
OTHER_MEANINGS = {"precision", "profile", "reset", "Algorithm"}
CLASSES = {
    "Network": "INetworkDefinition",
    "BuilderConfig": "IBuilderConfig",
    "Layer": "ILayer",
    "Tensor": "ITensor",
    "TimingCache": "ITimingCache",
    "Profile": "IOptimizationProfile",
    "HostMemory": "IHostMemory",
    "Engine": "ICudaEngine",
    "OnnxRuntimeEngine": "ICudaEngine",
    "TorchEngine": "ICudaEngine",
    "Context": "IExecutionContext",
    "CudaContext": "IExecutionContext",
}
# In the stand-in, but not in TensorRT
NOT_TENSORRT = {"Severity", "TorchStandIn"}


@cache
def apis() -> dict[str, dict[str, set[str]]]:
    """Version -> class or enum -> members."""
    folder = ROOT / "tests" / "data" / "tensorrt_api"
    lists = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    assert [entry["version"] for entry in lists] == ["10.13.3.9", "10.3.0", "11.4.0.106"]
    return {entry["version"]: {k: set(v) for k, v in entry["names"].items()} for entry in lists}


def sources() -> list[Path]:
    """All code that may get a TensorRT module as a parameter."""
    packages: list[ModuleType] = [latentline, export]
    return [file for package in packages for file in sorted(Path(package.__path__[0]).rglob("*.py"))]


def chains(tree: ast.AST) -> Iterator[list[str]]:
    """The longest attribute chains on a name `trt` or `self.trt` or `self._trt`: [["DataType", "HALF"], …]."""
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or id(node) in inner:
            continue
        names: list[str] = []
        value: ast.AST = node
        while isinstance(value, ast.Attribute):
            names.insert(0, value.attr)
            value = value.value
        names.insert(0, value.id if isinstance(value, ast.Name) else "")
        for place, name in enumerate(names):
            if name in ("trt", "_trt"):
                yield names[place + 1 :]
                break


def named() -> dict[str, set[str]]:
    """The names of the module in the sources: class or enum -> its members."""
    found: dict[str, set[str]] = {}
    for file in sources():
        for first, *rest in filter(None, chains(ast.parse(file.read_text()))):
            found.setdefault(first, set()).update(rest[:1])
    return {name: members for name, members in found.items() if not name.startswith("__")}


def test_the_scan_finds_names() -> None:
    """The scan finds calls, enums and chains, so that the other tests cannot pass on nothing."""
    tree = ast.parse("x = trt.Builder(l); y = 1 << int(self.trt.Flag.A); f(trt.DataType.HALF.name, trt)")
    assert sorted(chains(tree)) == [["Builder"], ["DataType", "HALF", "name"], ["Flag", "A"]]
    found = named()
    assert {"Builder", "OnnxParser", "Runtime"} <= set(found) and {"HALF", "FLOAT"} <= found["DataType"]


@pytest.mark.parametrize("version", ["10.3.0", "10.13.3.9", "11.4.0.106"])
def test_every_name_in_the_sources_exists(version: str) -> None:
    """Each class and enum member in the sources exists in this version, except the guarded ones."""
    api = apis()[version]
    for name, members in named().items():
        if name not in GUARDED:
            assert name in api, f"{version} has no {name}"
            assert members - GUARDED <= api[name], f"{version}: {name} has no {members - api[name]}"


def test_no_removed_name_is_in_the_sources() -> None:
    """Nothing that 11.4 removed is named anywhere, not even in a string."""
    old, new = apis()["10.3.0"], apis()["11.4.0.106"]
    removed = {name for name in old if name not in new}
    removed |= {member for name in old.keys() & new.keys() for member in old[name] - new[name]}
    still = {member for members in new.values() for member in members} | set(new)
    removed -= still | OTHER_MEANINGS
    assert {"FP16", "EXPLICIT_BATCH", "platform_has_fast_fp16", "device_memory_size", "set_output_type"} <= removed
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text())):
            name = (
                node.attr if isinstance(node, ast.Attribute) else node.value if isinstance(node, ast.Constant) else ""
            )
            assert name not in removed, f"{file} names {name}"


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


@pytest.mark.parametrize("version", ["10.3.0", "10.13.3.9", "11.4.0.106"])
def test_the_stand_in_has_only_what_tensorrt_has(version: str) -> None:
    """Every public member of the stand-in exists in every version of TensorRT."""
    api = apis()[version]
    modules = (interface, building, engine, torch_engine)
    kinds = [kind for module in modules for kind in vars(module).values() if isinstance(kind, type)]
    ours = [kind for kind in kinds if kind.__module__ in {module.__name__ for module in modules}]
    assert {"Builder", "Engine", "CudaContext"} <= {kind.__name__ for kind in ours}
    for kind in ours:
        if kind.__name__ not in NOT_TENSORRT and not kind.__name__.startswith("_"):
            name = CLASSES.get(kind.__name__, kind.__name__)
            extra = public(kind) - api[name]
            assert not extra, f"{version}: {name} has no {extra}"
    assert {"Builder", "Runtime"} <= set(api)


class Recorder:
    """An object of the real module that records every attribute read or set, also on the objects that it makes."""

    def __init__(self, real: Any, seen: set[tuple[str, str]]) -> None:
        object.__setattr__(self, "_real", real)
        object.__setattr__(self, "_seen", seen)

    def __getattr__(self, name: str) -> Any:
        self._seen.add((type(self._real).__name__, name))
        value = getattr(self._real, name)
        made = name in ("Builder", "OnnxParser") or not isinstance(value, type)
        if callable(value) and made:
            return lambda *given: self._watched(value(*(getattr(g, "_real", g) for g in given)))
        return value  # an enum, a class to derive from, a plain value

    def __setattr__(self, name: str, value: Any) -> None:
        self._seen.add((type(self._real).__name__, name))
        setattr(self._real, name, value)

    def _watched(self, value: Any) -> Any:
        ours = type(value).__module__.startswith("tensorrt") and type(value).__name__ not in ("Dims", "IHostMemory")
        return Recorder(value, self._seen) if ours else value


def test_a_real_build_uses_only_what_every_version_has(rtx: Any, demo: ModelPackage) -> None:
    """A real build uses only members that every version has, except the guarded ones."""
    seen: set[tuple[str, str]] = set()
    graph = prepare_graph(demo.graphs[GENERATOR], GENERATOR, "fp16")
    build_engine(Recorder(rtx, seen), graph, GENERATOR, "fp16", 2, compute_capability=(8, 9))
    members = {(kind, name) for kind, name in seen if not name.startswith("__") and name not in GUARDED}
    assert {("IBuilderConfig", "max_aux_streams"), ("INetworkDefinition", "get_layer")} <= members
    for version, api in apis().items():
        for kind, name in members:
            known = set(api) if kind == "module" else api.get(kind, set())
            assert name in known, f"{version}: {kind} has no {name}"


def test_guarded_names_are_not_used_where_they_are_missing(demo: ModelPackage) -> None:
    """On the stand-in, which lacks the guarded names, a build for a compute capability does not use them."""
    graph = prepare_graph(demo.graphs[GENERATOR], GENERATOR, "fp32")
    assert build_engine(StandIn(), graph, GENERATOR, "fp32", 2, compute_capability=(8, 7)).plan
