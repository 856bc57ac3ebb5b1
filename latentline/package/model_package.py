"""The model package: a folder, or the same files in one .zip. The exporter writes it, and a station opens it.

    manifest.json        `Manifest`: what the model is, how to search, thresholds, sha256 of every other file
    generator.onnx       z -> image                 a VAE: also log_variance of every pixel
    encoder.onnx         image -> z                 a VAE: also log_variance of z. Only where a search starts there
    discriminator.onnx   image -> logit, features   with a patch head: also patch_logits. Only with a discriminator
    search_step.onnx     z, x, fx -> loss, grad_z   only with a search step
    first_look.onnx      image of any size -> logit, patch_logits of its places. Only with a first look
    trunk.onnx           image -> features          only with a trunk (`latentline.trunk`)
    trunk.npz            statistics of normal features, and a picture with its features in float64. Only with a trunk
    calibration.npz      statistics of normal frames, and the scores behind the threshold
    selftest.npz         inputs with answers in float64 (`latentline.package.selftest`)
    signature.json       which key vouches for the package (`latentline.package.signature`). Only in a signed one

Every file's hash is verified before an inference runtime gets it. The hashes guard against damage and mix-ups; against
an attacker who rewrites the manifest too, only a signature and `admit` guard.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.errors import PackageError
from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.inspection.inspector import Inspector
from latentline.inspection.reconstructor import Reconstructor
from latentline.package.calibration_file import read_calibration
from latentline.package.files import is_plain_name, read_files
from latentline.package.identity import ModelIdentity
from latentline.package.manifest import Manifest, ModelSpec, parse_manifest
from latentline.package.onnx_file import check_graph
from latentline.package.selftest import ForwardTest, SelfTest, read_selftest
from latentline.package.signature import SIGNATURE, Signature, parse_signature
from latentline.package.trunk_file import read_trunk
from latentline.scoring.components import LOOK
from latentline.scoring.maps import PixelStatistics
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler
from latentline.trunk.extractor import FeatureExtractor
from latentline.trunk.maps import TrunkMaps
from latentline.trunk.packaged import PackagedTrunk
from latentline.trunk.reconstructor import TrunkReconstructor

MANIFEST = "manifest.json"
GENERATOR, DISCRIMINATOR, SEARCH_STEP = "generator.onnx", "discriminator.onnx", "search_step.onnx"
ENCODER = "encoder.onnx"
FIRST_LOOK = "first_look.onnx"
TRUNK, TRUNK_STATISTICS = "trunk.onnx", "trunk.npz"
CALIBRATION, SELFTEST = "calibration.npz", "selftest.npz"

Float64 = npt.NDArray[np.float64]
UInt8 = npt.NDArray[np.uint8]
Admit = Callable[[Signature | None, str], None]
"""Raises PackageError, naming the source, where the user does not trust a package of this signature."""


@dataclass(frozen=True)
class SearchModel:
    """A model that can search, calibrated or not: sizes, ONNX graphs by file name, self-test."""

    spec: ModelSpec
    graphs: Mapping[str, bytes]
    selftest: SelfTest | ForwardTest


@dataclass(frozen=True)
class ModelPackage(SearchModel):
    """A loaded and checked package: a calibrated `SearchModel`.

    model_hash         sha256 of manifest.json, which holds the hashes of all other files
    normal_scores      [n] scores of the held-out normal frames behind the threshold
    normal_brightness  [n] their mean grey levels; None: not recorded
    trunk              the pretrained network that sees the whole frame; None: there is none
    signature          as the package brings it; verified only where it was loaded with `admit`. None: not signed
    """

    manifest: Manifest
    model_hash: str
    statistics: PixelStatistics
    normal_scores: Float64
    normal_brightness: Float64 | None
    trunk: PackagedTrunk | None = None
    signature: Signature | None = None

    @property
    def tiler(self) -> FrameTiler:
        """Cuts frames into tiles as this model needs them."""
        m = self.manifest
        return FrameTiler(m.preprocessing, m.tile_size, m.overlap, m.search.most_tiles)

    def count_tiles(self, frame: UInt8) -> int:
        """How many tiles of a camera's frame uint8 [H, W, C] are searched. Raises ImageError."""
        region = self.manifest.preprocessing.region
        return self.tiler.count(frame if region is None else region.cut(frame))

    def with_iterations(self, iterations: int) -> ModelPackage:
        """The same package with a search of another length, to time or compare. Its thresholds are for its own."""
        search = self.manifest.search.model_copy(update={"iterations": iterations})
        manifest = self.manifest.model_copy(update={"search": search})
        return replace(self, spec=manifest, manifest=manifest)

    def with_tiles(self, tiles: int) -> ModelPackage:
        """The same package that searches so many tiles of a frame, to time or compare; its thresholds are for its own.

        Raises PackageError for a package without a first look.
        """
        if not self.manifest.looks_first:
            raise PackageError(
                f"{self.manifest.name}: this package has no first look at the frame, so all tiles must be searched; "
                f"export it again from its run folder with `latentline-export package RUN OUT --tiles {tiles}`"
            )
        search = self.manifest.search.model_copy(update={"tiles": tiles})
        manifest = self.manifest.model_copy(update={"search": search})
        return replace(self, spec=manifest, manifest=manifest)

    def inspector(self, searcher: Searcher, extractor: FeatureExtractor | None = None) -> Inspector:
        """An inspector around `searcher` and the trunk's `extractor`, which were opened from this package.

        It is for images of a training's source, which are cut to the region of interest: it inspects all of each image.
        """
        host = HostReconstructor(searcher, self.tiler, self.statistics)
        manifest = self.manifest
        return Inspector(self.with_trunk(host, extractor), manifest.calibration, manifest.preprocessing.bit_depth)

    def with_trunk(self, reconstructor: Reconstructor, extractor: FeatureExtractor | None) -> Reconstructor:
        """`reconstructor` with this package's trunk beside it; itself where the package has none.

        Raises ValueError when the package has a trunk and there is no `extractor`.
        """
        if self.trunk is None:
            return reconstructor
        if extractor is None:
            raise ValueError("the package has a trunk, and nothing extracts its features")
        return TrunkReconstructor(reconstructor, TrunkMaps(extractor, self.trunk.statistics), self.trunk.scales)

    def identity(self, backend: str) -> ModelIdentity:
        """Name, hash and thresholds of this model on `backend`."""
        return ModelIdentity(
            name=self.manifest.name,
            sha256=self.model_hash,
            backend=backend,
            threshold=self.manifest.calibration.threshold,
            map_threshold=self.manifest.calibration.map_threshold,
            channels=self.manifest.channels,
            tile_size=self.manifest.tile_size,
            bit_depth=self.manifest.preprocessing.bit_depth,
            region=self.manifest.preprocessing.region,
            frame_sizes=self.manifest.frame_sizes,
            scaled=self.manifest.preprocessing.height is not None,
        )


