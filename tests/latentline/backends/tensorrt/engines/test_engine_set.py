"""The engines of a model: built once, kept, and built again when anything they depend on changes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from latentline.backends.tensorrt.cache import EngineCache
from latentline.backends.tensorrt.engines import engine_set as engines
from latentline.backends.tensorrt.engines.engine_set import EngineSet
from latentline.errors import EngineError, VerificationError
from latentline.package.model_package import DISCRIMINATOR, ENCODER, GENERATOR, ModelPackage
from tests.gpu.standin.module import StandIn


@pytest.fixture
def wanted(demo: ModelPackage, tmp_path: Path) -> EngineSet:
    """Engines of three of the demo's graphs for an Orin, on the stand-in for TensorRT."""
    model = replace(demo, graphs={name: demo.graphs[name] for name in (DISCRIMINATOR, ENCODER, GENERATOR)})
    return EngineSet(model, 4, "fp32", StandIn(), EngineCache(tmp_path), (8, 7), "AGX Orin")


def test_second_start_builds_nothing(wanted: EngineSet) -> None:
    """One engine a graph, the same bytes from the cache the second time."""
    assert set(wanted.states().values()) == {"missing"}
    first = wanted.plans()
    assert set(first) == set(wanted.model.graphs) and wanted.trt.builds == len(first)
    assert wanted.plans() == first and wanted.trt.builds == len(first)
    assert set(wanted.states().values()) == {"ready"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"compute_capability": (8, 9)}, "compute capability was 8.7, is 8.9"),
        ({"gpu": "Orin NX"}, "GPU was AGX Orin, is Orin NX"),
        ({"version": "10.13.3"}, "TensorRT was tensorrt 10.3.0, is tensorrt 10.13.3"),
        ({"graph": True}, "graph was "),
        ({"batch": 8}, "missing"),
        ({"precision": "fp16"}, "missing"),
    ],
    ids=["compute capability", "GPU", "TensorRT", "model", "batch", "precision"],
)
def test_whatever_an_engine_depends_on_makes_it_anew(
    wanted: EngineSet, change: dict[str, Any], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another GPU, TensorRT, model, batch or precision: the old engine is not given, and the state says why."""
    monkeypatch.setattr(engines, "check_half", lambda *given: None)
    old = wanted.plans()
    if "version" in change:
        wanted.trt.__version__ = change["version"]
        new = wanted
    elif "graph" in change:
        old_graphs = wanted.model.graphs
        graphs = {**old_graphs, GENERATOR: old_graphs[GENERATOR] + b"\x1a\x00"}  # an empty name, for another hash
        new = replace(wanted, model=replace(wanted.model, graphs=graphs))
    else:
        new = replace(wanted, **change)
    assert reason in new.states()[GENERATOR]
    before = wanted.trt.builds
    assert set(new.plans()) == set(old) and wanted.trt.builds > before
    assert set(new.states().values()) == {"ready"}


def test_fp16_is_checked_before_anything_is_built(wanted: EngineSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that fp16 would change is refused, and no engine of it exists."""

    def refuse(*given: object) -> None:
        raise VerificationError("moves")

    monkeypatch.setattr(engines, "check_half", refuse)
    half = replace(wanted, precision="fp16")
    with pytest.raises(VerificationError):
        half.plans()
    assert wanted.trt.builds == 0 and set(half.states().values()) == {"missing"}


def test_an_interrupted_build_goes_on_where_it_stopped(wanted: EngineSet) -> None:
    """Engines that were done before a failure are not built again."""
    wanted.trt.fails_to_build_after = 2
    with pytest.raises(EngineError):
        wanted.plans()
    wanted.trt.fails_to_build_after = None
    done = sum(state == "ready" for state in wanted.states().values())
    builds = wanted.trt.builds
    wanted.plans()
    assert done == 2 and wanted.trt.builds == builds + len(wanted.model.graphs) - done


def test_timings_are_kept_for_the_next_build(wanted: EngineSet) -> None:
    """The second graph's build starts from the timings of the first's; another GPU starts afresh."""
    wanted.plans()
    assert wanted.trt.offered_timings[0] == b"" and set(wanted.trt.offered_timings[1:]) == {b"timings"}
    replace(wanted, compute_capability=(11, 0)).plans()
    assert wanted.trt.offered_timings[len(wanted.model.graphs)] == b""


def test_progress_names_each_graph(wanted: EngineSet) -> None:
    """Who waits for minutes sees what is built."""
    lines: list[str] = []
    wanted.plans(lines.append)
    for graph in wanted.model.graphs:
        assert any(line.startswith(f"{graph}: building for fp32") for line in lines)
