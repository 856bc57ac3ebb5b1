"""From networks to a model package, in two steps with the calibration between them.

model = export_model(generator, discriminator, encoder, search)    graphs and self-test, in memory
searcher = OpenVinoSearcher(model)                                 the station's backend
calibrated = latentline.scoring.calibrate.calibrate(searcher, ...)
write_model_package(out, model, card, calibrated)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import torch

from export.autoencoder import export_autoencoder
from export.encoder import FoldedEncoder
from export.first_look import export_first_look
from export.forward import forward_images, forward_test, trained_networks
from export.graphs import export_discriminator, export_graphs, feature_shape, to_onnx
from export.selftest import make_selftest
from latentline.package.calibration_file import calibration_to_bytes
from latentline.package.frame_sizes import Size
from latentline.package.manifest import Manifest, ModelSpec, SearchSettings
from latentline.package.model_package import (
    CALIBRATION,
    DISCRIMINATOR,
    ENCODER,
    FIRST_LOOK,
    SELFTEST,
    TRUNK,
    TRUNK_STATISTICS,
    SearchModel,
)
from latentline.package.trunk_file import trunk_to_bytes
from latentline.package.write import write_package
from latentline.scoring.calibrate import Calibrated
from latentline.scoring.coverage import Coverage
from latentline.scoring.look_misses import LookMisses
from latentline.scoring.map_choice import MapChoice
from latentline.scoring.search_choice import SearchChoice
from latentline.scoring.tuning import CpuPrecision, Tuning
from latentline.trunk.packaged import PackagedTrunk
from latentline.vision.preprocessing import Preprocessing
from trainer.data.settings import Flip
from trainer.networks.discriminator import PATCH_HEAD_BLOCKS, Discriminator
from trainer.networks.encoder import Encoder
from trainer.networks.factory import CodingEncoder, Decoder
from trainer.networks.frozen import freeze
from trainer.networks.generator import Generator


@dataclass(frozen=True)
class ModelCard:
    """What a manifest holds about a model besides its sizes, search and calibration.

    overlap        of neighbouring tiles, as a fraction of the tile
    coverage       of held-out normal tiles; None: not measured
    search_choice  why the search has so many iterations; None: somebody gave their number
    map_choice     why the map is of its kind; None: somebody gave it
    look_misses    what the first look misses of validation defects; None: all tiles are searched, or no mask is known
    trained_images  short hashes of the images behind the model; None: not recorded
    frame_sizes    (width, height) of the images behind the threshold; None: not recorded
    tuning         how the settings were tuned to a budget; None: they were not
    cpu_precision  of the networks but the search step
    """

    name: str
    method: str
    code_version: str
    preprocessing: Preprocessing
    overlap: float
    coverage: Coverage | None = None
    search_choice: SearchChoice | None = None
    map_choice: MapChoice | None = None
    look_misses: LookMisses | None = None
    trained_images: tuple[str, ...] | None = None
    frame_sizes: tuple[Size, ...] | None = None
    tuning: Tuning | None = None
    cpu_precision: CpuPrecision = "float32"


def export_model(
    generator: Generator | Decoder,
    discriminator: Discriminator | None,
    encoder: Encoder | CodingEncoder | None,
    search: SearchSettings,
    flips: Sequence[Flip] = (),
) -> SearchModel:
    """Export the networks' last stage: graphs, self-test and sizes of a model. Takes seconds to a minute.

    encoder  of a GAN: exported only where `search.init` is "encoder", else it may be None
    flips    of a GAN: over which D's logits are averaged; then search.gamma must be 1
    """
    if isinstance(generator, Decoder):
        assert isinstance(encoder, CodingEncoder)
        return _autoencoder(generator, discriminator, encoder, search)
    assert discriminator is not None
    if flips and search.gamma < 1:
        raise ValueError("a search cannot follow logits averaged over mirror images: set gamma to 1")
    generator, discriminator = freeze(generator, discriminator)
    graphs = export_graphs(generator, discriminator, search.gamma, search.lam, flips)
    graphs[FIRST_LOOK] = export_first_look(discriminator)
    if search.init == "encoder":
        assert isinstance(encoder, Encoder)
        image = torch.zeros(2, generator.channels, generator.resolution, generator.resolution)
        graphs[ENCODER] = to_onnx(FoldedEncoder(encoder), {"image": image}, ["z"])
    spec = _spec(generator, discriminator, search)
    return SearchModel(spec, graphs, make_selftest(generator, discriminator, search.gamma, search.lam, graphs))


def _autoencoder(
    decoder: Decoder, discriminator: Discriminator | None, encoder: CodingEncoder, search: SearchSettings
) -> SearchModel:
    graphs = export_autoencoder(encoder, decoder)
    if discriminator is not None:
        graphs[DISCRIMINATOR] = export_discriminator(discriminator.eval())
        graphs[FIRST_LOOK] = export_first_look(discriminator)
    networks = trained_networks(decoder, discriminator, encoder)
    selftest = forward_test(networks, forward_images(networks, decoder.latent_size, seed=0))
    spec = _spec(decoder, discriminator, search, latent_variance=encoder.variational, pixel_variance=decoder.variance)
    return SearchModel(spec, graphs, selftest)


def _spec(
    generator: Generator | Decoder, discriminator: Discriminator | None, search: SearchSettings, **outputs: bool
) -> ModelSpec:
    positions = None
    if discriminator is not None and discriminator.patch_head is not None:
        positions = discriminator.resolution // discriminator.patch_size // 2**PATCH_HEAD_BLOCKS
    return ModelSpec.model_validate(
        {
            "tile_size": generator.resolution,
            "channels": generator.channels,
            "latent_size": generator.latent_size,
            "feature_shape": None if discriminator is None else feature_shape(discriminator),
            "patch_shape": None if positions is None else (positions, positions),
            "first_look": False if discriminator is None else "frame",
            "search": search,
            **outputs,
        }
    )


def write_model_package(
    out: Path, model: SearchModel, card: ModelCard, calibrated: Calibrated, trunk: PackagedTrunk | None = None
) -> None:
    """Write the package to `out`, a folder or a .zip, whole or not at all."""
    manifest = Manifest(
        **dict(model.spec),
        name=card.name,
        method=card.method,
        created=datetime.now(timezone.utc).replace(microsecond=0),
        code_version=card.code_version,
        preprocessing=card.preprocessing,
        overlap=card.overlap,
        trained_images=card.trained_images,
        frame_sizes=card.frame_sizes,
        coverage=card.coverage,
        search_choice=card.search_choice,
        map_choice=card.map_choice,
        look_misses=card.look_misses,
        tuning=card.tuning,
        cpu_precision=card.cpu_precision,
        trunk=None if trunk is None else trunk.spec,
        map=calibrated.statistics.kind,
        calibration=calibrated.calibration,
    )
    files = {
        **model.graphs,
        CALIBRATION: calibration_to_bytes(
            calibrated.statistics, calibrated.normal_scores, calibrated.normal_brightness
        ),
        SELFTEST: model.selftest.to_bytes(),
        **({} if trunk is None else {TRUNK: trunk.graph, TRUNK_STATISTICS: trunk_to_bytes(trunk)}),
    }
    write_package(out, manifest, files)
