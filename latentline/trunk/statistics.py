"""What a trunk's features of normal images are like, and those of known defects: from features to maps."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]

DISTANCE, VERDICT = "trunk_distance", "trunk_verdict"
CELL = 2  # positions a side that share a covariance, where each has a mean of its own
SMOOTHING = 1.0  # positions; on magnetic tile it raises the AUROC of the distance from 0.857 to 0.871


@dataclass(frozen=True)
class TrunkStatistics:
    """A Gaussian of normal features on a grid of h x w positions, and a direction in its whitened space.

    mean       [C, h, w]: of each position; [C, 1, 1]: one for all
    whitening  [K, C, C] lower triangular W with ‖W(x − mean)‖ the Mahalanobis distance: one for all (K = 1), or one for
               each cell of 2 x 2 positions, row by row
    direction  [C] of length 1: from normal to abnormal patches; None: too few known defects for a verdict
    located    whether the direction tells patches apart; False: it only tells whole images apart
    """

    mean: Float
    whitening: Float
    direction: Float | None = None
    located: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each map, which is the name of its component."""
        return (DISTANCE,) if self.direction is None else (DISTANCE, VERDICT)

    def whitened(self, features: Float) -> Float:
        """Features [C, h, w] in the space where those of normal images have the covariance 1, [C, h, w]."""
        channels, height, width = features.shape
        centred = features - self.mean
        if len(self.whitening) == 1:
            return np.asarray(self.whitening[0] @ centred.reshape(channels, -1)).reshape(channels, height, width)
        found = np.matmul(self.whitening, to_cells(centred))
        return from_cells(found, height, width)

    def maps(self, features: Float) -> dict[str, Float]:
        """Raw maps by name. Larger is more abnormal.

        trunk_distance  [h, w] Mahalanobis distance of each position over √C, about 1 for a normal image
        trunk_verdict   [h, w] how far each position lies in the direction of known defects; [1, 1] for the whole image
                        where the direction was learnt from images without masks
        """
        white = self.whitened(features)
        found = {DISTANCE: smooth(np.sqrt(np.square(white).mean(axis=0)))}
        if self.direction is not None:
            found[VERDICT] = verdict_map(white, self.direction, self.located)
        return found


def verdict_map(white: Float, direction: Float, located: bool) -> Float:
    """How far whitened features [C, h, w] lie in `direction` [C]: [h, w], or their mean [1, 1] where not `located`."""
    verdict = np.tensordot(direction, white, axes=1).astype(np.float32)
    return smooth(verdict) if located else verdict.mean(keepdims=True)


def smooth(plane: Float) -> Float:
    """A map [h, w], blurred by a Gaussian of one position."""
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), SMOOTHING, borderType=cv2.BORDER_REFLECT), np.float32)


def to_cells(features: Float) -> Float:
    """[C, h, w] -> [cells, C, positions of a cell]; h and w are even."""
    channels, height, width = features.shape
    split = features.reshape(channels, height // CELL, CELL, width // CELL, CELL)
    return np.ascontiguousarray(split.transpose(1, 3, 0, 2, 4)).reshape(-1, channels, CELL * CELL)


def from_cells(cells: Float, height: int, width: int) -> Float:
    """The inverse of `to_cells`."""
    split = cells.reshape(height // CELL, width // CELL, -1, CELL, CELL)
    return np.ascontiguousarray(split.transpose(2, 0, 3, 1, 4)).reshape(-1, height, width)
