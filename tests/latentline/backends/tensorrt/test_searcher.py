"""The GPU search on the emulated driver: real pycuda, real capture, host-built kernels, ONNX graphs for engines.

The emulation shows order, legality, memory and logic, never the speed or the numerics of a GPU.
"""

from __future__ import annotations

import gc
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_runtime.tools.doctor.conformance import conformance, example_frames
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.backends.settings import GpuSettings, Precision
from latentline.backends.tensorrt.gpu.plan import LARGEST_FRAME
from latentline.errors import BackendError, EngineError, ImageError
from latentline.inspection.host_reconstructor import HostReconstructor, reconstruction_of
from latentline.inspection.inspector import Inspector
from latentline.package.model_package import ModelPackage, load_package
from latentline.scoring.components import frame_components
from latentline.search.searched_frame import MapKind, SearchedFrame
from latentline.vision.preprocessing import Preprocessing
from latentline.vision.region import RegionOfInterest
from tests.checkpoints import exported
from tests.deep_pictures import deepened
from tests.exports import export_once
from tests.fake_cuda.driver import INVALID_VALUE, LAUNCH_FAILED, OUT_OF_MEMORY, FakeDriver
from tests.fake_cuda.host_kernels import build_host_kernels
from tests.fake_cuda.scripts import run_script
from tests.gpu.standin.module import StandIn
from tests.packages import SEARCH, SIZE, networks, scored, write_random_package, write_tiny_package
from tests.paths import DEMO_MODEL, FAKE_CUDA

ALLOCATIONS = {"cuMemAlloc", "cuMemHostAlloc", "cuMemFree", "cuMemFreeHost", "cuMemAllocHost"}
SYNCHRONISATIONS = {"cuStreamSynchronize", "cuEventSynchronize", "cuCtxSynchronize", "implicit synchronisation"}

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def package_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_package(tmp_path_factory.mktemp("package") / "tiny")


@pytest.fixture(scope="module")
def package(package_path: Path) -> ModelPackage:
    """The tiny model, with a score that needs all that the GPU computes."""
    return scored(load_package(package_path), "feature", "d_reconstruction", "loss")


@pytest.fixture(scope="module")
def cpu(package: ModelPackage) -> Iterator[OpenVinoSearcher]:
    searcher = OpenVinoSearcher(package, threads=1)
    yield searcher
    searcher.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of compiled kernels and engines, which the tests share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def emulated(fake_driver: FakeDriver, folder: Path, package: ModelPackage) -> Iterator[Open]:
    """A function that opens searchers on the emulation. They are closed after the test."""
    opened = []

    def open_searcher(
        model: ModelPackage = package,
        precision: Precision = "fp32",
        batch: int | None = None,
        trt: StandIn | None = None,
        unrolled: bool = False,
    ) -> Any:
        from latentline.backends.tensorrt.searcher import open_tensorrt

        fake_driver.use_kernels(build_host_kernels(precision, FAKE_CUDA))
        settings = GpuSettings.model_validate({"precision": precision, "batch": batch, "cache": folder})
        opened.append(open_tensorrt(model, trt or StandIn(), settings, unrolled=unrolled))
        return opened[-1]

    yield open_searcher
    for searcher in opened:
        searcher.close()


def frames(count: int, shape: tuple[int, ...] = (2 * SIZE, 3 * SIZE)) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, shape, np.uint8) for _ in range(count)]


@pytest.mark.parametrize(("batch", "kind"), [(None, "residual"), (5, "residual"), (1, "l1"), (5, "l2"), (5, "ssim")])
def test_a_search_finds_what_the_cpu_finds(
    emulated: Open, package: ModelPackage, cpu: OpenVinoSearcher, batch: int | None, kind: MapKind
) -> None:
    """ẑ, loss, reconstruction, map, components and picture equal the CPU backend's, in one batch or several."""
    statistics = replace(package.statistics, kind=kind, mean=package.statistics.mean + 1)
    searcher = emulated(replace(package, statistics=statistics), batch=batch)
    host = HostReconstructor(cpu, package.tiler, statistics)
    frame = frames(1)[0]
    found, expected = searcher.reconstruct(frame), host.reconstruct(frame)
    assert (expected.anomaly_map == 0).any() == (kind != "residual"), "without a sign, less than usual is not abnormal"
    assert found.plan == expected.plan and len(found.plan.corners) == 12
    np.testing.assert_array_equal(found.prepared, expected.prepared)
    np.testing.assert_allclose(found.anomaly_map, expected.anomaly_map, rtol=2e-3, atol=1e-3)
    assert np.abs(found.reconstruction.astype(int) - expected.reconstruction).max() <= 1
    assert found.values == pytest.approx(expected.values, rel=1e-3, abs=1e-3)
    for name, values in expected.tile_values.items():
        np.testing.assert_allclose(found.tile_values[name], values, rtol=1e-3, atol=1e-3)
    tiles = found.plan.cut(found.prepared)
    own, reference = searcher.search(tiles), cpu.search(tiles)
    np.testing.assert_allclose(own.z, reference.z, atol=2e-3)
    np.testing.assert_allclose(own.reconstruction, reference.reconstruction, atol=2e-3)
    assert own.loss is not None and reference.loss is not None
    np.testing.assert_allclose(own.loss, reference.loss, rtol=1e-3)
    assert own.loss == pytest.approx(found.tile_values["loss"], abs=0), "the same graph for tiles and for frames"


