"""The model package, what the export room writes and a station runs: a folder, or the same files in one .zip.

    manifest.json        `Manifest`: what the model is, how to search, thresholds, sha256 of every other file
    generator.onnx       z -> image
    discriminator.onnx   image -> logit, features
    encoder.onnx         image -> z, only where the search starts from it
    search_step.onnx     z, x, fx -> loss, grad_z
    calibration.npz      how the residual of normal frames behaves, and the scores behind the threshold
    selftest.npz         inputs of the search step with the float64 oracle's loss and gradient: a station checks its own
                         arithmetic with them

Nothing is handed to an inference runtime before its hash is verified. The hashes guard against damage and mix-ups, not
against an attacker who rewrites the manifest too.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.manifest import Manifest, ModelSpec, parse_manifest
from edge_runtime.model_identity import ModelIdentity
from edge_runtime.package_files import is_plain_name, read_arrays, read_files
from latentline import atomic
from latentline.errors import PackageError
from latentline.evidence import PixelStatistics, Viewer
from latentline.explainer import HostExplainer
from latentline.inspector import Inspector
from latentline.searcher import Searcher

MANIFEST = "manifest.json"
GENERATOR, DISCRIMINATOR, SEARCH_STEP = "generator.onnx", "discriminator.onnx", "search_step.onnx"
ENCODER = "encoder.onnx"
CALIBRATION, SELFTEST = "calibration.npz", "selftest.npz"
_ALWAYS = frozenset({GENERATOR, DISCRIMINATOR, SEARCH_STEP, CALIBRATION, SELFTEST})

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SelfTest:
    """Points where the search step is known: z [K, L], x [K, C, H, W], fx [K, maps, 4, 4] -> loss [K], grad_z [K, L].

    `margin` [K]: distance of the nearest activation to a kink of leaky ReLU or |a|, relative to its layer's root mean
    square. Where it is below float32 resolution, a float32 gradient may legitimately take the other slope.
    """

    z: Float64
    x: Float64
    fx: Float64
    loss: Float64
    grad_z: Float64
    margin: Float64

    def to_bytes(self) -> bytes:
        """selftest.npz."""
        return _npz(asdict(self))


@dataclass(frozen=True)
class SearchModel:
    """A model that can search but need not be calibrated: sizes, ONNX graphs by file name, self-test."""

    spec: ModelSpec
    graphs: Mapping[str, bytes]
    selftest: SelfTest


@dataclass(frozen=True)
class ModelPackage(SearchModel):
    """A loaded and checked package: a calibrated `SearchModel`.

    model_hash     sha256 of manifest.json, which holds the hashes of all else: the same model, the same hash
    normal_scores  [n] scores of the frames that the threshold was taken from
    normal_brightness  [n] their mean grey levels; None in packages that were written before these were kept
    """

    manifest: Manifest
    model_hash: str
    statistics: PixelStatistics
    normal_scores: Float64
    normal_brightness: Float64 | None

    @property
    def viewer(self) -> Viewer:
        """How frames become tiles."""
        m = self.manifest
        return Viewer(preprocessing=m.preprocessing, tile_size=m.tile_size, overlap=m.overlap)

    def inspector(self, searcher: Searcher) -> Inspector:
        """`searcher`, opened from this package, with everything that calibration fixed; the rest on the CPU."""
        return Inspector(HostExplainer(searcher, self.viewer, self.statistics), self.manifest.calibration)

    def identity(self, backend: str) -> ModelIdentity:
        """What the station says about this model on MQTT."""
        return ModelIdentity(
            name=self.manifest.name,
            sha256=self.model_hash,
            backend=backend,
            threshold=self.manifest.calibration.threshold,
            map_threshold=self.manifest.calibration.map_threshold,
            channels=self.manifest.channels,
            tile_size=self.manifest.tile_size,
        )


def files_of(spec: ModelSpec) -> frozenset[str]:
    """Names of the files beside the manifest."""
    return _ALWAYS | {ENCODER} if spec.search.init == "encoder" else _ALWAYS


def load_package(path: Path) -> ModelPackage:
    """Load the package at `path`, a folder or a .zip. Raises PackageError for everything that is not right."""
    files = read_files(path)
    if MANIFEST not in files:
        raise PackageError(f"{path}: not a model package, it has no {MANIFEST} at its top; give what export wrote")
    manifest_bytes = files.pop(MANIFEST)
    manifest = parse_manifest(manifest_bytes, f"{path}: {MANIFEST}")
    _check_files(files, manifest, path)
    statistics, normal_scores, normal_brightness = _calibration(files[CALIBRATION], manifest, f"{path}: {CALIBRATION}")
    return ModelPackage(
        spec=manifest,
        graphs={name: content for name, content in files.items() if name.endswith(".onnx")},
        selftest=_selftest(files[SELFTEST], manifest, f"{path}: {SELFTEST}"),
        manifest=manifest,
        model_hash=hashlib.sha256(manifest_bytes).hexdigest(),
        statistics=statistics,
        normal_scores=normal_scores,
        normal_brightness=normal_brightness,
    )


def write_package(out: Path, manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Write `files` and the manifest, with their hashes in it, to `out`: a .zip when it is named so, else a folder.

    Whole or not at all; what stood at `out` is replaced. Raises PackageError when `files` are not those of a package.
    """
    required = files_of(manifest)
    if set(files) != required:
        raise PackageError(f"{out}: a package holds {', '.join(sorted(required))}; got {', '.join(sorted(files))}")
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    manifest = manifest.model_copy(update={"files": hashes})
    contents = {MANIFEST: manifest.model_dump_json(indent=2).encode() + b"\n", **files}
    if out.suffix == ".zip":
        out.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(out, _zipped(contents))
        return
    with atomic.new_folder(out) as folder:
        for name, content in contents.items():
            (folder / name).write_bytes(content)


