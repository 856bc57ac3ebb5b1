"""TensorRT-RTX builds every graph, and a build that fails gives one sentence."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from latentline.backends.settings import Precision
from latentline.backends.tensorrt.engines import builder
from latentline.backends.tensorrt.engines.builder import build_engine
from latentline.backends.tensorrt.graphs.features import FEATURES, features_alone
from latentline.backends.tensorrt.graphs.prepare import prepare_graph
from latentline.errors import EngineError
from latentline.package.model_package import DISCRIMINATOR, GENERATOR, SEARCH_STEP, ModelPackage
from tests.gpu.standin.module import StandIn

Graphs = Callable[[str], Mapping[str, bytes]]
ADA = (8, 9)


def convolution(kind: int, weight_kind: int) -> bytes:
    """A graph image -> features with these element types, which TensorRT may refuse."""
    weight = numpy_helper.from_array(np.ones((2, 1, 1, 1), helper.tensor_dtype_to_np_dtype(weight_kind)), "weight")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weight"], ["features"])],
        "graph",
        [helper.make_tensor_value_info("image", kind, ["batch", 1, 4, 4])],
        [helper.make_tensor_value_info("features", kind, ["batch", 2, 4, 4])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("size", ["demo", "1024 px"])
def test_real_tensorrt_rtx_builds_every_graph(rtx: Any, graphs_of: Graphs, size: str, precision: Precision) -> None:
    """The real library's parser, type rules and graph compiler accept every graph of every model."""
    graphs = graphs_of(size)
    for name, content in {**graphs, FEATURES: features_alone(graphs[DISCRIMINATOR])}.items():
        lines: list[str] = []
        graph = prepare_graph(content, name, precision)
        tile = 1024 if size == "1024 px" else 64
        built = build_engine(
            rtx, graph, name, precision, 4, tile_size=tile, compute_capability=ADA, progress=lines.append
        )
        assert len(built.plan) > 10_000
        assert lines[-1].startswith(f"{name}: built for {precision} in ")


@pytest.mark.parametrize(
    ("kind", "weight_kind", "sentence"),
    [
        (TensorProto.FLOAT, TensorProto.FLOAT16, r"tensorrt_rtx 1\.\S+ refuses the graph at node 0 \(.*same type"),
        (TensorProto.INT32, TensorProto.INT32, r"tensorrt_rtx 1\.\S+ refuses the graph at node 0 \(.*Int32"),
        (TensorProto.BFLOAT16, TensorProto.BFLOAT16, r"'image' is BF16 and fp32 needs FLOAT"),
    ],
    ids=["half weights at a float32 input", "int32", "bfloat16"],
)
def test_real_tensorrt_rtx_refuses_wrong_types(rtx: Any, kind: int, weight_kind: int, sentence: str) -> None:
    """A graph of wrong types is refused in one sentence with graph, place and reason."""
    with pytest.raises(EngineError, match=rf"^discriminator\.onnx: {sentence}.*; ") as caught:
        build_engine(rtx, convolution(kind, weight_kind), "discriminator.onnx", "fp32", 1, compute_capability=ADA)
    assert "\n" not in str(caught.value)


def test_float64_is_refused_before_the_parser_converts_it() -> None:
    """A float64 graph is refused when it is prepared, because TensorRT-RTX 1.7 would silently make it float32."""
    with pytest.raises(EngineError, match=r"^discriminator\.onnx: 'image' is DOUBLE, and a package's graphs are FLOAT"):
        prepare_graph(convolution(TensorProto.DOUBLE, TensorProto.DOUBLE), "discriminator.onnx", "fp32")


def test_real_tensorrt_rtx_names_the_gpus_it_builds_for(rtx: Any, demo: ModelPackage) -> None:
    """A GPU that it does not know (Orin's 8.7) is refused with those it knows and with the way to build for it."""
    graph = prepare_graph(demo.graphs[GENERATOR], GENERATOR, "fp32")
    with pytest.raises(EngineError, match=r"builds for compute capability 7\.5, .*8\.9.* and not for 8\.7; use --tens"):
        build_engine(rtx, graph, GENERATOR, "fp32", 1, compute_capability=(8, 7))