@pytest.mark.parametrize("height", [None, 21])
def test_a_frame_of_12_bits_gives_what_its_twin_of_8_gives(
    emulated: Open, package: ModelPackage, height: int | None
) -> None:
    """On the GPU as on the CPU, to the bit, whoever scales the frame down; one of 16 bits is refused before an upload.

    The frames before and after it are none the worse.
    """
    preprocessing = Preprocessing(channels=1, height=height, bit_depth=12)
    manifest = package.manifest.model_copy(update={"preprocessing": preprocessing})
    searcher = emulated(replace(package, manifest=manifest))
    inspector = Inspector(searcher, manifest.calibration, manifest.preprocessing.bit_depth)
    frame = frames(1)[0]
    eight, twelve = inspector.begin(frame), inspector.begin(deepened(frame, 12))
    expected, found = eight(), twelve()
    with pytest.raises(ImageError, match="needs 16 bits, and bit_depth is 12"):
        inspector.begin(deepened(np.maximum(frame, 128), 16))
    again = inspector.inspect(deepened(frame, 12, seed=1))
    assert expected.score == found.score == again.score
    np.testing.assert_array_equal(found.anomaly_map, expected.anomaly_map)
    np.testing.assert_array_equal(found.prepared, expected.prepared)


def test_a_region_of_interest_is_inspected_as_on_the_cpu(
    emulated: Open, package: ModelPackage, cpu: OpenVinoSearcher
) -> None:
    """Two frames in work at once; their map is 0 outside of the region, and the CPU's in it."""
    region, calibration = RegionOfInterest(left=0.25, top=0.1, width=0.6, height=0.75), package.manifest.calibration
    host = HostReconstructor(cpu, package.tiler, package.statistics)
    on_cpu, on_gpu = (Inspector(r, calibration, region=region) for r in (host, emulated()))
    first, second = frames(2, (3 * SIZE, 4 * SIZE, 3))
    begun = [on_gpu.begin(first), on_gpu.begin(second)]
    for frame, finish in zip((first, second), begun, strict=True):
        found, expected = finish(), on_cpu.inspect(frame)
        assert found.region == expected.region == (16, 5, 38, 36)
        assert found.score == pytest.approx(expected.score, rel=1e-3, abs=1e-3)
        np.testing.assert_allclose(found.anomaly_map, expected.anomaly_map, rtol=2e-3, atol=1e-3)
        assert not found.anomaly_map[:, :16].any() and found.anomaly_map[5:41, 16:54].any()
        np.testing.assert_array_equal(found.prepared, expected.prepared)


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(channels=1, height=21),
        Preprocessing(channels=1, height=50),
        Preprocessing(channels=1, normalise="per_image"),
        Preprocessing(channels=1, height=30, normalise="destripe"),
    ],
)
@pytest.mark.parametrize("shape", [(37, 50), (37, 50, 3), (40, 23, 4), (12, 90, 1)])
def test_any_frame_is_prepared_as_on_the_cpu(
    emulated: Open, package: ModelPackage, cpu: OpenVinoSearcher, preprocessing: Preprocessing, shape: tuple[int, ...]
) -> None:
    """Prepared frame and map equal those of the CPU backend, whether the GPU or the CPU prepares the frame."""
    changed = replace(package, manifest=package.manifest.model_copy(update={"preprocessing": preprocessing}))
    searcher, host = emulated(changed), HostReconstructor(cpu, changed.tiler, changed.statistics)
    frame = frames(1, shape)[0]
    found, expected = searcher.reconstruct(frame), host.reconstruct(frame)
    assert np.abs(found.prepared.astype(int) - expected.prepared).max() <= 1
    if (found.prepared == expected.prepared).all():
        np.testing.assert_allclose(found.anomaly_map, expected.anomaly_map, rtol=5e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("precision", "iterations", "kind"),
    [("fp32", 5, "residual"), ("fp16", 4, "l2"), ("fp32", 2, "ssim"), ("fp16", 2, "ssim")],
)
def test_the_demo_model_conforms(emulated: Open, precision: Precision, iterations: int, kind: MapKind) -> None:
    """The demo's model passes the doctor's whole suite on the emulation, in both precisions, with each map."""
    demo = load_package(DEMO_MODEL).with_iterations(iterations)
    calibration = demo.manifest.calibration
    components = [
        c.model_copy(update={"name": c.name.replace(demo.manifest.map, kind)}) for c in calibration.components
    ]
    calibration = calibration.model_copy(update={"components": tuple(components)})
    manifest = demo.manifest.model_copy(update={"calibration": calibration, "map": kind})
    statistics = replace(demo.statistics, kind=kind)
    demo = replace(demo, spec=manifest, manifest=manifest, statistics=statistics)
    cpu = OpenVinoSearcher(demo)
    try:
        compared = list(conformance(demo, cpu, emulated(demo, precision), precision))
    finally:
        cpu.close()
    assert [comparison for comparison in compared if not comparison.passed] == []


@pytest.fixture(scope="module")
def with_patch_head(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return write_random_package(tmp_path_factory.mktemp("package") / "patches", exported("noisy_anogan")[1])


@pytest.mark.parametrize(("kind", "verdict"), [("residual", None), ("residual", (-0.5, 0.3)), ("l2", (-0.5, 0.3))])
def test_the_patch_head_counts_in_map_and_score(
    emulated: Open, with_patch_head: ModelPackage, kind: MapKind, verdict: tuple[float, float] | None
) -> None:
    """Patch logits, the map with them, and their component equal the CPU backend's."""
    statistics = replace(with_patch_head.statistics, kind=kind, patch_statistics=verdict)
    package = scored(replace(with_patch_head, statistics=statistics), "feature", "loss")
    cpu = OpenVinoSearcher(package, threads=1)
    host, searcher = HostReconstructor(cpu, package.tiler, package.statistics), emulated(package, batch=4)
    frame = frames(1, (80, 100))[0]
    found, expected = searcher.reconstruct(frame), host.reconstruct(frame)
    assert (expected.values.get("d_patch", 0) > 0) == (verdict is not None)
    assert set(found.values) == set(expected.values)
    assert found.values == pytest.approx(expected.values, rel=1e-3, abs=1e-3)
    np.testing.assert_allclose(found.anomaly_map, expected.anomaly_map, rtol=5e-3, atol=5e-3)
    tiles = found.plan.cut(found.prepared)
    on_gpu, on_cpu = searcher.search(tiles).patch_logits, cpu.search(tiles).patch_logits
    assert on_gpu is not None and on_cpu is not None
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-3, atol=1e-4)
    cpu.close()


