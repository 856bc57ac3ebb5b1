"""`data:` of a training configuration: where images come from (`kind`), who is held out, what is known abnormal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from latentline.base.strict_yaml import StrictModel

Flip = Literal["horizontal", "vertical"]


class AugmentConfig(StrictModel):
    """What makes another normal image of this product; everything off by default.

    flip        mirrorings
    shift       px: tiles are shifted by up to so much, edges mirrored (matters where tiles fill the image)
    brightness  grey levels are multiplied by up to 1 ± so much
    """

    flip: tuple[Flip, ...] = ()
    shift: int = Field(default=0, ge=0, le=64)
    brightness: float = Field(default=0.0, ge=0, lt=1)


class FolderData(StrictModel):
    """Images in folders: train/good, test/good, test/<defect>, ground_truth/<defect>/<image>_mask.png under root.

    root             the folder; a relative path counts from the configuration file
    holdout          fraction of train/good kept from training, to calibrate score and threshold; without effect where
                     the folder brings its own validation/good
    groups           CSV with the columns `file` and `tile_group`, relative to root: images of one part, which never lie
                     on both sides of a split
    known_abnormal   text file, one image a line relative to root, of known-abnormal images; or
    known_abnormal_fraction   this fraction of each defect folder. Both leave the test set; from six images on, a third
                     of them does not train but weights the score
    known_abnormal_types      only of these defect folders; empty: of all
    contamination    for experiments: so many abnormal images, as a fraction of the training images, are taken for
                     normal ones, as happens in a factory; they are the same images that would be known abnormal
    """

    kind: Literal["folder"] = "folder"
    root: Path
    holdout: float = Field(default=0.25, gt=0, lt=1)
    groups: str | None = None
    known_abnormal: Path | None = None
    known_abnormal_fraction: float = Field(default=0.0, ge=0, lt=1)
    known_abnormal_types: tuple[str, ...] = ()
    contamination: float = Field(default=0.0, ge=0, lt=0.5)

    @model_validator(mode="after")
    def _one_choice(self) -> FolderData:
        if self.known_abnormal is not None and self.known_abnormal_fraction > 0:
            raise ValueError("give known_abnormal or known_abnormal_fraction, not both")
        return self

    @property
    def has_known_abnormal(self) -> bool:
        """Whether the method can be shown known-abnormal images."""
        return (self.known_abnormal is not None or self.known_abnormal_fraction > 0) and not self.contamination


class MnistData(StrictModel):
    """MNIST in idx or idx.gz files, the protocol of Kimura & Yanagihara 2018, §4: one digit is normal.

    root               folder of the four files
    normal             the digit
    normal_fraction    of its training images that train (the others are the held-out normals)
    abnormal_fraction  of every other digit's training images that are known abnormal
    known_digits       the digits that known-abnormal images show; empty: all others. The test then shows only the rest
    contaminated       the known-abnormal images are taken for normal ones instead
    test_limit         at most so many normal, and as many abnormal, test images, seeded; null: all of the test set
    """

    kind: Literal["mnist"]
    root: Path
    normal: int = Field(ge=0, le=9)
    normal_fraction: float = Field(default=0.7, gt=0, lt=1)
    abnormal_fraction: float = Field(default=0.1, ge=0, le=1)
    known_digits: tuple[int, ...] = ()
    contaminated: bool = False
    test_limit: int | None = Field(default=None, ge=1)

    @property
    def has_known_abnormal(self) -> bool:
        """Whether the method can be shown known-abnormal images."""
        return self.abnormal_fraction > 0 and not self.contaminated


class IrMnistData(StrictModel):
    """IR-MNIST: mosaics of 11 x 11 MNIST digits, in which one digit is abnormal, with masks (Kimura & Yanagihara 2018).

    root       folder of MNIST's four files
    abnormal   the abnormal digit
    train, held_out, known, test   mosaics of each kind; half of `test` are abnormal
    seed       of the mosaics
    """

    kind: Literal["ir_mnist"]
    root: Path
    abnormal: int = Field(default=3, ge=0, le=9)
    train: int = Field(default=60, ge=1)
    held_out: int = Field(default=40, ge=1)
    known: int = Field(default=10, ge=0)
    test: int = Field(default=40, ge=2)
    seed: int = Field(default=0, ge=0)

    @property
    def has_known_abnormal(self) -> bool:
        """Whether the method can be shown known-abnormal images."""
        return self.known > 0


class CaltechData(StrictModel):
    """A user's own copy of Caltech-256: some categories are normal, the clutter category is abnormal.

    root               the folder of 001.ak47 …, 257.clutter
    normal_categories  how many categories, drawn with `seed`, are normal: the papers take 1, 3 and 5
    normal_fraction    of their images that train or are held out; the others are tested
    holdout            fraction of those that is held out
    known_fraction     of the clutter images that are known abnormal
    """

    kind: Literal["caltech256"]
    root: Path
    normal_categories: int = Field(default=1, ge=1)
    normal_fraction: float = Field(default=0.7, gt=0, lt=1)
    holdout: float = Field(default=0.25, gt=0, lt=1)
    known_fraction: float = Field(default=0.1, ge=0, lt=1)
    seed: int = Field(default=0, ge=0)

    @property
    def has_known_abnormal(self) -> bool:
        """Whether the method can be shown known-abnormal images."""
        return self.known_fraction > 0


class NanoTwiceData(StrictModel):
    """NanoTWICE (Carrera et al. 2017): train on all five normal images, score pixels of the others.

    There are too few images to hold any out: of each normal image the right part, `holdout` of its width, calibrates.

    root   train/good, test/good, test/defect, ground_truth/defect
    known_abnormal_fraction   of the defect images, known abnormal and not tested
    """

    kind: Literal["nanotwice"]
    root: Path
    holdout: float = Field(default=0.25, gt=0, lt=1)
    known_abnormal_fraction: float = Field(default=0.0, ge=0, lt=1)

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
