"""A model package is complete and fits this station, or it is refused in one sentence that names the file."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from latentline.errors import PackageError
from latentline.package.calibration_file import calibration_to_bytes
from latentline.package.files import read_zip
from latentline.package.model_package import (
    CALIBRATION,
    ENCODER,
    GENERATOR,
    SEARCH_STEP,
    SELFTEST,
    SearchModel,
    load_package,
)
from latentline.package.selftest import SelfTest
from latentline.package.write import write_package
from latentline.scoring.coverage import Coverage
from latentline.scoring.maps import PixelStatistics
from latentline.scoring.search_choice import SearchChoice
from tests.checkpoints import exported
from tests.packages import SIZE, edit_manifest, rewrite, tiny_model, write_random_package, write_tiny_package


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A new package folder."""
    return write_tiny_package(tmp_path / "package")


def test_a_package_is_loaded_as_it_was_written(package: Path) -> None:
    """Graphs, self-test, calibration and settings are loaded as they were written."""
    loaded, model = load_package(package), tiny_model()
    assert dict(loaded.graphs) == dict(model.graphs)
    assert isinstance(loaded.selftest, SelfTest) and isinstance(model.selftest, SelfTest)
    assert np.array_equal(loaded.selftest.grad_z, model.selftest.grad_z)
    assert loaded.manifest.search == model.spec.search
    assert loaded.statistics.scales == (1.0, 2.0)
    assert loaded.statistics.mean.shape == (1, 16, 16)
    assert loaded.manifest.created.utcoffset() is not None
    identity = loaded.identity("openvino")
    assert (identity.name, identity.threshold, identity.sha256) == ("tiny", 2.0, loaded.model_hash)


def test_another_length_of_search_changes_nothing_else(package: Path) -> None:
    """The package searches as long as it is told; its other settings, graphs and hash stay."""
    loaded = load_package(package)
    longer = loaded.with_iterations(loaded.spec.search.iterations + 7)
    assert longer.spec is longer.manifest and longer.spec.search.iterations == loaded.spec.search.iterations + 7
    assert replace(longer, spec=loaded.spec, manifest=loaded.manifest) == loaded
    assert longer.manifest.calibration == loaded.manifest.calibration


def test_the_choice_of_the_search_is_loaded_as_it_was_written_and_may_be_absent(package: Path) -> None:
    """A package written before there was a choice loads without it; a choice that nothing led to is refused."""
    gain = {"value": 0.01, "low": -0.02, "high": 0.03}
    trial = {"candidate": {"iterations": 4}, "image_auroc": 0.9, "milliseconds": 1.5, "image_gain": gain}
    choice = {"chosen": {"iterations": 4}, "trials": [trial], "normals": 20, "abnormals": 0, "synthetic": 60}
    edit_manifest(package, lambda manifest: manifest.update(search_choice=choice))
    assert load_package(package).manifest.search_choice == SearchChoice.model_validate(choice)
    edit_manifest(package, lambda manifest: manifest["search_choice"].update(chosen={"iterations": 5}))
    with pytest.raises(PackageError, match="none of the trials"):
        load_package(package)
    edit_manifest(package, lambda manifest: manifest.pop("search_choice"))
    assert load_package(package).manifest.search_choice is None


def test_coverage_is_loaded_as_it_was_written_and_may_be_absent(package: Path) -> None:
    """A package written before there was coverage loads without it."""
    coverage = {"explained": 0.41, "pca": 0.94, "tiles": 1000, "components": 6}
    edit_manifest(package, lambda manifest: manifest.update(coverage=coverage))
    assert load_package(package).manifest.coverage == Coverage.model_validate(coverage)
    edit_manifest(package, lambda manifest: manifest.pop("coverage"))
    assert load_package(package).manifest.coverage is None