def test_a_map_that_is_not_pooled_equals_the_cpu_backend(
    emulated: Open, package: ModelPackage, cpu: OpenVinoSearcher
) -> None:
    """At scale 0, as in the paper's score, the residual is not pooled."""
    statistics = package.statistics.only(["residual_1px"])
    changed = replace(package, statistics=replace(statistics, scales=(0.0,)))
    found = emulated(changed).reconstruct(frames(1)[0])
    expected = HostReconstructor(cpu, changed.tiler, changed.statistics).reconstruct(frames(1)[0])
    np.testing.assert_allclose(found.anomaly_map, expected.anomaly_map, rtol=2e-3, atol=1e-3)
    assert found.values == pytest.approx(expected.values, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_verdict_that_nobody_uses_is_left_out(
    emulated: Open, with_patch_head: ModelPackage, precision: Precision
) -> None:
    """Where the score needs no verdict on G(ẑ), it and L'(ẑ) are missing as on the CPU, and all else is the same."""
    whole, pruned = scored(with_patch_head, "feature", "loss"), scored(with_patch_head, "feature", "d_frame")
    frame = frames(1, (80, 100))[0]
    expected = emulated(whole, precision).reconstruct(frame)
    searcher = emulated(pruned, precision)
    found = searcher.reconstruct(frame)
    cpu = OpenVinoSearcher(pruned, threads=1, components=["feature", "d_frame"])
    of_cpu = HostReconstructor(cpu, pruned.tiler, pruned.statistics).reconstruct(frame)
    cpu.close()
    assert set(found.values) == set(of_cpu.values) == set(expected.values) - {"d_reconstruction", "loss"}
    assert set(found.tile_values) == {"feature", "d_frame"}
    np.testing.assert_array_equal(found.anomaly_map, expected.anomaly_map)
    for name, value in found.values.items():
        assert value == pytest.approx(expected.values[name], rel=1e-5)
    result = searcher.search(found.plan.cut(found.prepared))
    assert result.loss is None and result.logit_reconstruction is None


@pytest.mark.parametrize(
    ("precision", "kind", "most", "batch"),
    [("fp32", "residual", 4, None), ("fp32", "l2", 5, 2), ("fp32", "ssim", 1, 4), ("fp16", "residual", 3, 2)],
)
def test_some_tiles_are_searched_as_on_the_cpu(
    emulated: Open,
    with_patch_head: ModelPackage,
    precision: Precision,
    kind: MapKind,
    most: int,
    batch: int | None,
) -> None:
    """The CPU's tiles are searched, as they are alone; map, score and picture are NumPy's, with the CPU's look."""
    statistics = replace(with_patch_head.statistics, kind=kind, patch_statistics=(-0.5, 0.3))
    package = scored(replace(with_patch_head, statistics=statistics), "feature", "loss").with_tiles(most)
    cpu, searcher = OpenVinoSearcher(package, threads=1), emulated(package, precision, batch)
    margin = 1e-3 if precision == "fp32" else 0.02
    for frame in frames(3, (80, 100)):
        found = searcher.reconstruct(frame)
        look = cpu.look(found.prepared)
        chosen = look.most_suspicious(found.plan, most)
        tiles = found.plan.cut(found.prepared, chosen)
        assert found.searched is not None and found.searched.tolist() == chosen.tolist() and len(chosen) == most
        own = searcher.search(tiles)
        searched = SearchedFrame(found.prepared, found.plan, tiles, own, {}, look, chosen)
        maps = package.statistics.maps(searched)
        np.testing.assert_allclose(found.anomaly_map, maps.max(axis=0), rtol=margin, atol=margin)
        values = frame_components(searched, maps, package.statistics)
        assert found.values == pytest.approx(values, rel=margin, abs=margin)
        np.testing.assert_array_equal(found.tile_values["loss"], own.loss)
        assert np.abs(found.reconstruction.astype(int) - reconstruction_of(searched)).max() <= 1
    cpu.close()


def test_a_frame_of_which_some_tiles_are_searched_is_one_launch(
    emulated: Open, fake_driver: FakeDriver, package: ModelPackage
) -> None:
    """Look, choice and search are in the same graph: nothing comes back to the host in between."""
    searcher, pictures = emulated(package.with_tiles(3), batch=2), frames(2)
    searcher.reconstruct(pictures[0])
    before, ran = fake_driver.calls(), len(fake_driver.timeline())
    found = searcher.reconstruct(pictures[1])
    launched = _new_calls(fake_driver, before)
    assert launched["cuGraphLaunch"] == 1
    assert not set(launched) & (ALLOCATIONS | {"cuStreamBeginCapture", "cuLaunchKernel"})
    work = [line.rpartition(": ")[2] for line in fake_driver.timeline()[ran:]]
    assert work.count("kernel select_tiles") == 1 and len(found.searched_tiles) == 3
    assert work.count("kernel gather_tiles") == 1 + 2, "the look's frame, three tiles and a copy"
    assert searcher.measure(pictures[0]).tiles == 3
    np.testing.assert_array_equal(searcher.reconstruct(pictures[1]).anomaly_map, found.anomaly_map)


def test_of_a_frame_with_no_more_tiles_all_are_searched(emulated: Open, package: ModelPackage) -> None:
    """With the same result as without a look, whose own component is one more."""
    some, whole, frame = emulated(package.with_tiles(99)), emulated(), frames(1)[0]
    found, expected = some.reconstruct(frame), whole.reconstruct(frame)
    assert found.values.pop("d_look") and found.values == expected.values
    assert found.searched_tiles == expected.searched_tiles
    np.testing.assert_array_equal(found.anomaly_map, expected.anomaly_map)


def test_a_frame_beyond_what_a_look_takes_is_refused_with_a_sentence(emulated: Open, package: ModelPackage) -> None:
    """It says how large a frame may be, and how to inspect larger ones."""
    searcher, frame = emulated(package.with_tiles(2)), np.zeros((SIZE, LARGEST_FRAME + 1), np.uint8)
    with pytest.raises(BackendError, match=r"at most 4096 px a side on a GPU.*4100 x .*search\.tiles"):
        searcher.reconstruct(frame)


def test_looks_of_old_shapes_are_released(emulated: Open, fake_driver: FakeDriver, package: ModelPackage) -> None:
    """As searches are, with the graphs that used them."""
    searcher = emulated(package.with_tiles(1))
    held = []
    for step in range(8):
        searcher.reconstruct(frames(1, (2 * SIZE, 2 * SIZE + 12 * step))[0])
        held.append(len(fake_driver.leaks()))
    assert held[3] == max(held[3:])
    searcher.close()
    assert fake_driver.leaks() == []


def test_the_doctor_examines_a_first_look(emulated: Open, package: ModelPackage) -> None:
    """A package that searches some tiles passes the doctor's suite."""
    some = package.with_tiles(2)
    cpu = OpenVinoSearcher(some, threads=1)
    try:
        compared = list(conformance(some, cpu, emulated(some), "fp32"))
    finally:
        cpu.close()
    assert [comparison for comparison in compared if not comparison.passed] == []


def test_the_map_ssim_in_colour_beyond_the_frame(emulated: Open, tmp_path: Path) -> None:
    """With three channels, and tiles larger than the frame, map and components equal the CPU backend's."""
    model = export_once(*networks(32, 3, 8, 1024, 16), None, SEARCH)  # also that of other tests
    package = scored(write_random_package(tmp_path / "colour", model, "ssim"), "loss")
    cpu = OpenVinoSearcher(package, threads=1)
    host, searcher = HostReconstructor(cpu, package.tiler, package.statistics), emulated(package, batch=2)
    frame = frames(1, (32 - 5, 3 * 32 - 7, 3))[0]
    found, expected = searcher.reconstruct(frame), host.reconstruct(frame)
    cpu.close()
    assert found.anomaly_map.shape == frame.shape[:2] and found.anomaly_map.min() > 0.1
    np.testing.assert_allclose(found.anomaly_map, expected.anomaly_map, rtol=2e-3, atol=1e-3)
    assert set(found.values) >= {"ssim_1px", "ssim_2px"}
    assert found.values == pytest.approx(expected.values, rel=1e-3, abs=1e-3)


def test_only_the_map_ssim_costs_a_kernel(emulated: Open, package: ModelPackage) -> None:
    """The graph of a package with another map has one node less."""
    nodes = {}
    for kind in ("residual", "l2", "ssim"):
        changed = replace(package, statistics=replace(package.statistics, kind=kind))
        nodes[kind] = emulated(changed).measure(frames(1)[0]).nodes
    assert nodes["residual"] == nodes["l2"] == nodes["ssim"] - 1


def test_a_replay_belongs_to_its_own_frame(emulated: Open) -> None:
    """The captured graph gives each of several frames the result of a new searcher, in any order."""
    searcher, pictures = emulated(), frames(4)
    fresh = [emulated().reconstruct(frame).anomaly_map for frame in pictures]
    for index in (0, 1, 2, 3, 1, 0):
        np.testing.assert_array_equal(searcher.reconstruct(pictures[index]).anomaly_map, fresh[index])


def test_a_frame_is_one_launch(emulated: Open, fake_driver: FakeDriver) -> None:
    """After the first frame, a frame is one graph launch, without capture, allocation or an early wait."""
    searcher, pictures = emulated(), frames(3)
    searcher.reconstruct(pictures[0])
    before = fake_driver.calls()
    finish = searcher.begin(pictures[1])
    launched = _new_calls(fake_driver, before)
    assert launched["cuGraphLaunch"] == 1
    assert not set(launched) & (ALLOCATIONS | SYNCHRONISATIONS | {"cuStreamBeginCapture", "cuLaunchKernel"})
    finish()
    assert not set(_new_calls(fake_driver, before)) & ALLOCATIONS
    assert before["cuStreamBeginCapture"] == 2, "one for each slot"


def test_the_driver_calls_of_a_frame_are_as_reported(emulated: Open, fake_driver: FakeDriver) -> None:
    """`measure` reports the driver calls that the driver counts, on GPUs with and without memory of their own."""
    for integrated in (False, True):
        fake_driver.reset()
        fake_driver.configure(integrated=integrated)
        searcher = emulated()
        searcher.reconstruct(frames(1)[0])
        before = fake_driver.calls()
        searcher.reconstruct(frames(1)[0])
        counted = sum(n for name, n in _new_calls(fake_driver, before).items() if name.startswith("cu"))
        assert searcher.measure(frames(1)[0]).host_calls == counted
        searcher.close()


def test_the_next_frame_uploads_while_one_is_searched(emulated: Open, fake_driver: FakeDriver) -> None:
    """A second frame uploads before the search of the first has run, and both get their own result."""
    searcher, (first, second) = emulated(), frames(2)
    alone = [searcher.reconstruct(frame).anomaly_map for frame in (first, second)]
    ran = len(fake_driver.timeline())
    finish = [searcher.begin(frame) for frame in (first, second)]
    session = searcher._session
    with session.working("waiting"):
        (_, slot) = list(session.in_flight.values())[1]
        slot.uploaded.synchronize()
    between = fake_driver.timeline()[ran:]
    assert sum("copy host to device" in line for line in between) == 2, between
    assert not any("kernel" in line for line in between)
    for finished, expected in zip(finish, alone, strict=True):
        np.testing.assert_array_equal(finished().anomaly_map, expected)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_loop_finds_what_the_unrolled_search_finds(
    emulated: Open, package: ModelPackage, precision: Precision
) -> None:
    """z, loss curve, score, map and picture are equal to the last bit, in several batches, frame after frame."""
    looped, unrolled = (emulated(package, precision, batch=5, unrolled=unrolled) for unrolled in (False, True))
    _need_loop(looped)
    for frame in frames(2):
        found, expected = looped.reconstruct(frame), unrolled.reconstruct(frame)
        np.testing.assert_array_equal(found.anomaly_map, expected.anomaly_map)
        np.testing.assert_array_equal(found.reconstruction, expected.reconstruction)
        assert found.values == expected.values
        tiles = found.plan.cut(found.prepared)
        np.testing.assert_array_equal(looped.search(tiles).z, unrolled.search(tiles).z)
        np.testing.assert_array_equal(looped.trace(tiles), unrolled.trace(tiles))
    assert unrolled.measure(frames(1)[0]).unrolled == "asked for"


def test_a_graph_with_a_loop_does_not_grow_with_the_iterations(emulated: Open, package: ModelPackage) -> None:
    """A longer search has no more nodes in its graph; unrolled, it has at least two more an iteration and batch."""
    _need_loop(emulated())
    nodes: dict[bool, list[int]] = {False: [], True: []}
    for iterations in (2, 7):
        changed = package.with_iterations(iterations)
        for unrolled, counted in nodes.items():
            counted.append(emulated(changed, unrolled=unrolled, batch=4).measure(frames(1)[0]).nodes)
    assert nodes[False][0] == nodes[False][1]
    assert nodes[True][1] >= nodes[True][0] + 2 * 5 * 3


def test_a_search_without_iterations_has_no_loop(emulated: Open, package: ModelPackage) -> None:
    """Where the encoder's latent is final, no loop is recorded, and the graph is the same."""
    none = package.with_iterations(0)
    counted = {u: emulated(none, unrolled=u).measure(frames(1)[0]).nodes for u in (False, True)}
    assert counted[False] == counted[True]


LOOP_FAULTS = {
    "an old driver": ("this driver is of CUDA 12.2, and a loop in a graph needs 12.4", None),
    "an old compiler": ("NVRTC 12.2 cannot compile", None),
    "a driver that cannot load the kernel": ("cannot load the kernel that ends an iteration", "cuModuleLoadDataEx"),
    "a driver that makes no condition": ("cuGraphConditionalHandleCreate failed", "cuGraphConditionalHandleCreate"),
    "a driver that adds no loop": ("cuGraphAddNode_v2 failed", "cuGraphAddNode"),
    "a driver that captures no body": ("cuStreamBeginCaptureToGraph failed", "cuStreamBeginCaptureToGraph"),
    "a driver that cannot run the loop": ("cuGraphInstantiateWithFlags failed", "cuGraphInstantiateWithFlags"),
    "an engine that puts host work into it": ("the capture of a loop was invalidated", None),
}


@pytest.mark.parametrize("fault", LOOP_FAULTS)
def test_without_loops_the_search_is_unrolled(
    emulated: Open,
    fake_driver: FakeDriver,
    package: ModelPackage,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever cannot do loops, the search runs and gives the same; the reason is logged once, and told."""
    frame = frames(1)[0]
    expected = emulated(unrolled=True).reconstruct(frame)
    sentence, api = LOOP_FAULTS[fault]
    trt = StandIn()
    if fault == "an old driver":
        fake_driver.configure(driver_version=12020)
    elif fault == "an old compiler":
        monkeypatch.setattr("latentline.backends.tensorrt.searcher.cached_loop", _cannot_compile)
    elif api is None:
        fake_driver.calls()  # a real driver has none, and the test ends here
        trt.works_on_the_host = True
    elif api == "cuGraphInstantiateWithFlags":
        fake_driver.fail(api, INVALID_VALUE, 1)
    elif api == "cuModuleLoadDataEx":
        fake_driver.fail(api, INVALID_VALUE, 2)  # the first is of the other kernels
    else:
        fake_driver.fail(api, INVALID_VALUE)
    with caplog.at_level("WARNING"):
        searcher = emulated(trt=trt)
        found = searcher.reconstruct(frame)
        searcher.reconstruct(frames(1, (SIZE, 2 * SIZE))[0])
    np.testing.assert_array_equal(found.anomaly_map, expected.anomaly_map)
    assert found.values == expected.values
    unrolled = searcher.measure(frame).unrolled
    assert unrolled is not None and sentence in unrolled
    assert [record.getMessage().count(sentence) for record in caplog.records] == [1]


def _need_loop(searcher: Any) -> None:
    """Skip on a real driver from before loops; the emulation has them, and there a missing one fails."""
    reason = searcher.measure(frames(1)[0]).unrolled
    if reason is not None and "this driver is of CUDA" in reason:
        pytest.skip(f"NO LOOP WAS TESTED: {reason}")
    assert reason is None


def _cannot_compile(*_: object) -> bytes:
    raise EngineError("NVRTC 12.2 cannot compile the kernels for sm_87: unresolved cudaGraphSetConditional")


def test_an_integrated_gpu_copies_nothing(emulated: Open, fake_driver: FakeDriver) -> None:
    """With mapped host memory a frame needs no copy over a bus, and its result is the same."""
    searcher, frame = emulated(), frames(1)[0]
    discrete = searcher.reconstruct(frame)
    searcher.close()
    fake_driver.reset()
    fake_driver.configure(integrated=True)
    searcher = emulated()
    searcher.reconstruct(frame)
    ran = len(fake_driver.timeline())
    np.testing.assert_array_equal(searcher.reconstruct(frame).anomaly_map, discrete.anomaly_map)
    assert not [line for line in fake_driver.timeline()[ran:] if "copy host" in line or "to host" in line]


def test_graphs_of_old_shapes_are_released(emulated: Open, fake_driver: FakeDriver) -> None:
    """Graphs of the last few frame shapes are kept, and all others are released."""
    searcher = emulated()
    shapes = [(2 * SIZE, SIZE + 12 * step) for step in range(9)]
    held = []
    for shape in shapes:
        searcher.reconstruct(frames(1, shape)[0])
        held.append(len(fake_driver.leaks()))
    assert held[3] == max(held[3:]), "at most four graphs, and only searches that they use"
    searcher.close()
    assert fake_driver.leaks() == []


@pytest.mark.parametrize("how", ["close", "twice", "finaliser", "other thread", "frame in flight"])
def test_everything_is_released(
    emulated: Open, fake_driver: FakeDriver, package: ModelPackage, folder: Path, how: str
) -> None:
    """However a searcher ends, the driver has nothing left of it."""
    from latentline.backends.tensorrt.searcher import open_tensorrt

    emulated().close()  # engines and kernels are in the cache now
    searcher = open_tensorrt(package, StandIn(), GpuSettings(cache=folder))
    searcher.reconstruct(frames(1)[0])
    if how == "finaliser":
        del searcher
    elif how == "other thread":
        thread = threading.Thread(target=searcher.close)
        thread.start()
        thread.join()
    else:
        if how == "frame in flight":
            searcher.begin(frames(1)[0])
        searcher.close()
        if how == "twice":
            searcher.close()
    gc.collect()
    assert fake_driver.leaks() == [] and fake_driver.reports() == []


@pytest.mark.parametrize("where", ["work()", "thread = Thread(target=work); thread.start(); thread.join()"])
def test_a_program_that_ends_without_closing_releases_everything(
    emulated: Open, folder: Path, package_path: Path, where: str
) -> None:
    """When the interpreter ends, whichever thread opened the searcher, the driver reports no leak."""
    emulated(load_package(package_path)).close()  # engines and kernels are in the cache now
    script = f"""
        from pathlib import Path
        from threading import Thread
        from tests.fake_cuda.driver import FakeDriver
        driver = FakeDriver.load()
        import numpy as np
        from latentline.package.model_package import load_package
        from latentline.backends.settings import GpuSettings, Precision
        from latentline.backends.tensorrt.searcher import open_tensorrt
        from tests.fake_cuda.host_kernels import build_host_kernels
        from tests.paths import FAKE_CUDA
        from {StandIn.__module__} import {StandIn.__name__} as StandIn
        folder, opened = Path({str(folder)!r}), []
        driver.use_kernels(build_host_kernels("fp32", FAKE_CUDA))
        package, frame = load_package(Path({str(package_path)!r})), np.zeros((32, 32), np.uint8)
        def work():
            opened.append(open_tensorrt(package, StandIn(), GpuSettings(cache=folder)))
            opened[0].reconstruct(frame)
            opened[0].begin(frame)
        {where}
        print(len(driver.leaks()) > 0)
        """
    ran = run_script(script, start="")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "True\n", "")


def test_another_thread_is_refused(emulated: Open) -> None:
    """Another thread gets one sentence, and the searcher still works on the thread that opened it."""
    searcher, errors = emulated(), []

    def use() -> None:
        try:
            searcher.reconstruct(frames(1)[0])
        except BackendError as error:
            errors.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(errors) == 1 and "belongs to the thread that opened it" in errors[0]
    assert np.isfinite(searcher.reconstruct(frames(1)[0]).anomaly_map).all()


def test_a_failed_allocation_is_one_sentence_and_leaks_nothing(emulated: Open, fake_driver: FakeDriver) -> None:
    """Whichever allocation fails, opening or the first frame ends in one sentence, and everything is released."""
    searcher = emulated()
    searcher.reconstruct(frames(1)[0])
    searcher.close()
    for api in ("cuMemAlloc", "cuMemHostAlloc"):
        needed = fake_driver.calls()[api]
        for nth in sorted({1, 2, needed // 2, needed}):
            fake_driver.reset()
            for again in (nth, nth + 1):  # pycuda collects garbage and tries again
                fake_driver.fail(api, OUT_OF_MEMORY, again)
            with pytest.raises(BackendError, match="out of memory"):
                searcher = emulated()
                try:
                    searcher.reconstruct(frames(1)[0])
                finally:
                    searcher.close()
            gc.collect()
            assert fake_driver.leaks() == []
        fake_driver.reset()
        searcher = emulated()
        searcher.reconstruct(frames(1)[0])
        searcher.close()


@pytest.mark.parametrize("api", ["cuGraphLaunch", "cuMemcpyHtoDAsync", "cuEventRecord"])
def test_a_failed_launch_costs_one_frame(emulated: Open, fake_driver: FakeDriver, api: str) -> None:
    """The frame whose launch fails raises BackendError, and the next one is searched."""
    searcher, frame = emulated(), frames(1)[0]
    expected = searcher.reconstruct(frame).anomaly_map
    for _ in range(3):  # more often than there are slots
        fake_driver.fail(api, LAUNCH_FAILED if api == "cuGraphLaunch" else INVALID_VALUE, 1)
        with pytest.raises(BackendError):
            searcher.reconstruct(frame)
    np.testing.assert_array_equal(searcher.reconstruct(frame).anomaly_map, expected)


@pytest.mark.parametrize(
    ("at", "nth"), [("cuStreamEndCapture", 1), ("cuLaunchKernel", 1), ("cuMemsetD8Async", 1), ("cuLaunchHostFunc", 6)]
)
def test_a_capture_that_another_thread_breaks_is_tried_again(
    emulated: Open, fake_driver: FakeDriver, at: str, nth: int
) -> None:
    """One invalidated capture changes nothing, and when all of them are, that is one sentence."""
    searcher, frame = emulated(), frames(1)[0]
    fake_driver.invalidate_captures(at=at, nth=nth)
    found = searcher.reconstruct(frame).anomaly_map
    assert fake_driver.calls()["cuStreamBeginCapture"] == 3
    np.testing.assert_array_equal(found, emulated().reconstruct(frame).anomaly_map)
    other = emulated()
    for nth in range(1, 13):  # three tries with a loop, whose body is a capture, too, and three without
        fake_driver.invalidate_captures(at="cuStreamEndCapture", nth=nth)
    with pytest.raises(BackendError, match="CAPTURE_INVALIDATED"):
        other.reconstruct(frame)


def test_another_thread_may_use_the_default_stream_during_a_capture(emulated: Open, fake_driver: FakeDriver) -> None:
    """A camera library's copy on CUDA's default stream neither fails nor breaks the capture."""
    import pycuda.driver as cuda

    searcher, frame = emulated(), frames(1)[0]
    session, answers = searcher._session, []
    run = session._run

    def beside() -> None:
        context = cuda.Device(0).retain_primary_context()
        context.push()
        memory = cuda.mem_alloc(64)
        try:
            cuda.memcpy_htod(memory, bytes(64))
            answers.append("copied")
        finally:
            memory.free()
            context.detach()

    def run_beside(launch: Any, stream: Any) -> None:
        run(launch, stream)
        if launch.name == "gather_tiles":
            thread = threading.Thread(target=beside)
            thread.start()
            thread.join()

    session._run = run_beside
    searcher.reconstruct(frame)
    assert answers == ["copied", "copied"] and fake_driver.calls()["cuStreamBeginCapture"] == 2


def test_a_result_belongs_to_its_frame(emulated: Open) -> None:
    """Frames in flight may be finished in any order or beside a search of tiles, and a third frame is refused."""
    searcher, (first, second) = emulated(), frames(2)
    expected = [searcher.reconstruct(frame).anomaly_map for frame in (first, second)]
    finish = [searcher.begin(frame) for frame in (first, second)]
    with pytest.raises(BackendError, match="2 frames are in flight"):
        searcher.begin(first)
    for index in (1, 0):
        np.testing.assert_array_equal(finish[index]().anomaly_map, expected[index])
    pending = searcher.begin(first)
    tiles = frames(1, (2, SIZE, SIZE, 1))[0]
    assert len(searcher.search(tiles).z) == 2
    np.testing.assert_array_equal(pending().anomaly_map, expected[0])


def test_a_closed_searcher_says_so(emulated: Open) -> None:
    """After closing, every call, also for a frame in flight, ends in one sentence."""
    searcher, frame = emulated(), frames(1)[0]
    pending = searcher.begin(frame)
    searcher.close()
    for use in (pending, lambda: searcher.reconstruct(frame), lambda: searcher.search(frame[None, :SIZE, :SIZE, None])):
        with pytest.raises(BackendError, match="closed; open another"):
            use()


@pytest.mark.parametrize("shape", [(0, SIZE, SIZE, 1), (2, SIZE, SIZE + 1, 1), (2, SIZE, SIZE, 3), (SIZE, SIZE, 1)])
def test_tiles_of_another_shape_are_refused(emulated: Open, shape: tuple[int, ...]) -> None:
    """Tiles of another shape raise ValueError before any memory is touched."""
    with pytest.raises(ValueError, match="tiles must be uint8"):
        emulated().search(np.zeros(shape, np.uint8))


def test_kernels_are_loaded_before_a_capture(emulated: Open, fake_driver: FakeDriver) -> None:
    """No kernel is loaded after the searcher has opened, because that may break a capture."""
    searcher = emulated()
    before = fake_driver.calls()
    searcher.reconstruct(frames(1)[0])
    assert "cuModuleGetFunction" not in _new_calls(fake_driver, before)


def test_a_tensorrt_that_cannot_start_is_a_backend_error(emulated: Open, fake_driver: FakeDriver) -> None:
    """pybind11's "factory function returned nullptr" becomes a BackendError, so that `auto` can use the CPU."""

    class CannotStart(StandIn):
        def Runtime(self, logger: Any) -> Any:
            raise TypeError("pybind11::init(): factory function returned nullptr")

    emulated().close()  # engines are in the cache now
    with pytest.raises(BackendError, match=rf"tensorrt {re.escape(StandIn.__version__)} cannot start here"):
        emulated(trt=CannotStart())
    gc.collect()
    assert fake_driver.leaks() == []


def test_tensorrt_rtx_finishes_its_kernels_at_the_first_run(fake_driver: FakeDriver) -> None:
    """Execution contexts specialise eagerly, by names that TensorRT-RTX has, or have no configuration in TensorRT."""
    rtx = pytest.importorskip("tensorrt_rtx", reason="TENSORRT-RTX IS NOT INSTALLED: its names were not compared")
    from latentline.backends.tensorrt.gpu.engine import Engine

    assert hasattr(rtx.IRuntimeConfig, "dynamic_shapes_kernel_specialization_strategy")
    assert hasattr(rtx.ICudaEngine, "create_runtime_config")
    assert hasattr(rtx.IRuntimeConfig, "set_execution_context_allocation_strategy")
    for specialisation, expected in (
        (rtx.DynamicShapesKernelSpecializationStrategy, [rtx.DynamicShapesKernelSpecializationStrategy.EAGER]),
        (None, []),
    ):
        given: list[Any] = []

        def execution(config: Any, given: list[Any] = given) -> None:
            if isinstance(config, SimpleNamespace):
                given.append(config.dynamic_shapes_kernel_specialization_strategy)

        def runtime_config() -> SimpleNamespace:
            return SimpleNamespace(set_execution_context_allocation_strategy=lambda strategy: None)

        loaded = SimpleNamespace(
            num_io_tensors=0, create_runtime_config=runtime_config, create_execution_context=execution
        )
        module = SimpleNamespace(
            DataType=rtx.DataType,
            TensorIOMode=rtx.TensorIOMode,
            ExecutionContextAllocationStrategy=rtx.ExecutionContextAllocationStrategy,
            DynamicShapesKernelSpecializationStrategy=specialisation,
        )
        engine = Engine(
            module, SimpleNamespace(deserialize_cuda_engine=lambda plan, loaded=loaded: loaded), "any.onnx", b""
        )
        with pytest.raises(BackendError, match="no memory for its activations"):
            engine.bind({}, {})
        assert given == expected


def test_kernels_that_the_driver_refuses_are_one_sentence(emulated: Open, fake_driver: FakeDriver) -> None:
    """Kernels that the driver refuses give a sentence that says what to compare and delete, and nothing leaks."""
    fake_driver.fail("cuModuleLoadDataEx", INVALID_VALUE, 1)
    with pytest.raises(EngineError, match=r"cannot load the kernels .* delete the cache folder"):
        emulated()
    gc.collect()
    assert fake_driver.leaks() == []


def test_a_driver_that_refuses_without_a_log_is_one_sentence(emulated: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """When pycuda decodes a log that the driver never wrote, the user reads the same sentence and no traceback."""

    def undecodable(kernels: bytes) -> None:
        b"\xff".decode()

    monkeypatch.setattr("pycuda.driver.module_from_buffer", undecodable)
    with pytest.raises(EngineError, match=r"cannot load the kernels .* delete the cache folder"):
        emulated()


def test_a_lost_context_fails_every_frame(emulated: Open, fake_driver: FakeDriver) -> None:
    """After the context is lost, every frame fails with one sentence, and closing neither raises nor hangs."""
    searcher, frame = emulated(), frames(1)[0]
    searcher.reconstruct(frame)
    fake_driver.lose_context()
    for _ in range(3):
        with pytest.raises(BackendError, match="restart"):
            searcher.reconstruct(frame)
    searcher.close()


@pytest.mark.parametrize("tensor", ["z", "image", "grad_z", "fx"])
def test_an_address_that_an_engine_refuses_is_named(emulated: Open, fake_driver: FakeDriver, tensor: str) -> None:
    """The sentence names graph and tensor, and nothing leaks."""
    trt = StandIn()
    trt.refused_address = tensor
    with pytest.raises(BackendError, match=rf"\.onnx refuses the memory of {tensor}"):
        emulated(trt=trt)
    gc.collect()
    assert fake_driver.leaks() == []


def test_an_engine_that_fails_to_run_or_load_is_named(emulated: Open, fake_driver: FakeDriver) -> None:
    """An engine that TensorRT cannot run or load gives one sentence when the searcher opens."""
    for fault, error, words in (
        ("fails_to_execute", BackendError, "TensorRT failed to run"),
        ("fails_to_load", EngineError, "cannot load the engine"),
    ):
        trt = StandIn()
        emulated().close()
        setattr(trt, fault, True)
        with pytest.raises(error, match=words):
            emulated(trt=trt)
        gc.collect()
        assert fake_driver.leaks() == []


def test_components_are_those_of_its_own_search(emulated: Open, package: ModelPackage) -> None:
    """The components of a frame equal NumPy's, computed from the same tiles' scores."""
    searcher = emulated(batch=4)
    found = searcher.reconstruct(frames(1)[0])
    tiles = found.plan.cut(found.prepared)
    own = SearchedFrame(found.prepared, found.plan, tiles, searcher.search(tiles), {})
    expected = frame_components(own, np.zeros((2, 1, 1), np.float32), package.statistics)
    for name in ("feature", "d_reconstruction", "d_frame", "loss"):
        assert found.values[name] == pytest.approx(expected[name], rel=1e-5)


def test_example_frames_reach_every_path(package: ModelPackage, cpu: OpenVinoSearcher) -> None:
    """The conformance frames have one tile, several tiles, and colour that the GPU turns grey."""
    shapes = [frame.shape for frame in example_frames(package, cpu).values()]
    assert (SIZE, SIZE, 1) in shapes and any(shape[2] == 3 for shape in shapes) and max(s[0] for s in shapes) > SIZE


def _new_calls(driver: FakeDriver, before: dict[str, int]) -> dict[str, int]:
    now = driver.calls()
    return {name: count - before.get(name, 0) for name, count in now.items() if count > before.get(name, 0)}
