"""D's features alone, for reconstructions whose verdict the score has no use for.

f(x) needs no mirror image of x, and the verdict needs all. The verdict may cost as much as all else that is done once
for a tile.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from latentline.package.model_package import DISCRIMINATOR, ModelPackage
from latentline.scoring.components import OF_RECONSTRUCTION

FEATURES = "features.onnx"


def graphs_for(package: ModelPackage) -> Mapping[str, bytes]:
    """The graphs of a package with a D that its score needs, by name.

    FEATURES is among them where D's verdict on G(ẑ) is not needed: reconstructions then go through it instead of D.
    """
    scored = {component.name for component in package.manifest.calibration.components}
    if OF_RECONSTRUCTION & scored:
        return package.graphs
    return {**package.graphs, FEATURES: features_alone(package.graphs[DISCRIMINATOR])}


def features_alone(discriminator: bytes) -> bytes:
    """The graph of D with the one output `features`, and with nothing that does not lead there."""
    model = ir.from_proto(onnx.load_from_string(discriminator))
    features = [port for port in model.graph.outputs if port.name == "features"]
    model.graph.outputs[:] = features
    RemoveUnusedNodesPass()(model)
    content: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return content
