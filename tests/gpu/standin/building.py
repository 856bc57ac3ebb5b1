"""Parsing and building in the stand-in for TensorRT: a plan is the ONNX graph itself behind a header."""

from __future__ import annotations

from typing import Any

import onnx

from tests.gpu.standin.faults import Faults
from tests.gpu.standin.interface import (
    BuilderFlag,
    DataType,
    ILogger,
    LayerType,
    MemoryPoolType,
    NetworkDefinitionCreationFlag,
    Tensor,
    tensor_of,
)

PLAN = b"stand-in plan\n"  # what a plan begins with; the most rows and the graph follow


class Layer:
    def __init__(self, node: onnx.NodeProto, output: Tensor) -> None:
        kinds = {"Conv": "Conv", "ConvTranspose": "ConvTranspose", "MatMul": "MatMul", "Gemm": "MatMul"}
        self.name, self.type, self._output = node.name, LayerType(kinds.get(node.op_type, "other")), output

    def get_output(self, index: int) -> Tensor:
        return [self._output][index]


class Network:
    def __init__(self, flags: int) -> None:
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED, "a network must be strongly typed"
        self._graph = b""
        self._inputs: list[Tensor] = []
        self._outputs: list[Tensor] = []
        self._layers: list[Layer] = []

    num_inputs = property(lambda self: len(self._inputs))
    num_outputs = property(lambda self: len(self._outputs))
    num_layers = property(lambda self: len(self._layers))

    def get_input(self, index: int) -> Tensor:
        return self._inputs[index]

    def get_output(self, index: int) -> Tensor:
        return self._outputs[index]

    def get_layer(self, index: int) -> Layer:
        return self._layers[index]


class ParserError:
    def __init__(self, description: str) -> None:
        self._description = description

    def desc(self) -> str:
        return self._description

    def node(self) -> int:
        return -1


class OnnxParser:
    def __init__(self, network: Network, logger: ILogger) -> None:
        self._network = network
        self._errors: list[ParserError] = []

    num_errors = property(lambda self: len(self._errors))

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    def parse(self, content: bytes) -> bool:
        try:
            graph = onnx.shape_inference.infer_shapes(
                onnx.load_from_string(content), check_type=True, strict_mode=True
            ).graph
            types = {v.name: DataType(v.type.tensor_type.elem_type) for v in [*graph.value_info, *graph.output]}
        except Exception as error:
            self._errors.append(ParserError(str(error)))
            return False
        network = self._network
        network._graph = content
        network._inputs, network._outputs = [tensor_of(v) for v in graph.input], [tensor_of(v) for v in graph.output]
        network._layers = [Layer(node, Tensor(node.output[0], types[node.output[0]])) for node in graph.node]
        return True


class TimingCache:
    def serialize(self) -> bytes:
        return b"timings"


class Profile:
    def __init__(self) -> None:
        self._most = 0

    def set_shape(self, name: str, smallest: tuple[int, ...], best: tuple[int, ...], largest: tuple[int, ...]) -> None:
        assert all(0 < a <= b <= c for a, b, c in zip(smallest, best, largest, strict=True))
        self._most = largest[0]


class BuilderConfig:
    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.max_aux_streams = -1
        self.progress_monitor: Any = None
        self._profiles: list[Profile] = []
        self._timings: TimingCache | None = None

    def set_memory_pool_limit(self, pool: MemoryPoolType, size: int) -> None:
        assert size > 0

    def clear_flag(self, flag: BuilderFlag) -> None:
        pass

    def create_timing_cache(self, content: bytes) -> TimingCache | None:
        self._faults.offered_timings.append(content)
        return None if content == self._faults.refused_timings else TimingCache()

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        self._timings = cache
        return True

    def add_optimization_profile(self, profile: Profile) -> int:
        self._profiles.append(profile)
        return len(self._profiles) - 1


class HostMemory:
    def __init__(self, content: bytes) -> None:
        self._content, self.nbytes = content, len(content)

    def __bytes__(self) -> bytes:
        return self._content


class Builder:
    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def create_network(self, flags: int) -> Network:
        return Network(flags)

    def create_builder_config(self) -> BuilderConfig:
        return BuilderConfig(self._faults)

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Network, config: BuilderConfig) -> HostMemory | None:
        config.progress_monitor.phase_start("Building", None, 1)
        config.progress_monitor.step_complete("Building", 0)
        config.progress_monitor.phase_finish("Building")
        faults = self._faults
        faults.builds += 1
        failed = faults.fails_to_build or faults.builds > (faults.fails_to_build_after or faults.builds)
        most = b"%d\n" % config._profiles[0]._most
        return None if failed else HostMemory(PLAN + most + network._graph)
