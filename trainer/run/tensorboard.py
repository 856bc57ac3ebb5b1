"""Curves, samples and real tiles of a run as TensorBoard event files; TensorBoard itself need not be installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.vision.preprocessing import to_picture
from trainer.run.history import Record


class TensorBoardWriter:
    """Writes event files into `folder`; TensorBoard hides events after `images` that a killed run left there."""

    def __init__(self, folder: Path, images: int) -> None:
        from tensorboardX import SummaryWriter  # takes long to load, and a training draws late

        self._writer = SummaryWriter(str(folder), purge_step=images + 1)
        self._written = images

    def write(self, records: Sequence[Record], images: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Add the records that were not written yet, and by their names images [N, C, r, r] in [-1, 1]."""
        for record in records:
            report = record.report
            if report.images <= self._written:
                continue
            for name, value in report.losses.items():
                self._writer.add_scalar(f"loss/{name}", value, report.images)
            for name, value in report.probabilities.items():
                self._writer.add_scalar(f"probability/{name}", value, report.images)
            if record.diversity is not None:
                self._writer.add_scalar("diversity", record.diversity, report.images)
            if record.coverage is not None:
                self._writer.add_scalar("coverage/explained", record.coverage.explained, report.images)
                self._writer.add_scalar("coverage/pca", record.coverage.pca, report.images)
        self._written = records[-1].report.images if records else self._written
        for name, values in images.items():
            pictures = to_picture(values)[..., ::-1] if values.shape[1] == 3 else to_picture(values)
            self._writer.add_images(name, pictures, self._written, dataformats="NHWC")
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()
