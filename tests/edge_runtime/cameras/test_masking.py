from __future__ import annotations

import io
import json
import logging
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from edge_runtime.cameras.masking import mask_pipeline, mask_source
from edge_runtime.cameras.settings.kinds import CameraSettings
from edge_runtime.supervision.logs import JsonLines, TextLines
from latentline.base.secrets import Secrets
from latentline.base.strict_yaml import StrictModel, parse
from latentline.errors import ConfigError

LEFT, RIGHT = "Left4711", "Right0815"  # of every secret here; what stands between them varies
_ADDRESSES = (
    "rtsp://me:{}@host/1",
    "rtsp://{}@host:554/1?channel=1",
    "rtsp:/me:{}@host/1",
    *(f"http://host/cgi?fps=5&{name}={{}}" for name in ("access_token", "pass", "auth", "api_key", "secret", "x")),
    "http://me:{}@host/cgi?auth=1#part",
    "rtsp://host:554/user=me&password={}&channel=1&stream=0.sdp?real_stream",
    "rtmp://host/live pubUser=me pubPasswd={}",
    "srt://host:9000?passphrase={}&mode=caller",
)
_PIPELINES = (
    "rtspsrc location=rtsp://h/1 user-id=me user-pw={} ! decodebin ! appsink",
    "rtspsrc latency=0 location={} ! decodebin ! appsink",
    "souphttpsrc location=http://h access_token={} ! appsink",
    "awss3src secret-access-key={} uri=s3://eu/a/b ! decodebin ! appsink",
)


class _Cameras(StrictModel):
    cameras: tuple[CameraSettings, ...] = Field(min_length=1)


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _addresses(password: str) -> list[str]:
    return [template.format(password) for template in _ADDRESSES]


def _pipelines(password: str) -> list[str]:
    texts = [password, f"rtsp://me:{password}@h/1?a=b", f"http://h/1?auth={password}"]
    return [_PIPELINES[1].format(_quoted(text)) for text in texts[1:]] + [
        template.format(_quoted(password)) for template in _PIPELINES if template != _PIPELINES[1]
    ]


def _representations(kind: str, source: str, password: str) -> list[str]:
    """Everything in which a source may be named: settings, errors of the file, and both kinds of log."""
    (camera,) = parse({"cameras": [{"kind": kind, "source": source}]}, _Cameras, "-").cameras
    texts = [camera.shown, repr(camera), str(camera)]
    wrongs: list[dict[str, Any]] = [{"fps": source}, {"source": [source]}, {"kind": "folder"}, {"stall_seconds": -1}]
    for wrong in [*wrongs, *([{"id": source}] if kind == "stream" and "://" in source else [])]:
        try:
            parse({"cameras": [{"kind": kind, "source": source} | wrong]}, _Cameras, "-")
        except ConfigError as fault:
            texts.append(str(fault))
    error = RuntimeError(f"cannot open {source!r}: {source} {password!r} {json.dumps(source)}")
    record = logging.LogRecord("a", logging.ERROR, "f.py", 1, "%s %s", (error, [source]), (type(error), error, None))
    record.extra = source
    texts += [lines("line-1", [*camera.secrets]).format(record) for lines in (TextLines, JsonLines)]
    return [*texts, Secrets(camera.secrets).hide(str(error))]


@pytest.mark.parametrize("character", [*string.printable, "é", "漢", "\u2028", "\U0001f512", "%40", "%22%27"])
def test_no_character_lets_a_secret_out(character: str) -> None:
    """Whatever character a password or token holds, neither half of it is in any text that names the source."""
    password = f"{LEFT}{character}{RIGHT}"
    sources = [("stream", source) for source in _addresses(password)]
    sources += [("pipeline", source) for source in _pipelines(password)]
    for kind, source in sources:
        for text in _representations(kind, source, password):
            assert LEFT not in text and RIGHT not in text, (source, text)


@pytest.mark.parametrize(("mask", "sources"), [(mask_source, _addresses), (mask_pipeline, _pipelines)])
@given(between=st.text(min_size=0, max_size=12))
def test_no_text_lets_a_secret_out(
    mask: Callable[[str], str], sources: Callable[[str], list[str]], between: str
) -> None:
    """Whatever text stands in a password, neither end of it is in what is shown of the source."""
    password = f"{LEFT}{between}{RIGHT}"
    for source in sources(password):
        shown = mask(source)
        assert LEFT not in shown and RIGHT not in shown, shown


@given(st.text(st.characters(exclude_categories=["C"]), max_size=30))
def test_masking_takes_any_text(text: str) -> None:
    """Text that is no address and no pipeline raises nothing, and masking it again changes nothing."""
    for mask in (mask_source, mask_pipeline):
        assert isinstance(mask(text), str)


def test_known_secrets_are_hidden_in_every_form() -> None:
    """A known secret is hidden as it stands, quoted, escaped and decoded; what is not a secret stays."""
    hide = Secrets(["pa'ss \"wörd", "a%20b%27c"]).hide
    stream = io.StringIO()
    forms: list[Any] = ["pa'ss \"wörd", ["pa'ss \"wörd"], "pa%27ss%20%22w%C3%B6rd", "pa%27ss+%22w%C3%B6rd", "a b'c"]
    for form in forms:
        print(form, json.dumps(form), json.dumps(form, ensure_ascii=False), file=stream)
    assert set(hide(stream.getvalue())) <= set("*[]'\" \n")
    assert hide("camera top is stalled: no usable frame") == "camera top is stalled: no usable frame"
