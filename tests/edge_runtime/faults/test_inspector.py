"""An inspector that always fails is said where a service manager looks; a lost GPU ends the process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.config import StationConfig
from latentline.backends.settings import GpuSettings
from latentline.base.strict_yaml import parse
from latentline.errors import run_command
from latentline.model import Model
from latentline.package.model_package import load_package
from tests.edge_runtime.fakes import BRIGHT, DARK, FATAL, UNUSABLE, station_data, validate
from tests.edge_runtime.faults.harm import ask, free_port
from tests.edge_runtime.faults.running import ScriptedCamera, grey, make_station, running
from tests.fake_cuda.driver import FakeDriver
from tests.fake_cuda.host_kernels import build_host_kernels
from tests.gpu.standin.module import StandIn
from tests.mosquitto import Mosquitto, Subscriber
from tests.paths import DEMO_MODEL, FAKE_CUDA
from tests.waiting import wait_until


def _live(data: dict[str, Any], **supervision: Any) -> dict[str, Any]:
    camera = {"id": "top", "kind": "device", "source": 0, "every_frame": True}
    return {**data, "cameras": [camera], "supervision": {"http_port": None, **supervision}}


def test_failures_in_a_row_are_a_fault_of_the_health_page(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Two failed frames are only a reason; the third in a row makes /healthz 503, and one good frame ends it. Frames
    that cannot be used count neither way."""
    mosquitto.start()
    port = free_port()
    data = _live(station_data(tmp_path, mosquitto.port), http_port=port, failed_frames=3)
    camera = ScriptedCamera(grey(FATAL), grey(FATAL), grey(DARK), grey(FATAL), grey(UNUSABLE), grey(FATAL))
    with Subscriber(mosquitto.port) as subscriber, running(data, camera) as station:
        wait_until(lambda: station.summary.failed == 4, "the failures")
        subscriber.wait("v1/status", lambda all_: any("inspector" in str(m.body["reasons"]) for m in all_))
        assert ask(port, "/healthz")[0] == 200
        camera.put(grey(FATAL))
        wait_until(lambda: ask(port, "/healthz")[0] == 503, "the page")
        sentence = "the inspector has failed at 3 frames in a row or more; a restart may help"
        assert ask(port, "/healthz")[1]["faults"]["watchdog.inspector"] == sentence
        subscriber.wait("v1/status", lambda all_: any(sentence in str(m.body["reasons"]) for m in all_))
        camera.put(grey(BRIGHT))
        subscriber.wait_state("online")
        wait_until(lambda: ask(port, "/healthz")[0] == 200, "the page")
    for message in subscriber.messages():
        validate(message.topic, message.body)


def test_a_lost_gpu_ends_the_process_to_be_restarted(
    tmp_path: Path,
    mosquitto: Mosquitto,
    fake_driver: FakeDriver,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After a kernel has destroyed the context, not one frame more is tried: the exit code is 75, a sentence says why,
    and `stopped` is published."""
    mosquitto.start()
    fake_driver.use_kernels(build_host_kernels("fp32", FAKE_CUDA))
    monkeypatch.setattr("latentline.backends.select.import_tensorrt", lambda _: StandIn())
    package = load_package(DEMO_MODEL).with_iterations(1)
    config = parse(_live(station_data(tmp_path, mosquitto.port)), StationConfig, "-")
    size = package.spec.tile_size
    noise = np.random.default_rng(0).integers(0, 256, (size, size, package.spec.channels), np.uint8)

    def lose() -> np.ndarray:
        fake_driver.lose_context()
        return noise

    with Subscriber(mosquitto.port) as subscriber:
        model = Model(package, "tensorrt", GpuSettings(cache=tmp_path / "cache"))
        station = make_station(config, ScriptedCamera(noise, lose, *[noise] * 50), model)

        def run() -> int:
            station.run()
            return 0

        assert run_command(run) == 75
        subscriber.wait_state("stopped")
    error = capsys.readouterr().err
    assert error.startswith("error: the inspector failed (DeviceLostError: ") and error.count("\n") == 1
    assert error.endswith("restart this process); the station ends to be restarted\n")
    assert 1 <= station.summary.failed <= 3
