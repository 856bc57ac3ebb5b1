from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_runtime.config import StationConfig, load_station
from edge_runtime.mqtt.settings import read_password
from edge_runtime.station.configured import broker_of
from latentline.base.strict_yaml import parse
from latentline.errors import ConfigError
from tests.edge_runtime.fakes import station_data
from tests.paths import ROOT


def _changed(tmp_path: Path, **sections: dict[str, Any]) -> dict[str, Any]:
    data = station_data(tmp_path, 1883)
    if camera := sections.pop("camera", None):
        data["cameras"] = [{"id": "top", "kind": "folder", "source": "pictures", **camera}]
    for name, values in sections.items():
        data[name] = {**data.get(name, {}), **values}
    return data


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "station").glob("*.yaml")), ids=lambda path: path.name)
def test_ready_configuration_loads(path: Path) -> None:
    """Every file that a user is told to copy is valid, and its relative paths start at the file."""
    config = load_station(path)
    assert config.model.is_absolute()


def test_typo_names_the_nearest_key(tmp_path: Path) -> None:
    """A misspelt key is refused with the file, the place and the key that was meant."""
    file = tmp_path / "station.yaml"
    file.write_text(yaml.safe_dump(_changed(tmp_path, mqtt={"keepalive": 5})))
    with pytest.raises(ConfigError, match=r"station.yaml: unknown key 'mqtt.keepalive'; did you mean 'keep_alive'\?"):
        load_station(file)


@pytest.mark.parametrize(
    ("section", "values", "blamed"),
    [
        ("station", {"id": "line/1"}, "station.id"),
        ("station", {"id": "+"}, "station.id"),
        ("camera", {"kind": "device"}, "cameras.0.source"),
        ("camera", {"kind": "stream", "source": 3}, "cameras.0.source"),
        ("camera", {"source": "http://host/pictures"}, "cameras.0.source"),
        ("camera", {"kind": "stream", "source": "a.mp4", "watch": True}, "cameras.0.watch"),
        ("camera", {"width": 640}, "cameras.0.width"),
        ("camera", {"reopen_seconds": 5.0, "reopen_max_seconds": 1.0}, "cameras.0.reopen_max_seconds"),
        ("mqtt", {"root": "$SYS"}, "mqtt.root"),
        ("mqtt", {"root": "a/#"}, "mqtt.root"),
        ("mqtt", {"password_file": "p"}, "mqtt.password_file"),
        ("mqtt", {"username": "u", "password_file": "p", "password_env": "P"}, "mqtt.password_env"),
        ("mqtt", {"tls": {"certificate": "c.pem"}}, "mqtt.tls.key"),
        ("mqtt", {"tls": {"key_password_env": "P"}}, "mqtt.tls.key_password_env"),
        ("mqtt", {"reconnect_max_seconds": 0}, "mqtt.reconnect_max_seconds"),
        ("spool", {"max_events": 0}, "spool.max_events"),
    ],
)
def test_wrong_value_blames_its_option(tmp_path: Path, section: str, values: dict[str, Any], blamed: str) -> None:
    """A value that cannot be, alone or beside another, is refused under its own name."""
    with pytest.raises(ConfigError, match=f"'{blamed}'"):
        parse(_changed(tmp_path, **{section: values}), StationConfig, "station.yaml")


