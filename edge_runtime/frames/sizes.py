"""Frames of another size or shape than the threshold was made for: said once for each camera and model."""

from __future__ import annotations

import logging

from edge_runtime.cameras.base import Frame
from latentline.package.identity import ModelIdentity

_log = logging.getLogger(__name__)


class SizeWatch:
    """Looks at the sizes of frames. Used by the station's thread."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()  # camera, sha256 of the model

    def see(self, frame: Frame, model: ModelIdentity) -> None:
        """Warn of the first frame of a camera that is not like the images behind the model's threshold."""
        key = (frame.camera, model.sha256)
        if key not in self._said and (sentence := model.unlike(frame.image.shape)) is not None:
            self._said.add(key)
            _log.warning("camera %s gives %s (%s)", frame.camera, sentence, frame.source)
