"""Switch a running station to another model: load it beside the running one, and use it only when it works."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from edge_runtime.commands.actions import Finish
from edge_runtime.commands.request import CommandError
from edge_runtime.frames.frame_inspector import FrameInspector
from latentline.errors import LatentlineError
from latentline.package.files import is_plain_name
from latentline.package.identity import ModelIdentity

_log = logging.getLogger(__name__)
_LOAD_SECONDS = 120.0  # to load a package, compile its graphs and run its self-test


@dataclass(frozen=True)
class LoadedPackage:
    """A package whose files are loaded and checked.

    sha256  of the model
    open    opens the model and runs its self-test. The inspecting thread calls it, because a searcher on a GPU belongs
            to the thread that opened it
    accept  called when the model works and will be used; raises LatentlineError
    """

    sha256: str
    open: Callable[[], FrameInspector]
    accept: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class _SwitchRequest:
    name: str
    sha256: str | None
    save: Callable[[str], None]
    finish: Finish
    deadline: float  # of the switch's clock
    loaded: queue.SimpleQueue[LoadedPackage | Exception]  # of this request alone: a loader that is late fills its own


class ModelSwitch:
    """Owns the inspector of a station. All but `load` runs in the station's thread.

    folder   of the packages, which lie directly in it
    current  the inspector in use; the switch closes it after the next switch or in `close`
    load     loads a package, in a thread of its own; raises LatentlineError
    save     saves (name, sha256) of the package, so that a restart opens it again; raises LatentlineError
    clock    seconds, monotonic
    A package that is not loaded after _LOAD_SECONDS is refused, and its thread is left behind.
    """

    def __init__(
        self,
        folder: Path,
        current: FrameInspector,
        load: Callable[[Path], LoadedPackage],
        save: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._load, self._save, self._clock = folder, load, save, clock
        self._request: _SwitchRequest | None = None
        self.inspector = current

    def request(self, name: str, sha256: str | None, finish: Finish) -> None:
        """Start to load package `name`. `run_pending` or `close` calls `finish`, once.

        sha256  the hash that the package must have; None: any
        Raises CommandError when the folder has no such package, or while another switch is running.
        """
        self._start(self.path(name), sha256, partial(self._save, name), finish)

    def revert(self, path: Path, sha256: str, save: Callable[[str], None], finish: Finish) -> None:
        """Start to go back to the package at `path`, which ran before; as `request`, with a `save` of its own."""
        self._start(path, sha256, save, finish)

    def path(self, name: str) -> Path:
        """The path of a package. Raises CommandError unless it lies directly in the folder, not behind a link."""
        path = self._folder / name
        if not is_plain_name(name) or not path.exists() or path.resolve().parent != self._folder.resolve():
            raise CommandError(f"there is no model package {name!r} in the folder commands.models")
        return path

    def _start(self, path: Path, sha256: str | None, save: Callable[[str], None], finish: Finish) -> None:
        if self._request is not None:
            raise CommandError(f"the switch to {self._request.name} is not done yet; try again later")
        deadline = self._clock() + _LOAD_SECONDS
        request = _SwitchRequest(path.name, sha256, save, finish, deadline, queue.SimpleQueue())
        loader = threading.Thread(target=self._load_package, args=(path, request), name="model loader", daemon=True)
        try:
            loader.start()
        except RuntimeError as error:  # no thread, no memory
            raise CommandError(f"the package cannot be loaded now ({error}); try again later") from None
        self._request = request

    @property
    def ready(self) -> bool:
        """Whether a package is loaded, failed to load or is overdue, and `run_pending` has something to do."""
        request = self._request
        return request is not None and (not request.loaded.empty() or self._clock() > request.deadline)

    def run_pending(self) -> FrameInspector | None:
        """Switch if a package is loaded. Returns the new inspector, after closing the old one; None without a switch.

        Call it while no frame is in work. The old model stays when the new one does not open, fails its self-test or
        a frame of noise, or cannot be saved for the next start.
        """
        request = self._request
        if request is None or not self.ready:
            return None
        self._request = None
        try:
            loaded = request.loaded.get_nowait()
        except queue.Empty:
            loaded = CommandError(f"{request.name} was not loaded and tested within {_LOAD_SECONDS:g} s")
        old = self.inspector
        try:
            new = self._open(loaded, request)
        except Exception as error:
            request.finish(self._failure(error))
            return None
        self.inspector = new
        _log.info("switched from model %s to %s", old.identity.name, new.identity.name)
        _close(old)
        request.finish({"old": _describe(old.identity), "new": _describe(new.identity), "package": request.name})
        return new

    def close(self) -> None:
        """Close the inspector. A switch that has not finished fails."""
        request, self._request = self._request, None
        if request is not None:
            request.finish(CommandError("the station stopped before the model was loaded; nothing has changed"))
        self.inspector.close()

    def _load_package(self, path: Path, request: _SwitchRequest) -> None:
        try:
            loaded: LoadedPackage | Exception = self._load(path)
        except Exception as error:
            loaded = error
        request.loaded.put(loaded)

    def _open(self, loaded: LoadedPackage | Exception, request: _SwitchRequest) -> FrameInspector:
        if isinstance(loaded, Exception):
            raise loaded
        if request.sha256 not in (None, loaded.sha256):
            raise CommandError(f"{request.name} has sha256 {loaded.sha256}, not the requested {request.sha256}")
        new = loaded.open()
        try:
            _check(new)
            loaded.accept()
            request.save(loaded.sha256)
        except BaseException:
            _close(new)
            raise
        return new

    def _failure(self, error: Exception) -> LatentlineError:
        stays = f"model {self.inspector.identity.name} stays"
        if isinstance(error, LatentlineError):
            return CommandError(f"{stays}: {error}")
        _log.error("the station could not switch to another model", exc_info=error)
        return CommandError(f"{stays}: the new one does not work here ({type(error).__name__}: {error})")


def _check(inspector: FrameInspector) -> None:
    """Inspect a frame of noise. Raises what the inspector raises, and CommandError for a score that is not finite."""
    size, channels = inspector.identity.tile_size, inspector.identity.channels
    noise = np.random.default_rng(0).integers(0, 256, (size, size, channels), np.uint8)
    score = inspector.begin(noise)().score
    if not math.isfinite(score):
        raise CommandError(f"the new one gives a frame of noise the score {score}")


def _close(inspector: FrameInspector) -> None:
    """Close `inspector`. An error here must not undo the switch."""
    try:
        inspector.close()
    except Exception:
        _log.exception("model %s did not close", inspector.identity.name)


def _describe(identity: ModelIdentity) -> dict[str, object]:
    return {
        "name": identity.name,
        "sha256": identity.sha256,
        "backend": identity.backend,
        "threshold": identity.threshold,
    }
