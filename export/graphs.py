"""The ONNX graphs of a GAN's package: generator, discriminator, search step.

A graph holds each weight once, as a scaled initializer. Nodes that derive another layout of a weight (rotated kernel,
4x4 stride-2 kernel) stay in the graph: they depend on constants alone, and the runtime folds them when it loads the
graph.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import onnx
import onnx_ir as ir
import onnxscript.optimizer
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import Tensor, nn

from export.search_step import FoldedDiscriminator, FoldedGenerator, SearchStep
from latentline.package.model_package import DISCRIMINATOR, GENERATOR, SEARCH_STEP
from trainer.data.settings import Flip
from trainer.networks.discriminator import Discriminator
from trainer.networks.generator import Generator

OPSET = 18


def export_graphs(
    generator: Generator, discriminator: Discriminator, gamma: float, lam: float, flips: Sequence[Flip] = ()
) -> dict[str, bytes]:
    """File name -> ONNX bytes, float32, batch dimension "batch" dynamic.

    generator.onnx      z [batch, L] -> image [batch, C, R, R]
    discriminator.onnx  image -> logit [batch], features [batch, maps, 4, 4]; with a patch head also patch_logits
                        [batch, r, r]
    search_step.onnx    z, x, fx -> loss [batch], grad_z [batch, L]

    flips  over which discriminator.onnx averages its logits; the search step does not, so that γ must then be 1
    """
    size, channels = generator.resolution, generator.channels
    z = torch.zeros(2, generator.latent_size)  # two rows: the exporter would take a batch of one for a constant
    x = torch.zeros(2, channels, size, size)
    fx = torch.zeros(2, *feature_shape(discriminator))
    step = SearchStep(generator, discriminator, gamma, lam)
    return {
        GENERATOR: to_onnx(FoldedGenerator(generator), {"z": z}, ["image"]),
        DISCRIMINATOR: export_discriminator(discriminator, flips),
        SEARCH_STEP: to_onnx(step, {"z": z, "x": x, "fx": fx}, ["loss", "grad_z"]),
    }


def export_discriminator(discriminator: Discriminator, flips: Sequence[Flip] = ()) -> bytes:
    """discriminator.onnx, as in `export_graphs`."""
    image = torch.zeros(2, discriminator.channels, discriminator.resolution, discriminator.resolution)
    outputs = ["logit", "features"] if discriminator.patch_head is None else ["logit", "features", "patch_logits"]
    return to_onnx(FoldedDiscriminator(discriminator, flips), {"image": image}, outputs)


def feature_shape(discriminator: Discriminator) -> tuple[int, int, int]:
    """The shape of f(x): (maps, 4, 4)."""
    return discriminator.conv.weight.shape[0], 4, 4


def to_onnx(module: nn.Module, inputs: dict[str, Tensor], outputs: Sequence[str]) -> bytes:
    """ONNX bytes of `module` in eval mode with dynamic first dimensions, checked, without paths of this machine."""
    batch = torch.export.Dim("batch", min=1)
    with _quiet():
        program = torch.onnx.export(
            module.eval().float().cpu(),
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            opset_version=OPSET,
            optimize=False,  # it would fold small weights into copies, see _fold
            verbose=False,
        )
    assert program is not None
    _drop_zero_biases(program.model)
    onnxscript.optimizer.optimize_ir(program.model, should_fold=_fold)
    ClearMetadataAndDocStringPass()(program.model)
    model = ir.to_proto(program.model)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _drop_zero_biases(model: ir.Model) -> None:
    """Remove the zero biases that the exporter adds to convolutions without a bias."""
    for node in model.graph:
        if node.op_type in ("Conv", "ConvTranspose") and len(node.inputs) == 3:
            bias = node.inputs[2]
            producer = bias.producer() if bias is not None else None
            if producer is not None and producer.op_type == "Expand":
                node.resize_inputs(2)


def _fold(node: ir.Node) -> bool | None:
    """Let the optimiser fold shapes and scalars, but no weight: the graph would store its other layout as a copy."""
    return False if any(value is not None and value.is_initializer() for value in node.inputs) else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's loggers and the deprecations of the libraries it calls."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            # the inputs share the name of their first dimension on purpose
            warnings.filterwarnings("ignore", message=".*axis name: batch will not be used", category=UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
