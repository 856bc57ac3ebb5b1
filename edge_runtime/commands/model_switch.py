"""Another model under a running station: loaded beside the one that judges, and in its place only when it works."""

from __future__ import annotations

import logging
import math
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.commands.actions import Finish
from edge_runtime.commands.request import CommandError
from edge_runtime.frames.frame_inspector import FrameInspector
from latentline.errors import LatentlineError
from latentline.package.files import is_plain_name
from latentline.package.identity import ModelIdentity

_log = logging.getLogger(__name__)
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Prepared:
    """A package whose files are loaded and checked: sha256 of the model, and what opens it with its self-test.

    `open` is called by the thread that inspects, because a GPU's searcher belongs to the thread that opens it.
    """

    sha256: str
    open: Callable[[], FrameInspector]


@dataclass(frozen=True)
class _Wish:
    name: str
    sha256: str | None
    finish: Finish


class ModelSwitch:
    """Owns the inspector of a station. All but `prepare` happens in the station's thread.

    folder    packages lie directly in it
    current   the inspector that judges now; closed after a switch, else by `close`
    prepare   called in a thread of its own; raises LatentlineError
    remember  (name, sha256) of the package, so that a restart comes up with it; raises LatentlineError
    """

    def __init__(
        self,
        folder: Path,
        current: FrameInspector,
        prepare: Callable[[Path], Prepared],
        remember: Callable[[str, str], None],
    ) -> None:
        self._folder, self._prepare, self._remember = folder, prepare, remember
        self._wish: _Wish | None = None
        self._ready: queue.SimpleQueue[Prepared | Exception] = queue.SimpleQueue()
        self.inspector = current

    def request(self, name: str, sha256: str | None, finish: Finish) -> None:
        """Begin to load package `name`; `finish` is called by `run_pending` or `close`, once.

        sha256: refuse a package of another hash. Raises CommandError when there is no such package in the folder, or
        another switch is not done yet.
        """
        if self._wish is not None:
            raise CommandError(f"the switch to {self._wish.name} is not done yet; ask again later")
        path = self._path(name)
        self._wish = _Wish(name, sha256, finish)
        threading.Thread(target=self._load, args=(path,), name="model loader", daemon=True).start()

    @property
    def ready(self) -> bool:
        """Whether a package waits to be switched to, or its fault to be said."""
        return self._wish is not None and not self._ready.empty()

    def run_pending(self, check_frame: UInt8 | None = None) -> FrameInspector | None:
        """Switch, if a package is ready; the new inspector when it took the place of the old, which is closed then.

        Call it when no frame is begun and not finished. check_frame: uint8 [H, W, C] that the new model must be able
        to judge, e.g. the newest one; None for noise. When the new model does not open, fails its self-test or the
        frame, or cannot be remembered, the old one stays.
        """
        if self._wish is None:
            return None
        try:
            prepared = self._ready.get_nowait()
        except queue.Empty:
            return None
        wish, self._wish = self._wish, None
        old = self.inspector
        try:
            new = self._opened(prepared, wish, check_frame)
        except Exception as error:
            wish.finish(self._sentence(error))
            return None
        self.inspector = new
        _log.info("switched from model %s to %s", old.identity.name, new.identity.name)
        _close(old)
        wish.finish({"old": _about(old.identity), "new": _about(new.identity), "package": wish.name})
        return new

    def close(self) -> None:
        """Close the inspector; a switch that is not done is answered as failed."""
        wish, self._wish = self._wish, None
        if wish is not None:
            wish.finish(CommandError("the station stopped before the model was loaded; nothing is changed"))
        self.inspector.close()

    def _path(self, name: str) -> Path:
        """The package's place. Raises CommandError for one that is not in the folder, by a link neither."""
        path = self._folder / name
        if not is_plain_name(name) or not path.exists() or path.resolve().parent != self._folder.resolve():
            raise CommandError(f"there is no model package {name!r} in the station's folder of models")
        return path

    def _load(self, path: Path) -> None:
        try:
            self._ready.put(self._prepare(path))
        except Exception as error:
            self._ready.put(error)

    def _opened(self, prepared: Prepared | Exception, wish: _Wish, check_frame: UInt8 | None) -> FrameInspector:
        if isinstance(prepared, Exception):
            raise prepared
        if wish.sha256 not in (None, prepared.sha256):
            raise CommandError(f"{wish.name} has sha256 {prepared.sha256}, another one was asked for")
        new = prepared.open()
        try:
            _check(new, check_frame)
            self._remember(wish.name, prepared.sha256)
        except BaseException:
            _close(new)
            raise
        return new

    def _sentence(self, error: Exception) -> LatentlineError:
        stays = f"model {self.inspector.identity.name} stays"
        if isinstance(error, LatentlineError):
            return CommandError(f"{stays}: {error}")
        _log.error("a model could not be switched to", exc_info=error)
        return CommandError(f"{stays}: the new one cannot be used here ({type(error).__name__}: {error})")


def _check(inspector: FrameInspector, frame: UInt8 | None) -> None:
    """Raise what the inspector raises, or CommandError when its score is no number."""
    if frame is None:
        size, channels = inspector.identity.tile_size, inspector.identity.channels
        frame = np.random.default_rng(0).integers(0, 256, (size, size, channels), np.uint8)
    score = inspector.begin(frame)().score
    if not math.isfinite(score):
        raise CommandError(f"its score of the check frame is {score}")


def _close(inspector: FrameInspector) -> None:
    """Release it; a fault there must not undo what was decided."""
    try:
        inspector.close()
    except Exception:
        _log.exception("model %s could not be closed", inspector.identity.name)


def _about(identity: ModelIdentity) -> dict[str, object]:
    return {
        "name": identity.name,
        "sha256": identity.sha256,
        "backend": identity.backend,
        "threshold": identity.threshold,
    }
