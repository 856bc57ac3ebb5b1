from __future__ import annotations

import logging
from pathlib import Path

import pytest

from edge_runtime.commands.request import CommandError, parse_request
from latentline.package.destination import warn_of_name
from latentline.package.package_name import name_fault


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("my-model_2.zip", True),
        ("a" * 100, True),
        ("my model.zip", False),
        ("Pr\u00fcfling.zip", False),
        (".zip", False),
        ("a" * 101, False),
    ],
)
def test_a_name_is_refused_where_a_command_refuses_it(
    name: str, good: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever writes a package is warned of the names that the command `model` does not take, and of no others."""
    assert (name_fault(name) is None) == good
    payload = f'{{"name": "{name}"}}'.encode()
    if good:
        assert parse_request("model", payload)
    else:
        with pytest.raises(CommandError, match="letters"):
            parse_request("model", payload)
    with caplog.at_level(logging.WARNING):
        warn_of_name(tmp_path / name)
    assert len(caplog.messages) == (not good)