def test_map_statistics_are_loaded_as_they_were_written(package: Path) -> None:
    """Kind, scales (0: not pooled) and patch statistics are loaded as written, and a deviation of 0 is refused."""
    plane = np.ones((1, SIZE, SIZE), np.float32)
    known = PixelStatistics(0 * plane, plane, (0.0, 2.0), np.ones(2, np.float32), "ssim", (0.25, 1.5))
    edit_manifest(package, lambda manifest: manifest.update(map="ssim", patch_shape=[4, 4]))
    rewrite(package, CALIBRATION, calibration_to_bytes(known, np.arange(9.0), None))
    read = load_package(package).statistics
    assert (read.kind, read.scales, read.patch_statistics, read.names) == (
        known.kind,
        known.scales,
        known.patch_statistics,
        known.names,
    )
    rewrite(
        package, CALIBRATION, calibration_to_bytes(replace(known, patch_statistics=(0.25, 0.0)), np.arange(9.0), None)
    )
    with pytest.raises(PackageError, match="'patch_statistics' is not positive"):
        load_package(package)


def test_zip_and_folder_hold_the_same_model(package: Path, tmp_path: Path) -> None:
    """A .zip has the hash of the folder with the same files, also when it was zipped by hand."""
    archive = tmp_path / "by-hand.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for member in package.iterdir():
            file.write(member, member.name)
    assert load_package(archive).model_hash == load_package(package).model_hash
    loaded = load_package(write_tiny_package(tmp_path / "written.zip"))
    assert loaded.manifest.files == load_package(package).manifest.files


def test_hidden_files_of_a_file_manager_are_ignored(package: Path) -> None:
    """A .DS_Store in the folder is ignored."""
    (package / ".DS_Store").write_bytes(b"x")
    assert load_package(package).manifest.name == "tiny"


