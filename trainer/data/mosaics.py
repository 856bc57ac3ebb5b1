"""IR-MNIST (Kimura & Yanagihara 2018): mosaics of MNIST digits in which one digit is abnormal, with masks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.errors import DatasetError, ImageError
from latentline.vision.bit_depth import BitDepth
from trainer.data.mask_counts import MaskFiles
from trainer.data.mnist import SIDE, Digits
from trainer.data.settings import IrMnistData
from trainer.data.split import Split, split_known_abnormal

UInt8 = npt.NDArray[np.uint8]
CELLS = 11  # a side: 308 px
ABNORMAL_SHARE = 0.1  # of the cells of an abnormal mosaic
KINDS = ("train", "held_out", "known", "test_good", "test_abnormal")
HELD_OUT_EVERY = 6  # every sixth digit of the training file is kept for held-out mosaics


class MosaicSource:
    """Mosaics by names such as "train/7", composed when they are read: the same settings give the same mosaics."""

    mask_files: MaskFiles | None = None

    def __init__(self, config: IrMnistData) -> None:
        self.place = str(config.root)
        self._config = config
        train, test = Digits.read(config.root, "train"), Digits.read(config.root, "t10k")
        held_out = np.arange(len(train.labels)) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        training, kept = (Digits(train.images[chosen], train.labels[chosen]) for chosen in (~held_out, held_out))
        self._digits = {
            "train": training,
            "held_out": kept,
            "known": training,
            "test_good": test,
            "test_abnormal": test,
        }
        digit = config.abnormal_digit
        for kind, digits in self._digits.items():
            if len(np.unique(digits.labels == digit)) < 2:
                raise DatasetError(
                    f"{self.place}: digit {digit}, or any other, is missing for '{kind}'; copy MNIST again"
                )
        half = config.test_mosaics // 2
        counts = (config.train_mosaics, config.held_out_mosaics, config.known_abnormal_mosaics, half, half)
        self._counts = dict(zip(KINDS, counts, strict=True))

    def read(self, name: str) -> UInt8:
        """One mosaic, uint8 [308, 308]. Raises ImageError when there is no such name."""
        return self._mosaic(name)[0]

    def file(self, name: str) -> Path | None:
        """None: the images are not in pictures of their own."""
        return None

    def at_depth(self, bit_depth: BitDepth) -> MosaicSource:
        """This source: its images have 8 bits."""
        return self

    def mask(self, name: str, shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
        """The mask, True in the cells of the abnormal digit; `shape` is (308, 308)."""
        return self._mosaic(name)[1]

    def groups(self) -> Mapping[str, str]:
        """Every mosaic is a group of its own."""
        return {}

    def split(self, seed: int) -> Split:
        """The mosaics of each side; `seed` only chooses which known-abnormal ones are kept from training."""
        sides = {kind: tuple(f"{kind}/{i}" for i in range(count)) for kind, count in self._counts.items()}
        known, validation = split_known_abnormal(sides["known"], {}, np.random.default_rng(seed))
        abnormal = {f"digit-{self._config.abnormal_digit}": sides["test_abnormal"]}
        return Split(sides["train"], sides["held_out"], known, validation, sides["test_good"], abnormal)

    def _mosaic(self, name: str) -> tuple[UInt8, npt.NDArray[np.bool_]]:
        kind, _, index = name.partition("/")
        if kind not in KINDS or not index.isdecimal() or int(index) >= self._counts[kind]:
            raise ImageError(f"{self.place}: there is no mosaic '{name}'")
        rng = np.random.default_rng([self._config.seed, KINDS.index(kind), int(index)])
        digits = self._digits[kind]
        is_abnormal = digits.labels == self._config.abnormal_digit
        cells = rng.choice(np.flatnonzero(~is_abnormal), size=(CELLS, CELLS))
        marked = np.zeros((CELLS, CELLS), np.bool_)
        if kind in ("known", "test_abnormal"):
            marked.flat[rng.permutation(CELLS**2)[: round(ABNORMAL_SHARE * CELLS**2)]] = True
            cells[marked] = rng.choice(np.flatnonzero(is_abnormal), size=int(marked.sum()))
        side = CELLS * SIDE
        mosaic = digits.images[cells].transpose(0, 2, 1, 3).reshape(side, side)
        return mosaic, np.kron(marked, np.ones((SIDE, SIDE), np.bool_))
