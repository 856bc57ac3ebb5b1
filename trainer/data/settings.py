"""Sections `data` (where images come from, chosen by `kind`) and `augment` of a training file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from latentline.base.strict_yaml import StrictModel

Flip = Literal["horizontal", "vertical"]


class AugmentConfig(StrictModel):
    """Changes that make another normal image of the same product. All are off by default."""

    flip: tuple[Flip, ...] = ()
    """Mirror images that are normal too."""

    shift: int = Field(default=0, ge=0, le=64)
    """Tiles are shifted by up to this much, with mirrored edges. It matters where a tile is the whole image. [px]"""

    brightness: float = Field(default=0.0, ge=0, lt=1)
    """Grey levels are multiplied by a factor of up to 1 ± this value."""


class FolderData(StrictModel):
    """Images in folders under `root`, as MVTec AD has them: `train/good`, `test/good`, `test/<defect>`,
    `ground_truth/<defect>/<image>_mask.png`. `good` may be `ok` or `normal`; masks may have other common names."""

    kind: Literal["folder"] = "folder"
    root: Path
    """The folder."""

    held_out_fraction: float = Field(default=0.25, gt=0, lt=1)
    """Fraction of `train/good` that is kept from training to calibrate scores and threshold, but at least the 30 images
    that a calibration needs, as long as ten are left to train. It has no effect where the folder has its own
    `validation/good`."""

    groups: str | None = None
    """CSV file, relative to `root`, with the columns `file` and `tile_group`. Images of one group show one part and
    stay on one side of every split. Few rows that match an image are an error."""

    split_by: Literal["part", "image"] = "part"
    """For experiments: `image` shuffles the normal images of `train/good` and `test/good` and deals them out one by
    one, whatever part they show, and known-abnormal images likewise. A part is then on both sides of the split, and
    the figures are too good. As many normal images are tested as with `part`."""

    known_abnormal: Path | tuple[Path, ...] | None = None
    """Where the known-abnormal images are, anywhere on the disk: a folder, which may have a folder for each kind of
    defect; a text file with a path a line, relative to `root` or to the text file; or such paths in this file, relative
    to it or to `root`. Masks have the image's stem, such as `<stem>_mask.png` or `<stem>.png`, in a folder `masks` or
    `ground_truth` beside the images. Known-abnormal images, and copies of them, leave the test set; of fifteen parts or
    more, a third is kept from training to weigh the score's components."""

    known_abnormal_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Fraction of each defect folder that is known abnormal, in place of the list `known_abnormal`."""

    known_abnormal_types: tuple[str, ...] = ()
    """Defect folders that known-abnormal images come from. Empty: all of them."""

    known_abnormal_limit: int | None = Field(default=None, ge=0)
    """Most known-abnormal images that are used, drawn part by part. The others are left out; the test stays the same.
    Unset: all of them. [images]"""

    added: tuple[Path, ...] = ()
    """Folders of labelled images that `latentline-edge labels export` wrote, the oldest first. Good ones become normal
    images, defects known-abnormal ones. `fit --from RUN --add FOLDER` writes this setting."""

    contamination: float = Field(default=0.0, ge=0, lt=0.5)
    """For experiments: abnormal images that training takes for normal, as a fraction of the training images. They are
    those that would be known abnormal."""

    @model_validator(mode="after")
    def _one_choice(self) -> FolderData:
        if self.known_abnormal is not None and self.known_abnormal_fraction > 0:
            raise ValueError("give known_abnormal or known_abnormal_fraction, not both")
        return self

    @model_validator(mode="after")
    def _whole_contamination(self) -> FolderData:
        if self.contamination and self.known_abnormal_limit is not None:
            raise ValueError("give contamination or known_abnormal_limit, not both")
        return self

    @property
    def has_known_abnormal(self) -> bool:
        """Whether the method can be shown known-abnormal images."""
        chosen = self.known_abnormal is not None or self.known_abnormal_fraction > 0
        return bool(self.added) or (chosen and self.known_abnormal_limit != 0 and not self.contamination)


class MnistData(StrictModel):
    """MNIST in idx or idx.gz files, by the protocol of Kimura & Yanagihara 2018, §4: one digit is normal."""

    kind: Literal["mnist"]
    root: Path
    """Folder of the four files."""

    normal_digit: int = Field(ge=0, le=9)
    """The digit that is normal."""

    train_fraction: float = Field(default=0.7, gt=0, lt=1)
    """Fraction of the normal digit's training images that train; the others are held out."""

    known_abnormal_fraction: float = Field(default=0.1, ge=0, le=1)
    """Fraction of each abnormal digit's training images that is known abnormal."""

    known_abnormal_digits: tuple[int, ...] = ()
    """Digits that known-abnormal images show; the test then shows only the other abnormal digits. Empty: all abnormal
    digits, in training and test."""

    contaminated: bool = False
    """For experiments: true makes training take the known-abnormal images for normal ones."""

    test_limit: int | None = Field(default=None, ge=1)
    """Most normal test images, and most abnormal ones, chosen by seed. Unset: the whole test set. [images]"""

    @property
    def has_known_abnormal(self) -> bool:
        """Whether the method can be shown known-abnormal images."""
        return self.known_abnormal_fraction > 0 and not self.contaminated