def flip_a_bit(package: Path) -> None:
    content = bytearray((package / GENERATOR).read_bytes())
    content[len(content) // 2] ^= 1
    (package / GENERATOR).write_bytes(content)


def truncate(package: Path) -> None:
    (package / GENERATOR).write_bytes((package / GENERATOR).read_bytes()[:-1])


def link(package: Path) -> None:
    (package / GENERATOR).rename(package.parent / "elsewhere")
    (package / GENERATOR).symlink_to(package.parent / "elsewhere")


def pickled(package: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, residual_mean=np.array([{}], dtype=object))
    rewrite(package, CALIBRATION, buffer.getvalue())


def with_arrays(**change: np.ndarray | None) -> Callable[[Path], None]:
    def apply(package: Path) -> None:
        with np.load(package / CALIBRATION) as stored:
            arrays = {**stored, **change}
        buffer = io.BytesIO()
        np.savez(buffer, **{k: v for k, v in arrays.items() if v is not None})
        rewrite(package, CALIBRATION, buffer.getvalue())

    return apply


def manifest(**change: object) -> Callable[[Path], None]:
    return lambda package: edit_manifest(package, lambda m: m.update(change))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped bit": (flip_a_bit, r"generator\.onnx is damaged"),
    "truncated": (truncate, r"generator\.onnx is damaged"),
    "missing": (lambda p: (p / GENERATOR).unlink(), r"generator\.onnx is missing"),
    "extra": (lambda p: (p / "notes.txt").write_text("hi"), r"notes\.txt does not belong"),
    "folder inside": (lambda p: (p / "more").mkdir(), "not a plain file"),
    "symbolic link": (link, "not a plain file"),
    "newer schema": (
        manifest(schema_version=3),
        r"newer latentline \(schema 3; this one reads 2\); update latentline here",
    ),
    "older schema": (
        manifest(schema_version=1),
        r"older latentline \(schema 1; this one reads 2\); export it again .*`latentline-export package",
    ),
    "unknown key": (manifest(colour="red"), "'colour'"),
    "gamma out of range": (
        lambda p: edit_manifest(p, lambda m: m["search"].update(gamma=0)),
        r"'search\.gamma'.*greater than 0",
    ),
    "score of an absent component": (
        lambda p: edit_manifest(p, lambda m: m["calibration"]["components"][0].update(name="kl")),
        "makes the score of 'kl', which this model does not give",
    ),
    "map of an absent output": (manifest(map="probability"), "map probability needs pixel_variance"),
    "coverage above 1": (
        manifest(coverage={"explained": 1.5, "pca": 0.9, "tiles": 9, "components": 6}),
        r"'coverage\.explained'",
    ),
    "unknown map": (manifest(map="ssimm"), r"'map'.*'residual', 'l1', 'l2', 'ssim' or 'probability'"),
    "search without a discriminator": (manifest(feature_shape=None), "needs search.iterations 0"),
    "samples of no VAE": (
        lambda p: edit_manifest(p, lambda m: m["search"].update(samples=2)),
        "search.samples needs latent_variance and pixel_variance",
    ),
    "verdict without a patch head": (with_arrays(patch_statistics=np.ones(2)), "array 'patch_statistics' is unknown"),
    "NaN threshold": (
        lambda p: edit_manifest(p, lambda m: m["calibration"].update(threshold=float("nan"))),
        r"'calibration\.threshold'",
    ),
    "escaping path": (
        lambda p: edit_manifest(p, lambda m: m["files"].update({"../../etc/passwd": "0"})),
        "leads out of the package",
    ),
    "absolute path": (
        lambda p: edit_manifest(p, lambda m: m["files"].update({"/etc/passwd": "0"})),
        "leads out of the package",
    ),
    "unlisted": (lambda p: edit_manifest(p, lambda m: m["files"].pop(GENERATOR)), "does not list generator"),
    "foreign file listed": (lambda p: edit_manifest(p, lambda m: m["files"].update(a="0")), "cannot use"),
    "no manifest": (lambda p: (p / "manifest.json").unlink(), r"no manifest\.json"),
    "manifest is not JSON": (lambda p: (p / "manifest.json").write_text("{"), "is not the manifest"),
    "manifest is a list": (lambda p: (p / "manifest.json").write_text("[]"), "is not the manifest"),
    "pickled array": (pickled, "not an array of numbers"),
    "array missing": (with_arrays(scales=None), "array 'scales' is missing"),
    "array unknown": (with_arrays(more=np.ones(1)), "array 'more' is unknown"),
    "array of another shape": (with_arrays(residual_mean=np.ones((3, 16, 16))), r"'residual_mean' \[3, 16, 16\]"),
    "brightness of other frames": (with_arrays(normal_brightness=np.ones(3)), r"'normal_brightness' \[3\]"),
    "array not finite": (with_arrays(normal_scores=np.array([np.nan])), "not finite"),
    "standard deviation of zero": (with_arrays(pooled_std=np.zeros(2)), "'pooled_std' is not positive"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_broken_package_is_refused(package: Path, fault: str) -> None:
    """Each fault raises PackageError in one line that starts with the path and says what is wrong."""
    harm, expected = FAULTS[fault]
    harm(package)
    with pytest.raises(PackageError, match=expected) as caught:
        load_package(package)
    assert str(caught.value).startswith(str(package))
    assert "\n" not in str(caught.value)


def zip_with(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def symlink_entry() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("generator.onnx")
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("../escape", "leads out of the package"),
        ("/absolute", "leads out of the package"),
        ("C:\\windows", "leads out of the package"),
        ("folder/manifest.json", "leads out of the package"),
        (symlink_entry(), "leads out of the package"),
        ("innocent", r"no manifest\.json"),
    ],
)
def test_unsafe_zip_is_refused(tmp_path: Path, entry: str | zipfile.ZipInfo, expected: str) -> None:
    """A zip with an unsafe entry or without a manifest is refused, and nothing is written."""
    path = zip_with(tmp_path / "model.zip", (entry, b"x"))
    with pytest.raises(PackageError, match=expected):
        load_package(path)
    assert list(tmp_path.iterdir()) == [path]


def test_zip_with_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    """Two entries with one name are refused, because either could be meant."""
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = zip_with(tmp_path / "model.zip", ("manifest.json", b"{}"), ("manifest.json", b"[]"))
    with pytest.raises(PackageError, match="appears twice"):
        load_package(path)


def test_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    """The sizes that an archive states are added up before anything is unpacked."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(1 << 20))
    with pytest.raises(PackageError, match="unpacks to more than"):
        read_zip(buffer.getvalue(), "model.zip", limit=1 << 19)


def test_damaged_zip_is_refused(tmp_path: Path) -> None:
    """A flipped bit, a truncated archive and a file that is no archive are each refused in one sentence."""
    whole = write_tiny_package(tmp_path / "whole.zip").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 4
    for content in (bytes(flipped), whole[: len(whole) // 2], b"not a zip"):
        path = tmp_path / "model.zip"
        path.write_bytes(content)
        with pytest.raises(PackageError, match="copy or export it again"):
            load_package(path)


def test_absent_package_is_refused(tmp_path: Path) -> None:
    """A path that does not exist is refused with that reason."""
    with pytest.raises(PackageError, match=r"cannot be read \(No such file"):
        load_package(tmp_path / "nothing")


def test_a_folder_of_something_else_is_no_package(tmp_path: Path) -> None:
    """A run given in the place of its package: nobody is told to remove what is in it."""
    (tmp_path / "calibration").mkdir()
    with pytest.raises(PackageError, match=r"not a model package, it has no manifest\.json at its top"):
        load_package(tmp_path)


def test_only_complete_packages_are_written(package: Path) -> None:
    """A package that lacks a file is not written, and the old one stays."""
    before = sorted(package.iterdir())
    files = dict(tiny_model().graphs)
    with pytest.raises(PackageError, match="a package holds"):
        write_package(package, load_package(package).manifest, files)
    assert sorted(package.iterdir()) == before


def test_brightness_of_the_calibration_is_kept(package: Path) -> None:
    """Mean grey levels are loaded as written, and a package without them loads, too."""
    found = load_package(package).normal_brightness
    assert found is not None and found.shape == (9,) and found[0] == 120.0
    with_arrays(normal_brightness=None)(package)
    assert load_package(package).normal_brightness is None


AUTOENCODER_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no encoder": (lambda p: (p / ENCODER).unlink(), r"encoder\.onnx is missing"),
    "patch head of no discriminator": (manifest(patch_shape=[8, 8]), "feature_shape says that there is none"),
    "random start": (lambda p: edit_manifest(p, lambda m: m["search"].update(init="random")), "search.init encoder"),
    "iterations": (lambda p: edit_manifest(p, lambda m: m["search"].update(iterations=5)), "search.iterations 0"),
    "a search step without a search": (
        lambda p: rewrite(p, SEARCH_STEP, b"x"),
        r"lists search_step\.onnx, which this station",
    ),
    "the self-test of a search": (
        lambda p: rewrite(p, SELFTEST, tiny_model().selftest.to_bytes()),
        r"selftest\.npz: array 'fx' is unknown",
    ),
    "score of a discriminator": (
        lambda p: edit_manifest(p, lambda m: m["calibration"]["components"][0].update(name="d_frame")),
        "'d_frame', which this model does not give",
    ),
}


@pytest.fixture(scope="module")
def autoencoder() -> SearchModel:
    """A model that has no discriminator."""
    return exported("autoencoder")[1]


@pytest.mark.parametrize("fault", AUTOENCODER_FAULTS)
def test_broken_package_without_discriminator_is_refused(autoencoder: SearchModel, tmp_path: Path, fault: str) -> None:
    """A package without a search must not have the parts of one, and must have an encoder."""
    package = tmp_path / "package"
    assert write_random_package(package, autoencoder, "ssim").manifest.feature_shape is None
    harm, expected = AUTOENCODER_FAULTS[fault]
    harm(package)
    with pytest.raises(PackageError, match=expected) as caught:
        load_package(package)
    assert "\n" not in str(caught.value)


def test_fields_of_other_methods_have_defaults(package: Path) -> None:
    """A manifest without the fields of other methods is that of a GAN with a residual map."""
    later = ("map", "patch_shape", "latent_variance", "pixel_variance")
    edit_manifest(package, lambda manifest: [manifest.pop(field, None) for field in later])
    edit_manifest(package, lambda manifest: manifest["search"].pop("samples", None))
    read = load_package(package)
    assert read.statistics.kind == "residual" and read.manifest.has_search_step
    assert read.manifest.search.samples == 0 and read.manifest.patch_shape is None
