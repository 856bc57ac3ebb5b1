from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from edge_runtime.config import StationConfig, load_station
from tests.paths import ROOT

PAGE = (ROOT / "docs" / "station.md").read_text()


def _rendered(node: ast.expr, names: dict[str, str]) -> str | None:
    """The string of an expression, with `*` for parts known only at run time; None for other expressions."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.JoinedStr):
        values = [value.value if isinstance(value, ast.FormattedValue) else value for value in node.values]
        return "".join(_rendered(value, names) or "*" for value in values)
    return None


def _codes_in(tree: ast.AST) -> Iterator[str]:
    """The codes passed to functions named …fault, directly or through an attribute `code` or a dictionary."""
    names: dict[str, str] = {}
    for assigned in (node for node in ast.walk(tree) if isinstance(node, ast.Assign)):
        text = _rendered(assigned.value, names)
        for target in assigned.targets:
            if isinstance(target, ast.Name) and text is not None:
                names[target.id] = text
            elif isinstance(target, ast.Attribute) and target.attr == "code" and text is not None:
                yield text
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            code = _rendered(node.args[0], names)
            if called.split("_")[-1] == "fault" and code is not None:
                yield code
            if called == "stage" and code is not None:
                yield f"watchdog.{code}"
            if called == "warn" and code is not None:
                yield f"camera.*.{code}"
        if isinstance(node, ast.FunctionDef) and node.name == "warnings":  # of a camera
            returned = [one.value for one in ast.walk(node) if isinstance(one, ast.Return)]
            kinds = [_rendered(key, names) for one in returned if isinstance(one, ast.Dict) for key in one.keys if key]
            yield from (f"camera.*.{kind}" for kind in kinds)
        if isinstance(node, ast.For) and isinstance(node.target, ast.Tuple):  # for code, sentence in ((…), …): fault(…)
            yield from _codes_of_pairs(node, names)
        if isinstance(node, ast.Dict):  # {code: sentence, …}, as the cameras keep it
            rendered = [_rendered(key, names) for key in node.keys if key is not None]
            yield from (key for key in rendered if key and key.startswith("camera.*"))


def _codes_of_pairs(loop: ast.For, names: dict[str, str]) -> Iterator[str]:
    called = {getattr(n.func, "attr", getattr(n.func, "id", "")) for n in ast.walk(loop) if isinstance(n, ast.Call)}
    if isinstance(loop.iter, ast.Tuple) and any(name.split("_")[-1] == "fault" for name in called):
        for pair in loop.iter.elts:
            if isinstance(pair, ast.Tuple) and (code := _rendered(pair.elts[0], names)):
                yield code


def test_every_fault_is_explained() -> None:
    """The codes in the page's table are exactly those that the code reports."""
    files = (ROOT / "edge_runtime").rglob("*.py")
    reported = {code for path in files for code in _codes_in(ast.parse(path.read_text()))}
    reported -= {"watchdog.*"}  # the family, of which `stage` names the members
    rows = re.findall(r"^\| `([a-zA-Z_.]+)` \| .+ \| .+ \|$", PAGE, re.MULTILINE)
    documented = {row.replace("ID", "*") for row in rows}
    assert documented == reported and len(documented) == len(rows)


def test_the_example_is_a_station(tmp_path: Path) -> None:
    """The page's YAML loads and has every section."""
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "station.yaml").write_text(text)
    config = load_station(tmp_path / "station.yaml")
    assert [camera.id for camera in config.cameras] == ["top", "side"]
    assert set(yaml.safe_load(text)) == set(StationConfig.model_fields)


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "configs" / "station").glob("*.yaml")))
def test_a_ready_file_is_a_station(name: str) -> None:
    """Each file in configs/station loads."""
    assert load_station(ROOT / "configs" / "station" / name).cameras


@pytest.mark.parametrize("name", ["station.md", "mqtt.md"])
def test_links_lead_somewhere(name: str) -> None:
    """Each relative link of the page leads to a file that exists, and to a heading in it."""
    for link in re.findall(r"\]\(([^)]+)\)", (ROOT / "docs" / name).read_text()):
        file, _, anchor = link.partition("#")
        target = ROOT / "docs" / (file or name)
        assert "://" in link or target.exists(), f"{name}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{name}: {link}"
