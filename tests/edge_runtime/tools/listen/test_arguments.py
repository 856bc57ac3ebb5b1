from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import yaml

from edge_runtime.tools.listen.arguments import Order, add_arguments, order_of
from latentline.errors import ConfigError
from tests.edge_runtime.fakes import station_data


def _order(*arguments: str) -> Order:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return order_of(parser.parse_args(arguments))


def test_options_and_the_yaml_agree(tmp_path: Path) -> None:
    """A station's YAML says whom to ask; options win; another user does not get the station's password."""
    (tmp_path / "password").write_text("secret\n")
    data = station_data(
        tmp_path, 1234, username="line-1", password_file="password", root="plant/a", tls={"ca": "ca.pem"}
    )
    (tmp_path / "station.yaml").write_text(yaml.safe_dump(data))
    order = _order(str(tmp_path / "station.yaml"))
    assert (order.broker.port, order.broker.username, order.broker.password) == (1234, "line-1", "secret")
    assert order.broker.client_id != "latentline-line-1" and order.broker.clean_start
    assert order.filters["plant/a/line-1/v1/cam/+/defect"] == 1 and "secret" not in repr(order)
    order = _order("--tls", "--username", "tiler", "--port", "99", "--station", "+", str(tmp_path / "station.yaml"))
    assert order.broker.tls is not None and order.broker.tls.ca == tmp_path / "ca.pem"
    assert (order.broker.port, order.broker.username, order.broker.password) == (99, "tiler", None)
    assert "plant/a/+/v1/status" in order.filters
    order = _order("--ca", "ca.pem", "--session", "office")
    assert (order.broker.port, order.broker.client_id) == (8883, "latentline-listen-office")
    assert not order.broker.clean_start and order.broker.tls is not None and order.broker.tls.ca == Path("ca.pem")


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
    """Each is a ConfigError that names what is wrong."""
    with pytest.raises(ConfigError, match=sentence):
        _order(*arguments)