@pytest.mark.parametrize(
    ("section", "values", "said"),
    [
        (
            "station",
            {"id": "line 1"},
            "'station.id': expected 1 to 64 letters from A to Z, digits, _ . or -, without blanks",
        ),
        ("station", {"id": "line-1\n"}, "'station.id': expected 1 to 64 letters"),
        ("camera", {"id": "oben/1"}, "'cameras.0.id': expected 1 to 64 letters"),
        ("camera", {"kind": "device", "source": "video0"}, "expected a device's number or path, as /dev/video0"),
        ("mqtt", {"root": "werk 1"}, "'mqtt.root': expected levels of letters from A to Z"),
    ],
)
def test_characters_that_a_name_may_not_have_are_named_in_words(
    tmp_path: Path, section: str, values: dict[str, Any], said: str
) -> None:
    """What a name may hold is said in words; nobody has to read a regular expression."""
    with pytest.raises(ConfigError) as raised:
        parse(_changed(tmp_path, **{section: values}), StationConfig, "station.yaml")
    assert said in str(raised.value)
    assert "pattern" not in str(raised.value)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("mqtt://broker", r"without a scheme; the port is mqtt\.port"),
        ("mqtts://user:hush-hush@broker:8883", r"without a scheme; .* \(got 'mqtts://\*\*\*@broker:8883'\)"),
        ("ws://broker/mqtt", "websockets are not supported"),
        ("broker:1884", r"mqtt\.host: broker, mqtt\.port: 1884"),
        ("192.0.2.1:1884", r"mqtt\.host: 192\.0\.2\.1, mqtt\.port: 1884"),
        ("a..b", "a part between its dots is empty or too long"),
        (f"{'a' * 64}.example", "empty or too long"),
        (".example", "empty"),
        ("my broker", "no name of a host"),
        ("broker/", "no name of a host"),
        ("-a", "no name of a host"),
    ],
)
def test_a_host_that_is_none_says_what_to_write(tmp_path: Path, host: str, said: str) -> None:
    """A scheme, a port, an empty part: the sentence names the cause, shows no password, and nothing is connected."""
    with pytest.raises(ConfigError, match=f"'mqtt.host': .*{said}") as refused:
        parse(_changed(tmp_path, mqtt={"host": host}), StationConfig, "station.yaml")
    assert "hush" not in str(refused.value)
    if "://" not in host and ":" not in host:
        with pytest.raises(ConfigError, match=r"'supervision\.http_host'"):
            parse(_changed(tmp_path, supervision={"http_host": host}), StationConfig, "station.yaml")


@pytest.mark.parametrize(
    "host", ["broker", "broker.plant.example.", "192.0.2.1", "::1", "fe80::1%eth0", "bröker.example", "my_broker", "1a"]
)
def test_a_host_that_is_one_is_taken(tmp_path: Path, host: str) -> None:
    """Names, also international ones and with an underscore, and addresses of both kinds."""
    assert parse(_changed(tmp_path, mqtt={"host": host}), StationConfig, "-").mqtt.host == host


def test_a_home_that_nobody_has_is_a_config_error(tmp_path: Path) -> None:
    """In the model's path and in that of a film."""
    for data in (
        {**_changed(tmp_path), "model": "~nosuchuser/model.zip"},
        _changed(tmp_path, camera={"kind": "stream", "source": "~nosuchuser/a.mp4"}),
    ):
        (tmp_path / "station.yaml").write_text(yaml.safe_dump(data))
        with pytest.raises(ConfigError, match=r"~nosuchuser/.* there is no user"):
            load_station(tmp_path / "station.yaml")


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    """Paths mean the same wherever the command is started."""
    data = _changed(tmp_path, mqtt={"username": "u", "password_file": "secret", "tls": {"ca": "ca.pem"}})
    data.update(model="model.zip", spool={"path": "s.sqlite"}, gpu={"cache": "engines"}, commands={"models": "models"})
    data["cameras"][0]["source"] = "pictures"
    file = tmp_path / "station.yaml"
    file.write_text(yaml.safe_dump(data))
    config = load_station(file)
    assert getattr(config.cameras[0], "source", None) == tmp_path / "pictures"
    assert config.mqtt.tls is not None
    paths = [config.model, config.spool.path, config.mqtt.password_file, config.mqtt.tls.ca]
    paths += [config.gpu.cache, config.commands.models]
    names = ("model.zip", "s.sqlite", "secret", "ca.pem", "engines", "models")
    assert paths == [tmp_path / name for name in names] and config.mqtt.tls.key is None


def test_camera_password_is_masked_in_errors(tmp_path: Path) -> None:
    """The credentials of a camera's address stay out of the message about it."""
    values = {"kind": "folder", "source": "rtsp://me:secret/x@host/1"}
    with pytest.raises(ConfigError) as caught:
        parse(_changed(tmp_path, camera=values), StationConfig, "station.yaml")
    assert "secret" not in str(caught.value)
    assert "rtsp://***@host/1" in str(caught.value)


