"""The roofline equals independent counts, floors follow from it, and only measured times are called measured."""

import json
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.utils.flop_counter import FlopCounterMode

from bench.roofline.datasheets import DEVICES, DevicePeaks, find_peaks
from bench.roofline.floor import SearchFloor, executions, search_floor
from bench.roofline.graph_cost import GraphCost, Precision, graph_cost
from export.layers import Dense
from export.search_step import FoldedDiscriminator, FoldedGenerator, SearchStep
from latentline.package.model_package import FIRST_LOOK, ModelPackage, load_package
from tests.packages import LATENT, SIZE, networks, tiny_model
from tests.paths import DEMO_MODEL, ROOT

BATCH = 3


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.roofline.search", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("graph", ["generator.onnx", "discriminator.onnx", "search_step.onnx"])
def test_multiply_adds_equal_those_that_pytorch_counts(graph: str) -> None:
    """Convolutions: PyTorch's own flop counter on the module; dense layers: the size of their weights, both ways."""
    generator, discriminator = networks()
    z, x = torch.zeros(BATCH, LATENT), torch.zeros(BATCH, 1, SIZE, SIZE)
    fx = discriminator(x)[1]
    module, inputs, passes = {
        "generator.onnx": (FoldedGenerator(generator), (z,), 1),
        "discriminator.onnx": (FoldedDiscriminator(discriminator), (x,), 1),
        "search_step.onnx": (SearchStep(generator, discriminator, 0.1, 0.1), (z, x, fx), 2),
    }[graph]
    with FlopCounterMode(display=False) as counter:
        module(*inputs)
    convolutions = counter.get_flop_counts()["Global"][torch.ops.aten.convolution]
    dense = sum(m.weight.numel() for m in module.modules() if isinstance(m, Dense)) * BATCH * passes

    cost = graph_cost(tiny_model().graphs[graph], graph, BATCH, "fp32")

    counted = dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "MatMul"), 0)
    for layer in cost.layers:
        counted[layer.kind] += layer.multiply_adds
    assert 2 * (counted["Conv"] + counted["ConvTranspose"]) == convolutions
    assert counted["Gemm"] + counted["MatMul"] == dense


def small_graph() -> bytes:
    """x [b, 2, 8, 8] -> Conv to 4 maps -> leaky ReLU -> ConvTranspose to [b, 1, 16, 16] -> image, its sum [b]."""
    weights = {
        "w": np.zeros((4, 2, 3, 3), np.float32),
        "b": np.zeros(4, np.float32),
        "k0": np.zeros((1, 4, 4, 4), np.float32),
        "axes": np.array([1, 2, 3]),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("LeakyRelu", ["h"], ["y"]),
        helper.make_node("Transpose", ["k0"], ["k"], perm=[1, 0, 2, 3]),  # a constant: folded by every runtime
        helper.make_node("ConvTranspose", ["y", "k"], ["image"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Abs", ["image"], ["a"]),
        helper.make_node("ReduceSum", ["a", "axes"], ["sum"], keepdims=0),
    ]
    ports = {"x": ["batch", 2, 8, 8], "image": ["batch", 1, 16, 16], "sum": ["batch"]}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ports.items()}
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "small", [values["x"]], [values["image"], values["sum"]], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize(("precision", "width"), [("fp32", 4), ("fp16", 2)])
def test_costs_of_a_graph_counted_by_hand(precision: Precision, width: int) -> None:
    """Two layers; h and the constant's transpose never cross memory, y does twice; the sum stays float32."""
    cost = graph_cost(small_graph(), "small", 5, precision)
    x, y, image, total = 5 * 2 * 64 * width, 5 * 4 * 64 * width, 5 * 256 * width, 5 * 4
    first, second = (72 + 4) * width, 64 * width  # weights and bias; kernel

    assert [layer.kind for layer in cost.layers] == ["Conv", "ConvTranspose"]
    assert [layer.multiply_adds for layer in cost.layers] == [5 * 4 * 64 * 18, 5 * 4 * 64 * 16]
    assert [layer.elementwise for layer in cost.layers] == [5 * 4 * 64, 2 * 5 * 256]
    assert [layer.bytes for layer in cost.layers] == [x + first + y, y + second + image + total]
    assert cost.bytes_fused == sum(layer.bytes for layer in cost.layers)
    assert cost.bytes_minimum == first + second + x + image + total


def device(fp16: float, bandwidth: float) -> DevicePeaks:
    return DevicePeaks("made up", "made up", 1.0, fp16, bandwidth, "")


@lru_cache
def demo() -> ModelPackage:
    return load_package(DEMO_MODEL)


@lru_cache
def demo_costs(batch: int, precision: Precision = "fp16") -> dict[str, GraphCost]:
    searching = {name: content for name, content in demo().graphs.items() if name != FIRST_LOOK}  # a look is no search
    return {name: graph_cost(content, name, batch, precision) for name, content in searching.items()}


def floor_of(one: DevicePeaks, iterations: int, batch: int) -> SearchFloor:
    return search_floor(one, demo_costs(batch), executions(demo().manifest, iterations), "fp16", batch)


def test_a_device_of_endless_bandwidth_takes_its_arithmetic() -> None:
    """Then both floors are two operations a multiply-add over the peak, and no layer waits for memory."""
    floor, costs, runs = floor_of(device(2.0, 1e15), 30, 1), demo_costs(1), executions(demo().manifest, 30)
    milliseconds = 1e3 * sum(2 * costs[name].multiply_adds * times for name, times in runs.items()) / 2e12
    assert floor.fused_ms == pytest.approx(milliseconds)
    assert floor.minimum_ms == pytest.approx(milliseconds)
    assert floor.memory_share == 0


def test_a_device_of_endless_arithmetic_takes_its_memory() -> None:
    """Then fused is all bytes over the bandwidth, and minimum those that no cache spares."""
    floor, costs, runs = floor_of(device(1e15, 1.0), 30, 1), demo_costs(1), executions(demo().manifest, 30)
    assert floor.fused_ms == pytest.approx(1e3 * sum(costs[name].bytes_fused * n for name, n in runs.items()) / 1e9)
    once = sum(costs[name].weight_bytes for name in runs)
    assert once / 1e6 < floor.minimum_ms < 1.2 * once / 1e6
    assert floor.memory_share == 1


@pytest.mark.parametrize("one", DEVICES, ids=lambda one: one.name)
def test_floors_grow_with_iterations_and_batch(one: DevicePeaks) -> None:
    """Each iteration costs the same; nine tiles cost no more than nine times one, and no less than their arithmetic."""
    fused = {n: floor_of(one, n, 1).fused_ms for n in (0, 100, 200)}
    assert 0 < fused[0] < fused[100]
    assert fused[200] - fused[100] == pytest.approx(fused[100] - fused[0])
    single, nine = floor_of(one, 100, 1), floor_of(one, 100, 9)
    assert single.fused_ms < nine.fused_ms <= 9 * single.fused_ms
    assert nine.minimum_ms <= nine.fused_ms
    assert nine.minimum_ms == pytest.approx(9 * single.minimum_ms)


def test_the_graphs_of_a_search_are_those_that_its_package_has() -> None:
    """With a random start there is no encoder; D runs on the tiles and on the reconstruction."""
    spec = demo().manifest
    without = {"discriminator.onnx": 2, "search_step.onnx": 7, "generator.onnx": 1}
    assert executions(spec, 7) == {**without, "encoder.onnx": 1}
    random = spec.model_copy(update={"search": spec.search.model_copy(update={"init": "random"})})
    assert executions(random, 7) == without


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 SXM5 80GB"),
        ("NVIDIA GeForce RTX 4090", "GeForce RTX 4090"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", "Jetson Orin Nano Super 8GB"),
        ("Orin", None),
    ],
)
def test_a_device_is_told_by_its_name_or_not_at_all(name: str, expected: str | None) -> None:
    """A name that several devices share has no peaks, and so no floor."""
    found = find_peaks(name)
    assert (found.name if found else None) == expected
    assert {find_peaks(one.name) for one in DEVICES} == set(DEVICES)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_command_prints_every_device_with_its_source(precision: str) -> None:
    """Floors of n = the package's, 10, 100 and 500 for one and nine tiles, as docs/results says; nothing measured."""
    done = run("--precision", precision)
    assert done.returncode == 0, done.stderr
    for one in DEVICES:
        assert f"\n{one.name}" in done.stdout and one.source in done.stdout
    for n in (demo().manifest.search.iterations, 10, 100, 500):
        assert f"n {n}, batch 1" in done.stdout and f"n {n}, batch 9" in done.stdout
    assert "ms per search" not in done.stdout
    written = (ROOT / "docs" / "results" / "roofline.md").read_text(encoding="utf-8")
    tables = done.stdout[: done.stdout.index("dense peaks")]
    assert "\n".join(f"    {line}".rstrip() for line in tables.splitlines()) in written


