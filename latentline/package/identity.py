"""Which model a station runs. Its birth message and every event carry this."""

from __future__ import annotations

from dataclasses import dataclass

from latentline.package.frame_sizes import Size, in_words, is_like
from latentline.vision.bit_depth import BitDepth
from latentline.vision.region import RegionOfInterest


@dataclass(frozen=True)
class ModelIdentity:
    """Name, hash and limits of the loaded model package.

    name           as the package's manifest says
    sha256         hex digest of the package, the same wherever the package runs
    backend        what runs the networks, e.g. "openvino"
    threshold      anomaly score above which a frame is abnormal
    map_threshold  value of the anomaly map above which a pixel is a defect, standard deviations of normal frames
    channels       channels the model was trained on: 1 or 3
    tile_size      height and width of a tile, pixels
    bit_depth      of the grey levels in 16-bit frames; auto: 16, of a package older than this
    frame_sizes    (width, height) of the images that the threshold rests on; None: a package older than this
    scaled         frames are scaled to one height, so that the aspect alone of their size counts
    region         the part of each frame that is inspected; None: all of it
    """

    name: str
    sha256: str
    backend: str
    threshold: float
    map_threshold: float
    channels: int
    tile_size: int
    bit_depth: BitDepth = "auto"
    region: RegionOfInterest | None = None
    frame_sizes: tuple[Size, ...] | None = None
    scaled: bool = False

    def unlike(self, shape: tuple[int, ...]) -> str | None:
        """Why the threshold promises nothing about frames of `shape` (height, width, …); None where they are alike."""
        width, height = (shape[1], shape[0]) if self.region is None else self.region.box(shape)[2:]
        if self.frame_sizes is None or is_like((width, height), self.frame_sizes, self.scaled):
            return None
        what = "frames of" if self.region is None else "frames whose region has"
        return (
            f"{what} {width} x {height} px, and the threshold of {self.name} rests on images of "
            f"{in_words(self.frame_sizes)}: expect other false alarms; give such frames, or train on images like these"
        )