class IrMnistData(StrictModel):
    """IR-MNIST: mosaics of 11 x 11 MNIST digits in which one digit is abnormal, with masks (Kimura & Yanagihara
    2018)."""

    kind: Literal["ir_mnist"]
    root: Path
    """Folder of MNIST's four files."""

    abnormal_digit: int = Field(default=3, ge=0, le=9)
    """The digit that is abnormal."""

    train_mosaics: int = Field(default=60, ge=1)
    """Normal mosaics for training. [images]"""

    held_out_mosaics: int = Field(default=40, ge=1)
    """Normal mosaics for calibration. [images]"""

    known_abnormal_mosaics: int = Field(default=10, ge=0)
    """Known-abnormal mosaics. [images]"""

    test_mosaics: int = Field(default=40, ge=2)
    """Mosaics for the test; half of them are abnormal. [images]"""

    seed: int = Field(default=0, ge=0)
    """Random seed of the mosaics."""

    @property
    def has_known_abnormal(self) -> bool:
        """Whether the method can be shown known-abnormal images."""
        return self.known_abnormal_mosaics > 0


class CaltechData(StrictModel):
    """A user's own copy of Caltech-256: some categories are normal, the clutter category is abnormal."""

    kind: Literal["caltech256"]
    root: Path
    """Folder of `001.ak47` … `257.clutter`."""

    normal_categories: int = Field(default=1, ge=1)
    """Number of categories, drawn with `seed`, that are normal. The papers take 1, 3 and 5."""

    train_fraction: float = Field(default=0.7, gt=0, lt=1)
    """Fraction of the normal images for training and calibration; the others are tested."""

    held_out_fraction: float = Field(default=0.25, gt=0, lt=1)
    """Fraction of those that is kept from training to calibrate scores and threshold."""

    known_abnormal_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Fraction of the clutter images that is known abnormal."""

    seed: int = Field(default=0, ge=0)
    """Random seed of the choice of categories."""

    @property
    def has_known_abnormal(self) -> bool:
        """Whether the method can be shown known-abnormal images."""
        return self.known_abnormal_fraction > 0


class NanoTwiceData(StrictModel):
    """NanoTWICE (Carrera et al. 2017): training on all five normal images, with scores for the pixels of the others.

    Five images are too few to hold any out: the right part of each is kept from training instead.
    """

    kind: Literal["nanotwice"]
    root: Path
    """Folder of `train/good`, `test/good`, `test/defect` and `ground_truth/defect`."""

    held_out_fraction: float = Field(default=0.25, gt=0, lt=1)
    """Fraction of each normal image's width that is kept from training to calibrate scores and threshold."""

    known_abnormal_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Fraction of the defect images that is known abnormal, and not tested."""

    @property
    def has_known_abnormal(self) -> bool:
        """Whether the method can be shown known-abnormal images."""
        return self.known_abnormal_fraction > 0


def _folder_by_default(data: Any) -> Any:
    return {"kind": "folder", **data} if isinstance(data, dict) else data


DataConfig = Annotated[
    FolderData | MnistData | IrMnistData | CaltechData | NanoTwiceData,
    Field(discriminator="kind"),
    BeforeValidator(_folder_by_default),
]