def files_of(spec: ModelSpec) -> frozenset[str]:
    """Names of the files beside the manifest."""
    graphs = {
        GENERATOR: True,
        DISCRIMINATOR: spec.has_discriminator,
        SEARCH_STEP: spec.has_search_step,
        ENCODER: spec.search.init == "encoder",
        FIRST_LOOK: bool(spec.first_look),
        **dict.fromkeys((TRUNK, TRUNK_STATISTICS), isinstance(spec, Manifest) and spec.trunk is not None),
    }
    return frozenset({CALIBRATION, SELFTEST, *(name for name, needed in graphs.items() if needed)})


def load_package(path: Path, admit: Admit | None = None) -> ModelPackage:
    """Load and check the package at `path`, a folder or a .zip. Raises PackageError.

    admit  called with the signature before anything else of the package is looked at; None: load any
    """
    files = {} if _lacks_manifest(path) else read_files(path)
    if MANIFEST not in files:
        raise PackageError(f"{path}: not a model package, it has no {MANIFEST} at its top; give what export wrote")
    manifest_bytes = files.pop(MANIFEST)
    model_hash = hashlib.sha256(manifest_bytes).hexdigest()
    signature = _signature(files.pop(SIGNATURE, None), model_hash, path)
    if admit is not None:
        admit(signature, str(path))
    manifest = parse_manifest(manifest_bytes, f"{path}: {MANIFEST}")
    _check_files(files, manifest, path)
    statistics, normal_scores, normal_brightness = read_calibration(
        files[CALIBRATION], manifest, f"{path}: {CALIBRATION}"
    )
    trunk = None
    if manifest.trunk is not None:
        trunk = read_trunk(files[TRUNK_STATISTICS], files[TRUNK], manifest.trunk, f"{path}: {TRUNK_STATISTICS}")
    _check_components(manifest, statistics, trunk, path)
    for name, content in files.items():
        if name.endswith(".onnx"):
            check_graph(content, f"{path}: {name}")
    if not manifest.looks_first:  # a look at single tiles, as an older version had it, is not run
        manifest = manifest.model_copy(update={"first_look": False})
        files.pop(FIRST_LOOK, None)
    return ModelPackage(
        spec=manifest,
        graphs={name: content for name, content in files.items() if name.endswith(".onnx") and name != TRUNK},
        selftest=read_selftest(files[SELFTEST], manifest, f"{path}: {SELFTEST}"),
        manifest=manifest,
        model_hash=model_hash,
        statistics=statistics,
        normal_scores=normal_scores,
        normal_brightness=normal_brightness,
        trunk=trunk,
        signature=signature,
    )


