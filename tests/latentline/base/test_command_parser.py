"""Options stand where people write them, and each program says which version it is."""

from __future__ import annotations

import importlib

import pytest

from latentline.base.command_parser import CommandParser


@pytest.mark.parametrize("line", ["a.yaml --data d runs", "--data d a.yaml runs", "a.yaml runs --data d"])
def test_an_option_may_stand_between_the_places(line: str) -> None:
    """Also where the first place may be left out."""
    parser = CommandParser()
    parser.add_argument("config", nargs="?")
    parser.add_argument("run")
    parser.add_argument("--data")
    assert vars(parser.parse_args(line.split())) == {"config": "a.yaml", "run": "runs", "data": "d"}
    assert vars(parser.parse_args(["runs"])) == {"config": None, "run": "runs", "data": None}


@pytest.mark.parametrize("line", ["", "a b c", "a --nothing"])
def test_a_wrong_line_is_refused_as_usual(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Too few places, too many, an unknown option: exit code 2 and the usage."""
    parser = CommandParser(prog="do")
    parser.add_argument("config", nargs="?")
    parser.add_argument("run")
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(line.split())
    assert ended.value.code == 2 and "usage: do [-h] [config] run" in capsys.readouterr().err


@pytest.mark.parametrize("program", ["trainer", "export", "edge_runtime"])
def test_each_program_says_its_version(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--version needs no command."""
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"{program}.cli").main(["--version"])
    assert not ended.value.code and capsys.readouterr().out.startswith("latentline ")
