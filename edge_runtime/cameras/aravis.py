"""GigE Vision and USB3 Vision cameras, through Aravis and the system's PyGObject."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from edge_runtime.cameras.base import IDLE, BadFrame, Frame, Idle
from edge_runtime.cameras.pixel_formats import SUPPORTED, decoder
from edge_runtime.cameras.settings.aravis import AravisSettings
from latentline.errors import CameraError, ImageError
from latentline.vision.bit_depth import Image

_WAIT_MICROSECONDS = 20_000  # for a frame; then `read` returns IDLE
_CAUSES = {"missing-packets": "lost packets", "timeout": "lost packets"}


class AravisCamera:
    """One GenICam camera. If it refuses a setting, the error names the option."""

    def __init__(self, settings: AravisSettings) -> None:
        self.name = settings.id
        self._settings = settings
        self._aravis, self._glib_error = _load()
        self._camera: Any = None
        self._stream: Any = None
        self._decode: Callable[[bytes, int, int], Image] | None = None
        self._closed = False
        self._lost = threading.Event()
        self._in_use = threading.Lock()
        self._number = 0
        self._underruns = 0

    def open(self) -> None:
        """Find the camera, configure it and start the acquisition. Raises CameraError."""
        with self._in_use:
            self._closed = False
            self._lost.clear()
            try:
                self._camera = self._aravis.Camera.new(self._settings.source)
            except self._glib_error as error:
                raise CameraError(
                    f"camera {self.name}: {self._settings.shown} does not open ({error.message}); is it plugged in "
                    "or in this network, does `arv-tool-0.8` list it, and is no other program using it?"
                ) from None
            self._camera.get_device().connect("control-lost", lambda _device: self._lost.set())
            self._configure(self._camera)
            self._start(self._camera)

    def read(self) -> Frame | Idle | None:
        """The next frame. Raises BadFrame if packets were lost, CameraError if the camera is gone."""
        with self._in_use:
            if self._closed or self._stream is None:
                self._release()
                return None
            self._check_underruns()
            buffer = self._stream.timeout_pop_buffer(_WAIT_MICROSECONDS)
            if buffer is None:
                if self._lost.is_set():
                    raise CameraError(f"camera {self.name}: {self._settings.shown} is gone")
                return IDLE
            try:
                return self._frame(buffer)
            finally:
                self._stream.push_buffer(buffer)

    def trigger(self) -> None:
        """Take one frame (only with `trigger: command`)."""
        with self._in_use:
            if self._camera is not None:
                self._try("the software trigger", self._camera.software_trigger)

    def close(self) -> None:
        """Release the camera. If another thread is reading, it does so after that read."""
        self._closed = True
        if self._in_use.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._in_use.release()

    def _configure(self, camera: Any) -> None:
        wanted = self._settings
        if wanted.pixel_format is not None:
            self._try("pixel_format", camera.set_pixel_format_from_string, wanted.pixel_format)
        if wanted.width is not None or wanted.height is not None:
            _, _, width, height = self._try("the region", camera.get_region)
            self._try("width or height", camera.set_region, 0, 0, wanted.width or width, wanted.height or height)
        if wanted.exposure_us is not None:
            with contextlib.suppress(self._glib_error):  # not every camera has automatic exposure
                camera.set_exposure_time_auto(self._aravis.Auto.OFF)
            self._try("exposure_us", camera.set_exposure_time, wanted.exposure_us)
        if wanted.gain is not None:
            with contextlib.suppress(self._glib_error):
                camera.set_gain_auto(self._aravis.Auto.OFF)
            self._try("gain", camera.set_gain, wanted.gain)
        if wanted.fps is not None:
            self._try("fps", camera.set_frame_rate, wanted.fps)
        if wanted.trigger == "command":
            self._try("trigger: command", camera.set_trigger, "Software")
        elif wanted.hardware_trigger is not None:
            self._try("hardware_trigger", camera.set_trigger, wanted.hardware_trigger)
        else:
            with contextlib.suppress(self._glib_error):  # another program may have left a trigger set
                camera.clear_triggers()
        if camera.is_gv_device():
            self._set_packet_size(camera)

    def _set_packet_size(self, camera: Any) -> None:
        if self._settings.packet_size is not None:
            self._try("packet_size", camera.gv_set_packet_size, self._settings.packet_size)
            return
        with contextlib.suppress(self._glib_error):  # a camera without test packets keeps its size
            camera.gv_auto_packet_size()

    def _start(self, camera: Any) -> None:
        code = self._try("the pixel format", camera.get_pixel_format)
        self._decode = decoder(code)
        if self._decode is None:
            shown = self._try("the pixel format", camera.get_pixel_format_as_string)
            raise CameraError(
                f"camera {self.name}: pixel format {shown} is not supported; set pixel_format to one of {SUPPORTED}"
            )
        self._stream = self._try("the stream", camera.create_stream, None, None)
        if camera.is_gv_device():
            resend = self._aravis.GvStreamPacketResend
            self._stream.set_property("packet-resend", resend.ALWAYS if self._settings.packet_resend else resend.NEVER)
        payload = self._try("the payload", camera.get_payload)
        for _ in range(self._settings.buffers):
            self._stream.push_buffer(self._aravis.Buffer.new_allocate(payload))
        self._try("continuous acquisition", camera.set_acquisition_mode, self._aravis.AcquisitionMode.CONTINUOUS)
        self._try("acquisition", camera.start_acquisition)

    def _frame(self, buffer: Any) -> Frame:
        number, self._number = self._number, self._number + 1
        status = buffer.get_status()
        if status != self._aravis.BufferStatus.SUCCESS:
            nick = status.value_nick
            cause = _CAUSES.get(nick, nick.replace("-", " "))
            raise BadFrame(f"camera {self.name}: frame {number} is incomplete ({nick})", cause)
        assert self._decode is not None
        try:
            image = self._decode(buffer.get_data(), buffer.get_image_width(), buffer.get_image_height())
        except ValueError:
            raise BadFrame(f"camera {self.name}: frame {number} has too few bytes", "garbage") from None
        except ImageError as error:
            raise BadFrame(f"camera {self.name}: frame {number}: {error}", "garbage") from None
        # The arrival of its first packet, by the clock of this machine.
        captured_at = datetime.fromtimestamp(buffer.get_system_timestamp() / 1e9, timezone.utc)
        return Frame(image, captured_at, self.name, self._settings.shown, number)

    def _check_underruns(self) -> None:
        """Raise BadFrame for each frame that found no free buffer, one per call."""
        _, _, underruns = self._aravis.Stream.get_statistics(self._stream)
        if underruns > self._underruns:
            self._underruns += 1
            raise BadFrame(f"camera {self.name}: no buffer was free for a frame", "buffers full")

    def _try(self, option: str, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except self._glib_error as error:
            given = f" ({', '.join(map(str, arguments))})" if arguments else ""
            shown = self._settings.shown
            raise CameraError(f"camera {self.name}: {shown} refuses {option}{given}: {error.message}") from None

    def _release(self) -> None:
        camera, self._camera, self._stream = self._camera, None, None
        if camera is not None:
            with contextlib.suppress(self._glib_error):  # it may be gone
                camera.stop_acquisition()


def _load() -> tuple[Any, type[Any]]:
    """Import Aravis; returns it and its exception. Raises CameraError if it is not installed."""
    try:
        importlib.import_module("gi").require_version("Aravis", "0.8")
        aravis = importlib.import_module("gi.repository.Aravis")
        return aravis, importlib.import_module("gi.repository.GLib").Error
    except (ImportError, ValueError) as error:
        raise CameraError(
            f"Aravis cannot be imported ({error}); install it with `apt install gir1.2-aravis-0.8 python3-gi`, and "
            "create the virtual environment with --system-site-packages"
        ) from None
