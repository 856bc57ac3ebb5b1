"""first_look.onnx: D over a whole frame, of any size, as `Discriminator.look`.

Written node by node: every layer is a convolution, and a folded one (scale, average, dense layer) is its kernel. The
constant channel of the minibatch standard deviation ends at the edges of the frame, as at those of a tile, so it is a
convolution as well: one with weights 0 whose bias is the constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from export.graphs import OPSET
from trainer.networks.discriminator import PATCH_HEAD_BLOCKS, Discriminator, DiscriminatorBlock
from trainer.networks.layers import LEAKY_SLOPE, FromImage, spread

Ports = list[onnx.ValueInfoProto]


@torch.no_grad()
def export_first_look(discriminator: Discriminator) -> bytes:
    """ONNX bytes, float32: image [batch, C, height, width] -> logit [batch, rows, columns].

    With a patch head also patch_logits [batch, patch_rows, patch_columns].
    """
    graph = _Graph()
    head, h = discriminator.patch_head, "image"
    first = cast("FromImage", discriminator.from_image[discriminator.last_stage])
    h = graph.layer(h, first.scaled_weight(), first.bias, stride=first.patch_size)
    outputs = {}
    for count, block in enumerate(reversed(cast("Sequence[DiscriminatorBlock]", discriminator.blocks)), 1):
        h = graph.layer(h, block.conv.scaled_weight(), block.conv.bias, pad=1)
        h = graph.layer(h, spread(block.down_conv.scaled_weight()) / 4, block.down_conv.bias, stride=2, pad=1)
        if count == PATCH_HEAD_BLOCKS and head is not None:
            seen = graph.layer(h, head.conv.scaled_weight(), head.conv.bias, pad=1)
            outputs["patch_logits"] = graph.convolution(seen, head.out.scaled_weight(), head.out.bias)
    weight, dense = discriminator.conv.scaled_weight(), discriminator.dense
    constant = graph.convolution(h, torch.zeros(1, weight.shape[1] - 1, 1, 1), discriminator.stddev_mean.view(1))
    of_maps = graph.convolution(h, weight[:, :-1], discriminator.conv.bias, pad=1)
    h = graph.activate(graph.add(of_maps, graph.convolution(constant, weight[:, -1:], pad=1)))
    h = graph.layer(h, dense.scaled_weight().view(-1, weight.shape[0], 4, 4), dense.bias)
    outputs["logit"] = graph.convolution(h, discriminator.out.scaled_weight()[:, :, None, None], discriminator.out.bias)
    return graph.finished(discriminator.channels, outputs)


class _Graph:
    """Nodes and weights, in the order in which they are added; each method gives the name of its output."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._layers = 0

    def layer(self, h: str, weight: Tensor, bias: Tensor, stride: int = 1, pad: int = 0) -> str:
        return self.activate(self.convolution(h, weight, bias, stride, pad))

    def convolution(self, h: str, weight: Tensor, bias: Tensor | None = None, stride: int = 1, pad: int = 0) -> str:
        self._layers += 1
        inputs = [h, self._weight("weight", weight)] + ([] if bias is None else [self._weight("bias", bias)])
        sides = list(weight.shape[2:])
        return self._node("Conv", inputs, kernel_shape=sides, strides=[stride] * 2, pads=[pad] * 4)

    def activate(self, h: str) -> str:
        return self._node("LeakyRelu", [h], alpha=LEAKY_SLOPE)

    def add(self, a: str, b: str) -> str:
        return self._node("Add", [a, b])

    def finished(self, channels: int, outputs: dict[str, str]) -> bytes:
        """The graph with these outputs [batch, 1, h, w], by name, of which the second axis is removed."""
        self._weights.append(numpy_helper.from_array(torch.tensor([1]).numpy(), "axis"))
        for name, value in outputs.items():
            self._nodes.append(helper.make_node("Squeeze", [value, "axis"], [name]))
        image = ["batch", channels, "height", "width"]
        places = {"logit": ["batch", "rows", "columns"], "patch_logits": ["batch", "patch_rows", "patch_columns"]}
        graph = helper.make_graph(
            self._nodes,
            "first_look",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, image)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, places[name]) for name in sorted(outputs)],
            self._weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def _weight(self, kind: str, tensor: Tensor) -> str:
        name = f"layers.{self._layers}.{kind}"
        self._weights.append(numpy_helper.from_array(tensor.detach().float().cpu().contiguous().numpy(), name))
        return name

    def _node(self, kind: str, inputs: list[str], **attributes: object) -> str:
        name = f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name
