"""The engines of a model are built once, kept, and built again when anything they depend on changes."""

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
    """Engines of three graphs of the demo for an Orin, on the stand-in for TensorRT."""
    model = replace(demo, graphs={name: demo.graphs[name] for name in (DISCRIMINATOR, ENCODER, GENERATOR)})
    return EngineSet(model, 4, "fp32", StandIn(), EngineCache(tmp_path), (8, 7), "AGX Orin")


def test_the_second_start_builds_nothing(wanted: EngineSet) -> None:
    """Each graph has one engine, which the second time comes from the cache."""
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
def test_engines_are_built_again_when_something_changed(
    wanted: EngineSet, change: dict[str, Any], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For another GPU, TensorRT, model, batch or precision, engines are built again, and the state says why."""
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
    """A model that fp16 would change is refused before any engine is built."""

    def refuse(*given: object) -> None:
        raise VerificationError("moves")

    monkeypatch.setattr(engines, "check_half", refuse)
    half = replace(wanted, precision="fp16")
    with pytest.raises(VerificationError):
        half.plans()
    assert wanted.trt.builds == 0 and set(half.states().values()) == {"missing"}


def test_an_interrupted_build_goes_on_where_it_stopped(wanted: EngineSet) -> None:
    """Engines that were built before a failure are not built again."""
    wanted.trt.fails_to_build_after = 2
    with pytest.raises(EngineError):
        wanted.plans()
    wanted.trt.fails_to_build_after = None
    done = sum(state == "ready" for state in wanted.states().values())
    builds = wanted.trt.builds
    wanted.plans()
    assert done == 2 and wanted.trt.builds == builds + len(wanted.model.graphs) - done


def test_timings_are_kept_for_the_next_build(wanted: EngineSet) -> None:
    """The build of the second graph uses the timings of the first, and another GPU starts without any."""
    wanted.plans()
    assert wanted.trt.offered_timings[0] == b"" and set(wanted.trt.offered_timings[1:]) == {b"timings"}
    replace(wanted, compute_capability=(11, 0)).plans()
    assert wanted.trt.offered_timings[len(wanted.model.graphs)] == b""


def test_progress_names_each_graph(wanted: EngineSet) -> None:
    """A line of progress names each graph that is being built."""
    lines: list[str] = []
    wanted.plans(lines.append)
    for graph in wanted.model.graphs:
        assert any(line.startswith(f"{graph}: building for fp32") for line in lines)
