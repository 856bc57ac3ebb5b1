"""MNIST by the protocol of Kimura & Yanagihara 2018, §4: one digit is normal, the others are abnormal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.errors import DatasetError, ImageError
from latentline.vision.bit_depth import BitDepth
from trainer.data.idx import read_idx
from trainer.data.mask_counts import MaskFiles
from trainer.data.settings import MnistData
from trainer.data.split import Split, shuffled, split_known_abnormal

UInt8 = npt.NDArray[np.uint8]
SIDE = 28  # px
BORDER = 2  # px of black: an image is then one tile of 32 px
MAX_HELD_OUT = 300  # enough for a false-alarm rate of 1 %; calibration searches each one


@dataclass(frozen=True)
class Digits:
    """images uint8 [N, 28, 28], labels uint8 [N] in 0 … 9."""

    images: UInt8
    labels: UInt8

    @classmethod
    def read(cls, root: Path, prefix: str) -> Digits:
        """Read MNIST's files `prefix`-images and -labels under `root`. Raises DatasetError."""
        if not root.is_dir():
            raise DatasetError(f"{root}: there is no such folder; give the folder of MNIST's four files")
        images = read_idx(root, f"{prefix}-images-idx3-ubyte", (SIDE, SIDE))
        labels = read_idx(root, f"{prefix}-labels-idx1-ubyte", ())
        if len(images) != len(labels) or labels.max() > 9:
            raise DatasetError(
                f"{root}: {len(images)} images and {len(labels)} labels up to {labels.max()} of '{prefix}' "
                "do not belong together; copy the four files of MNIST again"
            )
        return cls(images, labels)


class MnistSource:
    """Digits, uint8 [32, 32], by names such as "train/123": file and index."""

    mask_files: MaskFiles | None = None

    def __init__(self, config: MnistData) -> None:
        self.place = str(config.root)
        self._config = config
        self._files = {"train": Digits.read(config.root, "train"), "test": Digits.read(config.root, "t10k")}

    def read(self, name: str) -> UInt8:
        """One digit with a black border. Raises ImageError when there is no such digit."""
        file, _, index = name.partition("/")
        try:
            image = self._files[file].images[int(index)]
        except (KeyError, ValueError, IndexError):
            raise ImageError(f"{self.place}: there is no image '{name}'") from None
        return np.pad(image, BORDER)

    def file(self, name: str) -> Path | None:
        """None: the images are not in pictures of their own."""
        return None

    def at_depth(self, bit_depth: BitDepth) -> MnistSource:
        """This source: its images have 8 bits."""
        return self

    def mask(self, name: str, shape: tuple[int, int]) -> npt.NDArray[np.bool_] | None:
        """None: a digit is abnormal as a whole."""
        return None

    def groups(self) -> Mapping[str, str]:
        """Every digit is a group of its own."""
        return {}

    def split(self, seed: int) -> Split:
        """Choose the images of each side; contamination changes neither the choice nor the test.

        Raises DatasetError when a side stays empty.
        """
        config, rng = self._config, np.random.default_rng(seed)
        others = [digit for digit in range(10) if digit != config.normal_digit]
        train = {digit: self._names("train", digit, rng) for digit in range(10)}
        test = {digit: self._names("test", digit, rng) for digit in range(10)}
        normal = train[config.normal_digit]
        count = round(config.train_fraction * len(normal))
        training, held_out = normal[:count], normal[count : count + MAX_HELD_OUT]
        known = [
            name
            for digit in (config.known_abnormal_digits or others)
            for name in train[digit][: round(config.known_abnormal_fraction * len(train[digit]))]
        ]
        unseen = {digit: test[digit] for digit in others if digit not in config.known_abnormal_digits}
        if config.normal_digit in config.known_abnormal_digits:
            raise DatasetError(
                f"known_abnormal_digits holds the normal digit {config.normal_digit}; name only abnormal ones"
            )
        if not training or not held_out or not test[config.normal_digit] or not any(unseen.values()):
            raise DatasetError(
                f"{self.place}: no images are left for training, calibration or test; check normal_digit "
                f"{config.normal_digit}, train_fraction {config.train_fraction} and known_abnormal_digits "
                f"{list(config.known_abnormal_digits)}"
            )
        trained, validation = split_known_abnormal(known, {}, rng)
        if config.contaminated:
            training, trained, validation = training + known, (), ()
        return Split(
            tuple(sorted(training)),
            tuple(sorted(held_out)),
            trained,
            validation,
            tuple(sorted(test[config.normal_digit][: config.test_limit])),
            {f"digit-{d}": tuple(sorted(n)) for d, n in _evenly(unseen, config.test_limit).items() if n},
        )

    def _names(self, file: str, digit: int, rng: np.random.Generator) -> list[str]:
        """Names of a digit, in random order."""
        return shuffled([f"{file}/{i}" for i in np.flatnonzero(self._files[file].labels == digit)], rng)


def _evenly(names: Mapping[int, list[str]], limit: int | None) -> dict[int, list[str]]:
    """At most `limit` names, taken from the digits in turn while they have any."""
    if limit is None:
        return dict(names)
    longest = max(len(digit_names) for digit_names in names.values())
    turns = [
        (digit, turn) for turn in range(longest) for digit, digit_names in names.items() if turn < len(digit_names)
    ]
    counts = {digit: sum(d == digit for d, _ in turns[:limit]) for digit in names}
    return {digit: digit_names[: counts[digit]] for digit, digit_names in names.items()}
