"""The files of docker/, as far as they can be checked without a container runtime."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_runtime.cli import main as edge
from tests.paths import ROOT
from tests.waiting import wait_until

_DOCKER = ROOT / "docker"
_IMAGES = sorted(_DOCKER.glob("*.Dockerfile"))


def _copied(image: Path) -> list[str]:
    """What an image copies from the repository, as paths below its root."""
    lines = [line.split() for line in image.read_text().splitlines() if line.startswith("COPY ")]
    return [source for words in lines if not words[1].startswith("--from") for source in words[1:-1]]


def _sent(path: str) -> bool:
    """Whether .dockerignore lets a file or folder reach the builder; its last line that matches decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if pattern and not pattern.startswith("#") and fnmatch(path, pattern.lstrip("!")):
            sent = pattern.startswith("!")
    return sent


def _compose() -> dict[str, Any]:
    compose: dict[str, Any] = yaml.safe_load((_DOCKER / "compose.yaml").read_text())
    return compose


@pytest.mark.parametrize("image", _IMAGES, ids=lambda image: image.name)
def test_what_an_image_copies_is_there_and_is_sent_to_the_builder(image: Path) -> None:
    """A build fails on a source that does not exist, or that .dockerignore keeps back."""
    sources = _copied(image)
    assert {"latentline", "edge_runtime", "pyproject.toml"} <= set(sources)
    assert [source for source in sources if not (ROOT / source).exists() or not _sent(source)] == []


def test_nothing_else_is_sent_to_the_builder() -> None:
    """Environments, data and runs stay out of the image's context."""
    copied = {source for image in _IMAGES for source in _copied(image)}
    assert {path.name for path in ROOT.iterdir() if _sent(path.name)} <= copied


@pytest.mark.parametrize("image", _IMAGES, ids=lambda image: image.name)
def test_an_image_runs_the_station_without_root(image: Path) -> None:
    """The last USER is a number that is not root's, and the entry point is the station's command."""
    text = image.read_text()
    assert int(re.findall(r"^USER (\d+)$", text, flags=re.MULTILINE)[-1]) > 0
    assert 'ENTRYPOINT ["latentline-edge"]' in text and "/healthz" in text


def test_the_files_that_compose_names_exist() -> None:
    """The Dockerfile, and every file that is mounted from the repository."""
    services = _compose()["services"]
    build = services["station"]["build"]
    assert (_DOCKER / build["context"] / build["dockerfile"]).is_file()
    mounts = [volume.split(":") for service in services.values() for volume in service["volumes"]]
    named = {source for source, *_ in mounts if not source.startswith(".")}
    assert named == set(_compose()["volumes"])
    assert all((_DOCKER / source).is_file() for source, *_ in mounts if source.startswith("."))


def test_the_station_of_compose_is_given_what_its_configuration_names() -> None:
    """Its broker is a service, and its spool lies in a volume: all else is read-only."""
    station = yaml.safe_load((_DOCKER / "station.yaml").read_text())
    service = _compose()["services"]["station"]
    assert service["read_only"] and station["mqtt"]["host"] in _compose()["services"]
    writable = [volume.split(":")[1] for volume in service["volumes"] if not volume.endswith(":ro")]
    assert [str(Path(station["spool"]["path"]).parent)] == writable
    assert f" {station['model']}\n" in (_DOCKER / "station.Dockerfile").read_text().replace(" \\", "")


def test_ports_are_published_on_loopback_only() -> None:
    """The demo's broker has no passwords, and the health pages have none either."""
    ports = [port for service in _compose()["services"].values() for port in service["ports"]]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    """mosquitto with docker/mosquitto.conf, on another port and folder; gives the port."""
    program = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
    if program is None:
        pytest.skip("MOSQUITTO IS MISSING: the MQTT tests did not run; install the package `mosquitto`")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    text = (_DOCKER / "mosquitto.conf").read_text()
    for old, new in (("listener 1883", f"listener {port} 127.0.0.1"), ("/mosquitto/data/", f"{tmp_path}/")):
        assert old in text
        text = text.replace(old, new)
    config = tmp_path / "mosquitto.conf"
    config.write_text(text + "user root\n")  # for tests that run as root; otherwise it is ignored
    process = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(answers, "mosquitto to listen")
    yield port
    process.terminate()
    process.wait(10)


def test_the_station_of_compose_works_with_its_broker(
    broker: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` finds configuration, model, camera and broker well, with the paths and host of this machine."""
    station = yaml.safe_load((_DOCKER / "station.yaml").read_text())
    model = next(path.parent for path in (ROOT / "edge_runtime").rglob("demo/model/manifest.json"))
    station["model"] = str(model)
    station["mqtt"] |= {"host": "127.0.0.1", "port": broker}
    station["spool"]["path"] = str(tmp_path / "spool.sqlite")
    path = tmp_path / "station.yaml"
    path.write_text(yaml.safe_dump(station))
    assert edge(["check", str(path)]) == 0, capsys.readouterr().out
