"""When the pictures of a watched folder are complete, as far as anybody can tell from outside."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.cameras.folder_picture import FolderPicture, content_digest, may_lack_its_pixels
from edge_runtime.pacing import RateLimitedLog

_PATIENCE = 4  # in times of `settle_seconds`
_SAY_SECONDS = 30.0  # after which a picture that never settles is a fault


@dataclass
class _Unsettled:
    """A file that is not given yet. Times are those of the clock.

    since    when it was last seen to change; first: since when it is watched, or was last tried; began: first seen
    checked  when its content was last looked at; digest: of what was there
    settled  whether it has come to rest: then it only waits for its turn
    """

    picture: FolderPicture
    since: float
    first: float
    began: float
    checked: float | None = None
    digest: str | None = None
    settled: bool = False


class FolderSettling:
    """Finds the files that have been left alone for `seconds`. Two kinds need more than that:

    A file with zeros where pixels belong, BMP or TIFF, may have got its size before its content, and its times may tell
    nothing. It must keep its content four times as long.
    A file that never rests, because it is replaced again and again, is tried as it stands after four times as long.
    """

    def __init__(self, camera: str, folder: Path, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._camera, self._folder, self._seconds, self._clock = camera, folder, seconds, clock
        self._files: dict[str, _Unsettled] = {}
        self._log = RateLimitedLog(logging.getLogger(__name__), 600.0)

    def ready(self, fresh: Sequence[FolderPicture]) -> list[FolderPicture]:
        """Those of `fresh`, all pictures that were not given, that may be read now."""
        if not self._seconds:
            return list(fresh)
        now = self._clock()
        self._files = {picture.name: self._seen(picture, now) for picture in fresh}
        ready = [one for one in self._files.values() if self._may_read(one, now)]
        for one in ready:
            one.settled = now - one.since >= self._seconds
        return [one.picture for one in ready]

    def restless(self, picture: FolderPicture) -> bool:
        """Whether a picture that is ready has not been left alone: a failure to read it says nothing."""
        one = self._files.get(picture.name)
        return one is not None and self._clock() - one.since < self._seconds

    def given(self, picture: FolderPicture) -> None:
        """The picture was read. One that was restless is replaced too often."""
        if self.restless(picture):
            self._log.warning(
                f"camera {self._camera}: {picture.name} changes more often than every {self._seconds:g} s "
                "(settle_seconds), so only some of its versions are inspected; for a writer that renames whole files "
                "into the folder set settle_seconds to 0"
            )
        self._files.pop(picture.name, None)

    def put_off(self, picture: FolderPicture) -> None:
        """The picture could not be read yet."""
        if (one := self._files.get(picture.name)) is not None:
            one.first = self._clock()

    @property
    def warning(self) -> str | None:
        """Which pictures have been waiting for too long; None: none."""
        limit = max(_SAY_SECONDS, 2 * _PATIENCE * self._seconds)
        late = [name for name, one in self._files.items() if not one.settled and self._clock() - one.began > limit]
        if not late:
            return None
        more = f" and {len(late) - 1} more" if len(late) > 1 else ""
        return (
            f"camera {self._camera}: {late[0]}{more} in {self._folder} kept changing for more than {limit:g} s and "
            "could not be read as a whole meanwhile, so nothing of it is inspected"
        )

    def _seen(self, picture: FolderPicture, now: float) -> _Unsettled:
        one = self._files.get(picture.name)
        if one is None:
            return _Unsettled(picture, now, now, now)
        if one.picture != picture:
            if one.settled:  # it is written anew
                one.began, one.settled = now, False
            one.picture, one.since, one.checked = picture, now, None
        return one

    def _may_read(self, one: _Unsettled, now: float) -> bool:
        rested = now - one.since >= self._seconds
        if not rested and now - one.first < _PATIENCE * self._seconds:
            return False
        return self._has_its_pixels(one, now)

    def _has_its_pixels(self, one: _Unsettled, now: float) -> bool:
        """Look at the content, at most once in `seconds`."""
        if one.checked is not None and now - one.checked < self._seconds:
            return False
        path = self._folder / one.picture.name
        try:
            if not may_lack_its_pixels(path):
                return True
            digest = content_digest(path)
        except OSError:
            return True  # the reader will say it
        if one.digest not in (digest, None):
            one.since = one.first = now
        one.checked, one.digest = now, digest
        return now - one.since >= _PATIENCE * self._seconds