def test_password_comes_from_file_or_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password is read without its line end, and never shows in a repr."""
    (tmp_path / "secret").write_text("hush\n")
    values = {"username": "u", "password_file": str(tmp_path / "secret")}
    config = parse(_changed(tmp_path, mqtt=values), StationConfig, "-")
    broker = broker_of(config)
    assert broker.password == "hush"
    assert "hush" not in repr(broker) + repr(config)
    monkeypatch.setenv("STATION_PASSWORD", "quiet")
    config = parse(_changed(tmp_path, mqtt={"username": "u", "password_env": "STATION_PASSWORD"}), StationConfig, "-")
    assert read_password(config.mqtt) == "quiet"


@pytest.mark.parametrize("values", [{"password_file": "/nowhere/secret"}, {"password_env": "NOT_SET_ANYWHERE"}])
def test_missing_password_is_a_config_error(tmp_path: Path, values: dict[str, str]) -> None:
    """A password that cannot be read is an error before anything connects, under the option that names it."""
    config = parse(_changed(tmp_path, mqtt={"username": "u", **values}), StationConfig, "-")
    with pytest.raises(ConfigError, match=rf"mqtt\.{next(iter(values))}"):
        read_password(config.mqtt)


def test_what_mqtt_cannot_send_is_a_config_error(tmp_path: Path) -> None:
    """A user's name or password that is too long is refused before anything connects."""
    with pytest.raises(ConfigError, match=r"mqtt\.username.* 1024 characters"):
        parse(_changed(tmp_path, mqtt={"username": "u" * 1025}), StationConfig, "-")
    (tmp_path / "secret").write_text("x" * 65536)
    long = {"username": "u", "password_file": str(tmp_path / "secret")}
    with pytest.raises(ConfigError, match=r"mqtt\.password has 65536 bytes"):
        read_password(parse(_changed(tmp_path, mqtt=long), StationConfig, "-").mqtt)


@pytest.mark.parametrize(
    ("camera", "lossless", "live"),
    [
        ({"kind": "folder", "source": "x"}, True, False),
        ({"kind": "folder", "source": "x", "watch": True}, True, True),
        ({"kind": "stream", "source": "x.mp4"}, True, False),
        ({"kind": "stream", "source": "rtsp://host/1"}, False, True),
        ({"kind": "device", "source": 0}, False, True),
        ({"kind": "device", "source": 0, "every_frame": True}, True, True),
    ],
)
def test_default_of_every_frame(tmp_path: Path, camera: dict[str, Any], lossless: bool, live: bool) -> None:
    """Files keep every frame, live sources give their newest, unless the file says otherwise."""
    section = parse({**_changed(tmp_path), "cameras": [camera]}, StationConfig, "-").cameras[0]
    assert (section.lossless, section.live) == (lossless, live)


def _written(tmp_path: Path, data: dict[str, Any]) -> Path:
    (tmp_path / "station.yaml").write_text(yaml.safe_dump(data))
    return tmp_path / "station.yaml"


def test_two_cameras_do_not_read_one_folder(tmp_path: Path) -> None:
    """Each would take some of the other's pictures, or all would be inspected twice; other ways to write it count."""
    data = station_data(tmp_path, 1883)
    first = data["cameras"][0]
    for source in (first["source"], "pictures", f"{tmp_path}/x/../pictures/"):
        with pytest.raises(ConfigError, match="'cameras': top and side read one folder"):
            load_station(_written(tmp_path, {**data, "cameras": [first, {**first, "id": "side", "source": source}]}))
    load_station(_written(tmp_path, {**data, "cameras": [first, {**first, "id": "side", "source": "others"}]}))


@pytest.mark.parametrize(
    ("page", "pages", "clash"),
    [("127.0.0.1", "127.0.0.1", True), ("127.0.0.1", "0.0.0.0", True), ("127.0.0.1", "192.0.2.1", False)],
)
def test_the_operator_page_has_a_port_of_its_own(tmp_path: Path, page: str, pages: str, clash: bool) -> None:
    """Metrics on the same port and address would keep one of the two from ever answering."""
    data = {**station_data(tmp_path, 1883), "page": {"host": page, "port": 9464}}
    file = _written(tmp_path, {**data, "supervision": {"http_host": pages, "http_port": 9464}})
    if clash:
        with pytest.raises(ConfigError, match=r"'page\.port': supervision\.http_port is 9464, too"):
            load_station(file)
    else:
        load_station(file)