def _lacks_manifest(path: Path) -> bool:
    """Whether `path` is a folder of something else, such as a run; nothing in it is at fault then."""
    return path.is_dir() and not os.path.lexists(path / MANIFEST)


def _signature(content: bytes | None, model_hash: str, path: Path) -> Signature | None:
    return None if content is None else parse_signature(content, model_hash, f"{path}: {SIGNATURE}")


def _check_files(files: Mapping[str, bytes], manifest: Manifest, path: Path) -> None:
    hashes, required = manifest.files, files_of(manifest)
    for name in sorted(hashes):
        if not is_plain_name(name):
            raise PackageError(f"{path}: {MANIFEST} names {name!r}, which leads out of the package; do not use it")
    for name in sorted(required | set(hashes)):
        if name not in hashes:
            raise PackageError(f"{path}: {MANIFEST} does not list {name}; export the package again")
        if name not in required:
            raise PackageError(f"{path}: {MANIFEST} lists {name}, which this station cannot use; export it again")
        if name not in files:
            raise PackageError(f"{path}: {name} is missing; copy the package again")
    for name, content in files.items():
        if name not in hashes:
            raise PackageError(f"{path}: {name} does not belong to this package; remove it or copy the package again")
        if hashlib.sha256(content).hexdigest() != hashes[name]:
            raise PackageError(f"{path}: {name} is damaged (its sha256 is not the manifest's); copy the package again")


def _check_components(manifest: Manifest, statistics: PixelStatistics, trunk: PackagedTrunk | None, path: Path) -> None:
    """Refuse a score with a component that this model does not give."""
    given = {*statistics.names, *(() if trunk is None else trunk.scales.scales)}
    if manifest.has_discriminator:
        given |= {"feature", "d_reconstruction", "d_frame"}
    if manifest.search.most_tiles is not None:
        given.add(LOOK)
    if manifest.has_search_step:
        given.add("loss")
    if manifest.latent_variance:
        given.add("kl")
    for component in manifest.calibration.components:
        if component.name not in given:
            raise PackageError(
                f"{path}: {MANIFEST} makes the score of '{component.name}', which this model does not give; "
                "export the package again"
            )