def test_a_graph_of_another_precision_is_refused(demo: ModelPackage) -> None:
    """A float32 graph is not built as fp16, nor an fp16 graph as fp32."""
    asked: Precision
    given: Precision
    for asked, given in (("fp16", "fp32"), ("fp32", "fp16")):
        module = StandIn()
        with pytest.raises(EngineError, match=rf"^generator\.onnx: .*{asked}"):
            build_engine(module, prepare_graph(demo.graphs[GENERATOR], GENERATOR, given), GENERATOR, asked, 1)
        assert module.builds == 0


def test_half_ports_around_float32_layers_are_refused() -> None:
    """A graph with half inputs and outputs around a float32 convolution is refused as fp16."""
    content = onnx.load_from_string(convolution(TensorProto.FLOAT, TensorProto.FLOAT))
    (node,) = content.graph.node
    for port in (*content.graph.input, *content.graph.output):
        port.type.tensor_type.elem_type = TensorProto.FLOAT16
    node.input[0], node.output[0] = "inside", "result"
    before = helper.make_node("Cast", ["image"], ["inside"], to=TensorProto.FLOAT)
    after = helper.make_node("Cast", ["result"], ["features"], to=TensorProto.FLOAT16)
    del content.graph.node[:]
    content.graph.node.extend([before, node, after])
    with pytest.raises(EngineError, match=r"the layer '' computes in FLOAT, and fp16 was asked for"):
        build_engine(StandIn(), content.SerializeToString(), "discriminator.onnx", "fp16", 1)


def test_without_a_gpu_nothing_is_built() -> None:
    """When the builder cannot start, the sentence has TensorRT's reason and says where to build."""
    module = StandIn()
    module.no_gpu = True
    with pytest.raises(
        EngineError, match=r"tensorrt 10\.3\.0 cannot start here \(CUDA init.*\); it builds on the machi"
    ):
        build_engine(module, b"", GENERATOR, "fp32", 1)


def test_a_failed_build_names_the_graph(demo: ModelPackage) -> None:
    """When TensorRT returns no engine, the sentence names the graph and says what to try."""
    module = StandIn()
    module.fails_to_build = True
    graph = prepare_graph(demo.graphs[GENERATOR], GENERATOR, "fp32")
    with pytest.raises(EngineError, match=r"^generator\.onnx: .*could not build the engine.*--workspace.*--batch"):
        build_engine(module, graph, GENERATOR, "fp32", 1)


def test_timings_of_another_gpu_are_ignored(demo: ModelPackage) -> None:
    """A timing cache that does not fit is replaced by an empty one."""
    module = StandIn()
    module.refused_timings = b"of another GPU"
    graph = prepare_graph(demo.graphs[GENERATOR], GENERATOR, "fp32")
    assert build_engine(module, graph, GENERATOR, "fp32", 1, timing_cache=b"of another GPU").timing_cache == b"timings"
    assert module.offered_timings == [b"of another GPU", b""]


def test_long_builds_report_their_progress(rtx: Any, demo: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The phases and steps of the real library become lines with the graph's name."""
    monkeypatch.setattr(builder, "PROGRESS_SECONDS", 0.0)
    lines: list[str] = []
    graph = prepare_graph(demo.graphs[SEARCH_STEP], SEARCH_STEP, "fp16")
    build_engine(rtx, graph, SEARCH_STEP, "fp16", 2, compute_capability=ADA, progress=lines.append)
    assert len(lines) > 10 and all(line.startswith("search_step.onnx: ") for line in lines)
    assert any(" of " in line for line in lines)


def test_tensorrt_messages_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """TensorRT's messages are in the station's log, under our logger."""
    module = StandIn()
    module.no_gpu = True
    with caplog.at_level(logging.ERROR), pytest.raises(EngineError):
        build_engine(module, b"", GENERATOR, "fp32", 1)
    assert "TensorRT: CUDA initialization failure" in caplog.text
