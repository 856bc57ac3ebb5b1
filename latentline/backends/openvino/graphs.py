"""The graphs of a package as OpenVINO reads them, checked against the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from latentline.backends.openvino.silence import without_telemetry
from latentline.errors import PackageError
from latentline.package.manifest import ModelSpec
from latentline.package.model_package import (
    DISCRIMINATOR,
    ENCODER,
    FIRST_LOOK,
    GENERATOR,
    SEARCH_STEP,
    SearchModel,
)

with without_telemetry():
    import openvino as ov

Shapes = dict[str, tuple[int, ...]]
FEATURES = f"{DISCRIMINATOR}, its features alone"  # f(x) needs no mirror image of x, and the verdict needs all


def read_graphs(model: SearchModel) -> dict[str, Any]:
    """The graphs by file name, and FEATURES beside a discriminator; their first dimension is any batch.

    Raises PackageError when inputs or outputs are not the manifest's.
    """
    graphs = {}
    for name, (inputs, outputs) in _ports(model.spec).items():
        try:
            graph = ov.Core().read_model(model.graphs[name])
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise PackageError(f"{name}: not a graph that this station can run ({reason}); export it again") from None
        for kind, ports, expected in (("input", graph.inputs, inputs), ("output", graph.outputs, outputs)):
            found = {port.any_name: port.partial_shape for port in ports}
            wanted = {port: ov.PartialShape([-1, *shape]) for port, shape in expected.items()}
            if found.keys() != wanted.keys() or not all(_fits(found[port], wanted[port]) for port in wanted):
                raise PackageError(
                    f"{name}: {kind}s are {_described(found)}, and the manifest needs {_described(wanted)}; "
                    "export the package again"
                )
        graphs[name] = graph
    if DISCRIMINATOR in graphs:
        whole = graphs[DISCRIMINATOR].clone()
        graphs[FEATURES] = ov.Model([whole.output("features")], whole.get_parameters(), "features")
    return graphs


def _ports(spec: ModelSpec) -> dict[str, tuple[Shapes, Shapes]]:
    """Shapes of the inputs and outputs of each graph, without the batch."""
    image, z = (spec.channels, spec.tile_size, spec.tile_size), (spec.latent_size,)
    generated: Shapes = {"image": image, **({"log_variance": image} if spec.pixel_variance else {})}
    ports: dict[str, tuple[Shapes, Shapes]] = {GENERATOR: ({"z": z}, generated)}
    if spec.feature_shape is not None:
        patch_logits: Shapes = {} if spec.patch_shape is None else {"patch_logits": spec.patch_shape}
        of_places: Shapes = dict.fromkeys(("logit", *patch_logits), (-1, -1))
        ports[DISCRIMINATOR] = {"image": image}, {"logit": (), "features": spec.feature_shape, **patch_logits}
        if spec.looks_first:
            ports[FIRST_LOOK] = {"image": (spec.channels, -1, -1)}, of_places
        if spec.has_search_step:
            ports[SEARCH_STEP] = {"z": z, "x": image, "fx": spec.feature_shape}, {"loss": (), "grad_z": z}
    if spec.search.init == "encoder":
        ports[ENCODER] = {"image": image}, {"z": z, **({"log_variance": z} if spec.latent_variance else {})}
    return ports


def _fits(found: Any, wanted: Any) -> bool:
    """Whether a shape has the fixed sizes that are wanted, and any size elsewhere (some are known to be at least 1)."""
    return len(found) == len(wanted) and all(
        a == b or (a.is_dynamic and b.is_dynamic) for a, b in zip(found, wanted, strict=True)
    )


def _described(ports: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in sorted(ports.items()))
