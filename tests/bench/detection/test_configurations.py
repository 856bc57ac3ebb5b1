"""Two trainings that a bench compares differ in what they know about the images, and in nothing else."""

import argparse
from pathlib import Path

import pytest

from bench.detection import contamination, ir_mnist, methods, mnist, nanotwice
from tests.bench.detection.mnist_files import write_digits
from tests.trainer.folder import write_folder
from trainer.config import TrainConfig
from trainer.data.sources import open_source
from trainer.data.split import Split
from trainer.methods import NoisyAnoGan


def _split(config: TrainConfig) -> Split:
    return open_source(config.data, config.preprocessing).split(config.schedule.seed)


@pytest.mark.parametrize("protocol", ["known", "unseen"])
def test_digits_differ_only_in_what_is_known_of_them(tmp_path: Path, protocol: str) -> None:
    """Noisy-AnoGAN knows as abnormal what AnoGAN takes for normal; test, networks, schedule and search are equal."""
    data = write_digits(tmp_path / "mnist")
    options = argparse.Namespace(data=data, images=5000, iterations=3, test_limit=20, seed=4)
    noisy, anogan = (mnist.configuration(protocol, 8, m, options) for m in (mnist.NOISY, mnist.CONTAMINATED))
    assert (noisy.network, noisy.schedule, noisy.search) == (anogan.network, anogan.schedule, anogan.search)
    told, mixed = _split(noisy), _split(anogan)
    assert set(mixed.train) == {*told.train, *told.known_abnormal, *told.validation_abnormal}
    assert (told.test_good, told.test_abnormal, told.held_out) == (
        mixed.test_good,
        mixed.test_abnormal,
        mixed.held_out,
    )
    tested = {"known": {0, 1, 2, 3, 4, 5, 6, 7, 9}, "unseen": {2, 3, 4, 5, 6, 7}}[protocol]  # 8: then 9, 0, 1 are known
    assert set(told.test_abnormal) == {f"digit-{digit}" for digit in tested}


@pytest.mark.parametrize("level", [0.05, 0.1])
def test_tiles_differ_only_in_what_is_known_of_them(
    tmp_path: Path, level: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The level gives the number of contaminating images; all are of one kind, and known abnormal in the other run."""
    root = write_folder(tmp_path / "data", train=80, defects=20)
    (root / "groups.csv").write_text("file,tile_group\ntrain/good/000.png,one\n")
    monkeypatch.setattr(contamination, "KNOWN", "square")
    options = argparse.Namespace(data=root, images=None, iterations=None, seed=1)
    fraction = contamination.known_fraction(level, options)
    noisy, anogan = (
        contamination.configuration(level, fraction, m, options)
        for m in (contamination.NOISY, contamination.CONTAMINATED)
    )
    assert (noisy.network, noisy.search) == (anogan.network, anogan.search)
    assert (
        noisy.schedule.model_copy(update={"discriminator_images": 0}) == anogan.schedule
    )  # nothing known to fine-tune the discriminator with
    shared = ("r1", "kappa", "finetune_generator")
    assert [getattr(noisy.method, n) for n in shared] == [getattr(anogan.method, n) for n in shared]
    told, mixed = _split(noisy), _split(anogan)
    known = {*told.known_abnormal, *told.validation_abnormal}
    assert set(mixed.train) - set(told.train) == known and len(known) == round(level * len(told.train))
    assert (told.test_good, told.test_abnormal) == (mixed.test_good, mixed.test_abnormal)


def test_every_method_fits_the_data_of_its_bench(tmp_path: Path) -> None:
    """All configurations of a bench are valid and have the same data, and so the same test."""
    common = {"images": 1000, "iterations": 2, "seed": 0, "dataset": "fabric", "paper": False}
    given = {"data": tmp_path, "out": tmp_path / "out", **common}
    questions = [(methods, methods.METHODS, dataset) for dataset in methods.DATASETS]
    for bench, names, dataset in (
        *questions,
        (nanotwice, nanotwice.METHODS, "nanotwice"),
        (ir_mnist, ir_mnist.METHODS, "mnist"),
    ):
        options = argparse.Namespace(**{**given, "dataset": dataset})
        configs = [bench.configuration(name, options) for name in names]
        assert all(c.data == configs[0].data and c.preprocessing == configs[0].preprocessing for c in configs)
        assert all(c.search.iterations in (0, 2) for c in configs)


@pytest.mark.parametrize("dataset", methods.DATASETS)
def test_defects_are_made_where_none_is_known(tmp_path: Path, dataset: str) -> None:
    """Noisy-AnoGAN's abnormal tiles are all synthetic where no image of the data set is known abnormal."""
    given = {"data": tmp_path, "out": tmp_path / "out", "images": None, "iterations": None, "seed": 0}
    config = methods.configuration("noisy_anogan", argparse.Namespace(dataset=dataset, **given))
    assert isinstance(config.method, NoisyAnoGan)
    assert (config.method.synthetic_fraction == 1) == (dataset in ("grid", "nanotwice"))
    assert config.data.has_known_abnormal == (config.method.synthetic_fraction < 1)
    without = methods.configuration("noisy_anogan", argparse.Namespace(dataset=dataset, **given), known=0)
    assert isinstance(without.method, NoisyAnoGan)
    assert without.method.synthetic_fraction == 1 and not without.data.has_known_abnormal


@pytest.mark.parametrize("seed", range(5))
def test_a_fabric_strip_is_on_one_side(tmp_path: Path, seed: int) -> None:
    """All patches of a strip, also its normal ones, are on one side; normal and defect strips count separately."""
    root = tmp_path / "data"
    files = [f"train/good/{strip:04}_x{x}.png" for strip in range(1, 9) for x in (0, 256, 512)]
    files += [f"test/good/{strip:04}_x0.png" for strip in range(9, 12)]
    for kind, numbers in (("d010", range(1, 6)), ("d016", range(6, 9))):
        files += [f"test/{kind}/{strip:04}_x{x}.png" for strip in numbers for x in (0, 256)]
        files += [f"test/good/dstrip_{strip:04}_x1024.png" for strip in numbers]
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    options = argparse.Namespace(
        data=root, out=tmp_path / "out", images=None, iterations=None, seed=seed, dataset="fabric"
    )
    split = _split(methods.configuration("noisy_anogan", options))

    def strips(*names: str) -> set[str]:
        normal = {n for n in names if "good" in n and "dstrip" not in n}
        return {f"{n in normal} {Path(n).stem.rpartition('_x')[0][-4:]}" for n in names}

    tested = strips(*split.test_good, *(name for names in split.test_abnormal.values() for name in names))
    shown = strips(*split.known_abnormal, *split.validation_abnormal)
    sides = [strips(*split.train), strips(*split.held_out), shown, tested]
    assert all(sides) and sum(map(len, sides)) == len(set().union(*sides)) == 8 + 3 + 8
