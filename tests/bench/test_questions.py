"""bench/README.md lists every question, and its commands work."""

import re
import sys
from importlib import import_module

import pytest

from tests.paths import ROOT

README = (ROOT / "bench" / "README.md").read_text(encoding="utf-8")
ROOMS = ("detection", "roofline", "speed", "station")
LISTED = sorted(set(re.findall(r"python -m (bench\.\w+\.\w+)", README)))


def test_the_readme_lists_every_question() -> None:
    """A module of a room that has a command is in the table, and the table has nothing else from these rooms."""
    files = [path for room in ROOMS for path in (ROOT / "bench" / room).glob("*.py")]
    questions = {f"bench.{path.parent.name}.{path.stem}" for path in files if "\ndef main()" in path.read_text()}
    assert questions and questions == {name for name in LISTED if name.split(".")[1] in ROOMS}


@pytest.mark.parametrize("name", [name for name in LISTED if name.split(".")[1] in ROOMS])
def test_a_question_explains_its_command(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--help prints the question and the command by which the module runs."""
    module = import_module(name)
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        module.main()
    printed = capsys.readouterr().out
    assert end.value.code == 0
    assert f"python -m {name}" in printed and (module.__doc__ or "").splitlines()[0] in printed
    assert "?" in (module.__doc__ or "").splitlines()[0]
