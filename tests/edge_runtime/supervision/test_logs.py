from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.supervision.logs import JsonLines, RepeatFilter, TextLines, configure_log
from edge_runtime.supervision.settings import LogSection
from latentline.errors import ConfigError, run_command
from latentline.printable import PrintableFormatter


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, restored after the test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def _record(message: str, *args: object, line: int = 1) -> logging.LogRecord:
    return logging.LogRecord("a.b", logging.WARNING, "file.py", line, message, args, None)


def test_json_lines(root: logging.Logger) -> None:
    """Each record is one JSON object with time, level, logger, message, station and its extras."""
    stream = io.StringIO()
    configure_log(LogSection(format="json"), "line-1", stream=stream)
    log = logging.getLogger("edge_runtime.test")
    log.warning("camera %s\nhangs", "top", extra={"code": "camera.top", "seconds": float("nan")})
    log.debug("not written")
    try:
        raise OSError("broken")
    except OSError:
        log.exception("it failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "warning",
        "logger": "edge_runtime.test",
        "message": "camera top\nhangs",
        "station": "line-1",
        "code": "camera.top",
        "seconds": "nan",
    }
    assert second["level"] == "error"
    assert "OSError: broken" in second["traceback"]


@pytest.mark.parametrize("section", [LogSection(), LogSection(format="json")])
def test_no_secret_in_the_log(root: logging.Logger, section: LogSection) -> None:
    """The broker's password and the credentials of a camera are masked in messages, extras and tracebacks."""
    stream = io.StringIO()
    configure_log(section, "line-1", secrets=["hush-hush", ""], stream=stream)
    try:
        raise OSError("rtsp://me:pass-word@host/1 with hush-hush")
    except OSError:
        logging.getLogger("x").exception(
            "rtsp://me:pass-word@host/1 hush-hush", extra={"source": "http://u:pass-word@h"}
        )
    text = stream.getvalue()
    assert "pass-word" not in text
    assert "hush" not in text
    assert "rtsp://***@host/1" in text


@pytest.mark.parametrize("section", [LogSection(), LogSection(format="json")])
def test_a_file_name_cannot_forge_a_line(root: logging.Logger, section: LogSection) -> None:
    """Line ends of every kind, escape sequences and directions in a message or traceback are escaped."""
    stream = io.StringIO()
    configure_log(section, "line-1", stream=stream)
    name = "a\n2026 ERROR forged\r\x0b\x0c\x1c\x85\u2028\u2029\x1b[2J\x9b31m\u202e\x00.png"
    try:
        raise OSError(name)
    except OSError:
        logging.getLogger("x").exception("%s is skipped", name)
    text = stream.getvalue()
    assert not [line for line in text.splitlines() if line.startswith("2026 ERROR")]
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "\\n2026 ERROR forged" in text and len(text.splitlines()) == text.count("\n")


def test_every_command_line_escapes_its_log(capsys: pytest.CaptureFixture[str]) -> None:
    """So do the logs of the programs, and their last sentence."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(levelname)s %(message)s"))
    handler.handle(_record("%s is skipped", "a\n\x1b[2J.png"))

    def fail() -> int:
        raise ConfigError("b\n\x1b[2J.yaml: cannot be read")

    assert run_command(fail) == 2
    assert capsys.readouterr().err.splitlines() == [
        "WARNING a\\n\\x1b[2J.png is skipped",
        "error: b\\n\\x1b[2J.yaml: cannot be read",
    ]


def test_configured_again_replaces_the_first(root: logging.Logger) -> None:
    """After a reload each record is written once, in the new format, at the new level."""
    first, second = io.StringIO(), io.StringIO()
    configure_log(LogSection(), "a", stream=first)
    configure_log(LogSection(level="error"), "a", stream=second)
    logging.getLogger("x").warning("no")
    logging.getLogger("x").error("yes")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1


def test_repeats_are_left_out_and_counted() -> None:
    """A line of code logs 20 records in a row, then one in 10 s, with the number of those left out."""
    now = [0.0]
    repeats = RepeatFilter(10.0, lambda: now[0])
    assert [repeats.filter(_record("a %s", number)) for number in range(25)] == [True] * 20 + [False] * 5
    assert repeats.filter(_record("other", line=2))
    now[0] = 9.0
    assert not repeats.filter(_record("a"))
    now[0] = 10.0
    record = _record("a 26")
    assert repeats.filter(record)
    assert "a 26 (and 6 more like it)" in TextLines("s", ()).format(record)


@given(st.text(), st.dictionaries(st.from_regex(r"[a-z]{3,8}x", fullmatch=True), st.text() | st.floats() | st.none()))
def test_one_record_is_one_line(message: str, extras: dict[str, object]) -> None:
    """Any message is one line as text and as JSON, and the JSON is valid."""
    record = _record("%s", message)
    vars(record).update(extras)
    line = JsonLines("s", ()).format(record)
    assert "\n" not in line
    assert json.loads(line, parse_constant=pytest.fail)["level"] == "warning"
    text = TextLines("s", ()).format(record)
    assert "\n" not in text
    assert "\r" not in text