def calibration_to_bytes(
    statistics: PixelStatistics, normal_scores: Float64, normal_brightness: Float64 | None
) -> bytes:
    """calibration.npz."""
    optional = {} if normal_brightness is None else {"normal_brightness": normal_brightness}
    return _npz(
        {
            "residual_mean": statistics.mean,
            "residual_std": statistics.std,
            "scales": np.array(statistics.scales),
            "pooled_std": statistics.pooled_std,
            "normal_scores": normal_scores,
            **optional,
        }
    )


def _npz(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    files: dict[str, bytes] = {}
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        files[f"{name}.npy"] = buffer.getvalue()
    return _zipped(files)


def _zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip that depends on names and content alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)  # its time is 1980, whenever this runs
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return buffer.getvalue()


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


def _calibration(content: bytes, spec: ModelSpec, source: str) -> tuple[PixelStatistics, Float64, Float64 | None]:
    arrays = read_arrays(content, source)
    tile = (spec.channels, spec.tile_size, spec.tile_size)
    scales = arrays["scales"].size if "scales" in arrays else 0
    shapes: dict[str, tuple[int | None, ...]] = {
        "residual_mean": tile,
        "residual_std": tile,
        "scales": (scales,),
        "pooled_std": (scales,),
        "normal_scores": (None,),
    }
    if "normal_brightness" in arrays:
        shapes["normal_brightness"] = arrays["normal_scores"].shape if "normal_scores" in arrays else ()
    _check_arrays(arrays, shapes, source)
    for name in ("residual_std", "scales", "pooled_std"):
        if (arrays[name] <= 0).any():
            raise PackageError(f"{source}: '{name}' is not positive everywhere; export the package again")
    statistics = PixelStatistics(
        mean=arrays["residual_mean"].astype(np.float32),
        std=arrays["residual_std"].astype(np.float32),
        scales=tuple(arrays["scales"].tolist()),
        pooled_std=arrays["pooled_std"].astype(np.float32),
    )
    return statistics, arrays["normal_scores"], arrays.get("normal_brightness")


def _selftest(content: bytes, spec: ModelSpec, source: str) -> SelfTest:
    arrays = read_arrays(content, source)
    k = arrays["loss"].size if "loss" in arrays else 0
    shapes: dict[str, tuple[int | None, ...]] = {
        "z": (k, spec.latent_size),
        "x": (k, spec.channels, spec.tile_size, spec.tile_size),
        "fx": (k, *spec.feature_shape),
        "loss": (k,),
        "grad_z": (k, spec.latent_size),
        "margin": (k,),
    }
    _check_arrays(arrays, shapes, source)
    return SelfTest(**arrays)


def _check_arrays(arrays: Mapping[str, Float64], shapes: Mapping[str, tuple[int | None, ...]], source: str) -> None:
    """Names and shapes as expected (None: any length), nothing empty, every value finite."""
    for name in sorted(set(arrays) ^ set(shapes)):
        state = "missing" if name in shapes else "unknown"
        raise PackageError(f"{source}: array '{name}' is {state}; export the package again")
    for name, shape in shapes.items():
        given = arrays[name].shape
        fits = len(given) == len(shape) and all(b in (None, a) for a, b in zip(given, shape, strict=True))
        if not fits or not arrays[name].size or not np.isfinite(arrays[name]).all():
            raise PackageError(
                f"{source}: '{name}' {list(given)} does not fit the manifest or is not finite; export the package again"
            )