def test_json_has_floors_and_measured_times(tmp_path: Path) -> None:
    """The report of a known device gets its floors; an unknown device and the CPU get none."""
    reports = [tmp_path / "known.json", tmp_path / "unknown.json"]
    reports[0].write_text('{"device": "NVIDIA GeForce RTX 4090", "search_ms": 5.0, "iterations": 2}')
    reports[1].write_text('{"device": "Orin", "search_ms": 9.0, "iterations": 2}')
    done = run("--iterations", "2", "--batch", "1", "--cpu", "--repeats", "1", "--json", *_given(reports))
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert {floor["device"] for floor in figures["floors"]} == {one.name for one in DEVICES}
    assert all(0 < floor["minimum_ms"] <= floor["fused_ms"] for floor in figures["floors"])
    known, unknown, cpu = figures["measured"]
    assert (known["floor"]["device"], known["floor"]["iterations"]) == ("GeForce RTX 4090", 2)
    assert unknown["floor"] is None and cpu["floor"] is None
    assert cpu["search_ms"] > 0 and cpu["p10_ms"] <= cpu["search_ms"] <= cpu["p90_ms"]


def test_the_table_of_the_gpu_page_is_what_the_bench_counts() -> None:
    """docs/gpu.md: fused and minimum for one and nine tiles, both precisions, n = 10."""
    page = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    runs = executions(demo().manifest, 10)
    for one in DEVICES:
        floors = [
            search_floor(one, demo_costs(batch, precision), runs, precision, batch)
            for precision in ("fp32", "fp16")
            for batch in (1, 9)
        ]
        assert f"| {one.name} | " + " | ".join(f"{f.fused_ms:.2f} / {f.minimum_ms:.2f}" for f in floors) + " |" in page


@pytest.mark.parametrize("content", ["", "[]", '{"device": "x"}', '{"device": "x", "search_ms": 0}'])
def test_a_file_that_is_no_report_is_refused_in_one_sentence(tmp_path: Path, content: str) -> None:
    """Exit code 2, the file named, no traceback."""
    path = tmp_path / "report.json"
    path.write_text(content)
    done = run(*_given([path]))
    assert done.returncode == 2 and str(path) in done.stderr and "Traceback" not in done.stderr


def _given(reports: list[Path]) -> list[str]:
    return [part for path in reports for part in ("--measured", str(path))]
