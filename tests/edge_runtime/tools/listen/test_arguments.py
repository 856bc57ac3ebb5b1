from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import yaml

from edge_runtime.tools.listen.arguments import ListenOptions, add_arguments, listen_options
from latentline.errors import ConfigError
from tests.edge_runtime.fakes import station_data


def _options(*arguments: str) -> ListenOptions:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return listen_options(parser.parse_args(arguments))


def test_options_and_the_yaml_agree(tmp_path: Path) -> None:
    """The YAML names broker and station; options override it; another user does not get the station's password."""
    (tmp_path / "password").write_text("secret\n")
    data = station_data(
        tmp_path, 1234, username="line-1", password_file="password", root="plant/a", tls={"ca": "ca.pem"}
    )
    (tmp_path / "station.yaml").write_text(yaml.safe_dump(data))
    options = _options(str(tmp_path / "station.yaml"))
    assert (options.broker.port, options.broker.username, options.broker.password) == (1234, "line-1", "secret")
    assert options.broker.client_id != "latentline-line-1" and options.broker.clean_start
    assert options.filters["plant/a/line-1/v1/cam/+/defect"] == 1 and "secret" not in repr(options)
    options = _options("--tls", "--username", "tiler", "--port", "99", "--station", "+", str(tmp_path / "station.yaml"))
    assert options.broker.tls is not None and options.broker.tls.ca == tmp_path / "ca.pem"
    assert (options.broker.port, options.broker.username, options.broker.password) == (99, "tiler", None)
    assert "plant/a/+/v1/status" in options.filters
    options = _options("--ca", "ca.pem", "--session", "office")
    assert (options.broker.port, options.broker.client_id) == (8883, "latentline-listen-office")
    assert not options.broker.clean_start and options.broker.tls is not None and options.broker.tls.ca == Path("ca.pem")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--port", "0"), "'port'"),
        (("--station", "a/b"), "'station'"),
        (("--station", "#"), "'station'"),
        (("--session", "a b"), "'session'"),
        (("--seconds", "0"), "'seconds'"),
        (("--seconds", "nan"), "'seconds'"),
        (("--root", "#"), "'root'"),
        (("--certificate", "c.pem"), "together"),
        (("--password-file", "p"), "username"),
        (("--username", "u", "--password-file", "/nowhere/p"), "/nowhere/p"),
        (("/nowhere/station.yaml",), "/nowhere/station.yaml"),
    ],
)
def test_a_wrong_option_is_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    """A wrong option is a ConfigError that names it."""
    with pytest.raises(ConfigError, match=sentence):
        _options(*arguments)
