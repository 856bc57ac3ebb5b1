"""A station without hardware: camera -> station -> broker -> subscriber, compared with the ground truth."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

from edge_runtime.cameras.base import Frame
from edge_runtime.config import StationConfig
from edge_runtime.station.station import Station
from edge_runtime.tools.demo.broker import embedded_broker
from edge_runtime.tools.demo.camera import PanningCamera
from edge_runtime.tools.demo.page import paged, welcome
from edge_runtime.tools.demo.subscriber import DemoSubscriber, EventPayload
from edge_runtime.tools.demo.summary import DemoSummary, Observation, compare, summarise
from latentline.base.atomic import write_text
from latentline.base.signals import stop_on_signals
from latentline.base.strict_yaml import parse
from latentline.errors import ConfigError
from latentline.inspection.panels import save_panel
from latentline.inspection.result import InspectionResult
from latentline.model import Model, open_model

MODEL = Path(__file__).parent / "model"
PICTURES = 12
DELIVERY_SECONDS = 10.0


def run_demo(seconds: float, seed: int, broker: str | None, output: Path, page: bool = False) -> int:
    """Inspect for `seconds` and write summary.json and pictures into `output`.

    broker  HOST or HOST:PORT of a running broker; None: an embedded one
    page    with the operator page, and an archive in `output`
    Returns 0 when every event arrived, else 1. Raises ConfigError for a wrong option.
    """
    if not 0 < seconds <= 3600:
        raise ConfigError(f"--seconds {seconds:g}: give a time between 0 and 3600 seconds")
    output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        host, port = _address(broker) if broker else ("127.0.0.1", stack.enter_context(embedded_broker()))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = _config(host, port, folder, paged(output, folder) if page else {})
        print(f"loading the demo model … ({MODEL.name}: a brick wall, 64 px tiles)", flush=True)
        inspector = stack.enter_context(open_model(MODEL, "auto"))
        print(f"station '{config.station.id}' → MQTT broker {host}:{port} → subscriber; {seconds:g} s\n", flush=True)
        if config.page is not None:
            print(welcome(config.page, config.spool.path), flush=True)
        subscriber = DemoSubscriber(host, port, f"{config.mqtt.root}/{config.station.id}/v1", _print_event)
        subscriber.start()
        stack.callback(subscriber.stop)
        summary = _inspect(config, inspector, subscriber, PanningCamera("simulated", seconds, seed), output)
    print("\n" + "\n".join(summary.lines()))
    write_text(output / "summary.json", summary.to_json())
    print(f"pictures              {output.resolve()}")
    return 0 if summary.events_received == summary.events_published else 1


def _inspect(
    config: StationConfig, inspector: Model, subscriber: DemoSubscriber, camera: PanningCamera, output: Path
) -> DemoSummary:
    observations: list[Observation] = []
    saved: dict[bool, int] = {True: 0, False: 0}

    def observe(frame: Frame, inspection: InspectionResult) -> None:
        truth = camera.truths.pop(frame.number)
        observations.append(compare(inspection, truth))
        if saved[inspection.is_abnormal] < PICTURES // 2:
            saved[inspection.is_abnormal] += 1
            verdict = "abnormal" if inspection.is_abnormal else "normal"
            name = output / f"{verdict}-{saved[inspection.is_abnormal]}.png"
            save_panel(name, frame.picture, inspection, truth.mask)

    station = Station(config, inspector, cameras={"simulated": lambda: camera}, observer=observe)
    start = perf_counter()
    with stop_on_signals(station.stop):
        published = station.run().events
    elapsed = perf_counter() - start
    subscriber.wait_for(published, DELIVERY_SECONDS)
    return summarise(observations, elapsed, inspector.package.manifest, published, len(subscriber.events))


def _print_event(event: EventPayload) -> None:
    for defect in event["defects"]:
        x, y, width, height = defect["bbox"]
        print(
            f"  {event['captured_at'][11:23]}  defect at x {x:3} y {y:3}, {width:3} x {height:3} px, "
            f"peak {defect['peak']:5.1f} σ   score {event['score']:6.2f} > {event['threshold']:.2f}",
            flush=True,
        )


def _config(host: str, port: int, folder: Path, more: Mapping[str, Any]) -> StationConfig:
    return parse(
        {
            "station": {"id": f"demo-{folder.name[-8:]}"},
            "model": str(MODEL),
            "cameras": [{"id": "simulated", "kind": "simulator", "frames": 1, "every_frame": True}],
            "mqtt": {"host": host, "port": port},
            "spool": {"path": str(folder / "spool.sqlite")},
            "supervision": {"http_port": None},
            "drift": None,  # the share of painted frames is far above that of a real line
            **more,
        },
        StationConfig,
        "the demo's station",
    )


def _address(broker: str) -> tuple[str, int]:
    host, _, port = broker.partition(":")
    if not host or (port and not port.isdigit()):
        raise ConfigError(f"--broker {broker}: give HOST or HOST:PORT")
    return host, int(port or 1883)
