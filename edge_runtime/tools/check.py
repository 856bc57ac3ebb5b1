"""`latentline-edge check`: try all that a station needs once, and report what works."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.feeds import Feeds
from edge_runtime.cameras.settings.folder import FolderSettings
from edge_runtime.cameras.settings.kinds import CameraSettings
from edge_runtime.config import StationConfig, load_station
from edge_runtime.frames.depth import depth_sentence, eight_bits
from edge_runtime.frames.frame_inspector import FrameInspector
from edge_runtime.station.command_warning import command_warning
from edge_runtime.station.configured import trust_of
from edge_runtime.tools.archive_check import check_archive
from edge_runtime.tools.broker_check import check_broker
from edge_runtime.tools.finding import Finding
from edge_runtime.tools.page_check import check_page
from edge_runtime.tools.spool_check import check_spool
from latentline.backends.settings import Backend, GpuSettings
from latentline.base.counted import counted
from latentline.base.durations import duration
from latentline.errors import BitDepthError, CameraError, LatentlineError, PackageError
from latentline.package.model_package import MANIFEST, Admit
from latentline.package.package_name import name_fault
from latentline.vision.images import unread_pictures

_POLL_SECONDS = 0.1  # time between two checks for a frame or a fault of a camera


class OpenedInspector(FrameInspector, Protocol):
    """An inspector that can say why it uses its backend."""

    @property
    def reason(self) -> str:
        """Why it uses this backend, in a few words."""
        ...


class OpenModel(Protocol):
    """`latentline.open_model`, or a fake of it."""

    def __call__(self, path: Path, backend: Backend, *, gpu: GpuSettings, admit: Admit) -> OpenedInspector:
        """Open the package at `path`. Raises LatentlineError."""
        ...


def check_station(path: Path, open_model: OpenModel) -> Iterator[Finding]:
    """Check config, spool, archive, model, self-test, cameras, broker, candidate, page. A wrong config ends it all."""
    try:
        config = load_station(path)
    except LatentlineError as error:
        yield Finding("config", False, str(error))
        return
    yield Finding("config", True, f"{path} describes station {config.station.id}")
    yield from _whole("spool", check_spool(config))
    yield from _whole("archive", check_archive(config.archive))
    opened: list[OpenedInspector] = []
    yield from _model(config, open_model, opened)
    try:
        yield from check_connections(config, opened[0] if opened else None)
    finally:
        for inspector in opened:
            inspector.close()
    if (shadow := config.shadow) is not None:
        yield _attempt("shadow", lambda: _candidate(shadow.model, config, open_model))
    if (page := config.page) is not None:
        yield _attempt("page", lambda: check_page(page, config.spool.path))
    if (sentence := command_warning(config)) is not None:
        yield Finding("commands", True, sentence, warning=True)
    if (sentence := _unnamable(config.commands.models)) is not None:
        yield Finding("commands", True, sentence, warning=True)


def _unnamable(models: Path | None) -> str | None:
    """A sentence about a package that no command can name; None: there is none."""
    try:
        paths = sorted(models.iterdir()) if models is not None else []
    except OSError:
        return None
    packages = (path for path in paths if path.suffix == ".zip" or (path / MANIFEST).is_file())
    return next((fault for path in packages if (fault := name_fault(path.name)) is not None), None)


def _candidate(path: Path, config: StationConfig, open_model: OpenModel) -> str:
    """Open the candidate as its process does. Raises LatentlineError."""
    inspector = open_model(path, "openvino", gpu=config.gpu, admit=trust_of(config).admit)
    inspector.close()
    identity = inspector.identity
    return f"the candidate is {identity.name} (sha256 {identity.sha256[:12]}…)"


def check_connections(config: StationConfig, inspector: FrameInspector | None = None) -> Iterator[Finding]:
    """Check the cameras and the broker.

    inspector  inspects a camera's frame, to say how long that takes; None: it is only taken
    """
    for camera in config.cameras:
        yield _attempt("camera", partial(_camera, camera, config.spool.path, inspector))
    yield from _whole("broker", check_broker(config))


def _whole(subject: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """`findings`, and one more if the code behind them fails."""
    try:
        yield from findings
    except Exception as error:
        yield Finding(subject, False, f"{type(error).__name__}: {error}")


def _attempt(subject: str, trial: Callable[[], str | Finding]) -> Finding:
    """What `trial` found: a finding, or what is well."""
    try:
        found = trial()
        return found if isinstance(found, Finding) else Finding(subject, True, found)
    except LatentlineError as error:
        return Finding(subject, False, str(error))
    except Exception as error:
        return Finding(subject, False, f"{type(error).__name__}: {error}")


def _model(config: StationConfig, open_model: OpenModel, opened: list[OpenedInspector]) -> Iterator[Finding]:
    """Check the model and its self-test; the inspector is put into `opened`, and the caller closes it."""

    def load() -> str:
        opened.append(open_model(config.model, config.backend, gpu=config.gpu, admit=trust_of(config).admit))
        identity = opened[0].identity
        known = f", bit depth {identity.bit_depth}" if identity.bit_depth != "auto" else ""
        name = f"{identity.name} (sha256 {identity.sha256[:12]}…){known}"
        return f"{name}, backend {identity.backend} ({opened[0].reason})"

    yield _attempt("model", load)
    if opened:
        yield _attempt("self-test", lambda: _self_test(opened[0]))


def _self_test(inspector: FrameInspector) -> str:
    """Inspect one image twice. Raises PackageError unless both scores are finite and equal."""
    size, channels, region = inspector.identity.tile_size, inspector.identity.channels, inspector.identity.region
    width, height = (size, size) if region is None else region.frame_size((size, size))
    image = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    first = inspector.begin(image)()
    start = time.perf_counter()
    again = inspector.begin(image)()
    milliseconds = 1e3 * (time.perf_counter() - start)
    if not np.isfinite(first.score) or not np.isclose(first.score, again.score, rtol=1e-3, atol=1e-3):
        raise PackageError(f"the same image got the scores {first.score} and {again.score}")
    return f"{counted(again.tiles, 'tile')} of {size} px in {milliseconds:.0f} ms, twice with the same score"


def _camera(camera: CameraSettings, spool: Path, inspector: FrameInspector | None) -> str | Finding:
    """Take one frame from a camera, as the station does, and inspect it."""
    faults: list[str] = []
    feeds = Feeds([camera], lambda _code, sentence: faults.append(sentence or ""), beside=spool)
    feeds.start()
    try:
        frame = _first_frame(feeds, camera, faults)
    finally:
        feeds.close(1.0)
    if frame is not None:
        height, width, channels = frame.image.shape
        found = f"{camera.id} gives {width} x {height} px, {counted(channels, 'channel')}"
        if inspector is None:
            return found
        depth = inspector.identity.bit_depth
        if frame.image.dtype == np.uint16:
            found += f" of {depth_sentence(frame, depth)}"
        try:
            picture = eight_bits(frame, depth)
        except BitDepthError as error:
            raise CameraError(f"camera {camera.id}: {error}") from None
        found = f"{found}; {_speed(inspector, picture)}"
        if (unlike := inspector.identity.unlike(picture.shape)) is not None:
            return Finding("camera", True, f"{found}; {camera.id} gives {unlike}", warning=True)
        return found
    if feeds.error is not None:
        raise feeds.error
    if sentences := [sentence for sentence in faults if sentence]:
        raise CameraError(sentences[-1])
    if camera.silent:
        return f"{camera.id} is ready; there is no frame yet{_unread(camera)}"
    raise CameraError(f"camera {camera.id}: no frame in {camera.stall_seconds:g} s")


def _unread(camera: CameraSettings) -> str:
    """Whether a folder has pictures that the station passes over, because it reads no such files."""
    unread = unread_pictures(camera.source) if isinstance(camera, FolderSettings) else []
    return f", and pictures such as {unread[0].name} are of a kind that is not read" if unread else ""


def _speed(inspector: FrameInspector, image: npt.NDArray[np.uint8]) -> str:
    """Inspect a frame twice, and say how long the second time took. Raises ImageError."""
    inspector.begin(image)()
    start = time.perf_counter()
    result = inspector.begin(image)()
    seconds = time.perf_counter() - start
    return f"{counted(result.tiles, 'tile')}, {duration(seconds)} an image"


def _first_frame(feeds: Feeds, camera: CameraSettings, faults: list[str]) -> Frame | None:
    """The first frame; None when the camera reports a fault, ends, or exceeds its time limit."""
    seconds = camera.stall_seconds if camera.silent else camera.open_seconds + camera.stall_seconds
    deadline = time.monotonic() + seconds
    triggered = camera.trigger != "command"
    while time.monotonic() < deadline and not feeds.ended and not any(faults):
        triggered = triggered or bool(feeds.trigger(camera.id))  # without effect before the camera is open
        if (frame := feeds.get(_POLL_SECONDS)) is not None:
            return frame
    return None
