"""Files beside the code agree with pyproject.toml."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.paths import ROOT


def _project(key: str) -> str:
    found = re.search(rf'^{key} = "(.+)"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert found is not None
    return found[1]


def _yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def test_citation_and_changelog_have_the_version() -> None:
    """pyproject.toml, the citation and the newest entry of the changelog have one version, and one license."""
    versions = re.findall(r"^## \[(\d[^]]*)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert _yaml("CITATION.cff")["version"] == versions[0] == _project("version")
    assert _yaml("CITATION.cff")["license"] == _project("license")


def test_the_workflow_runs_the_oldest_python_that_is_promised() -> None:
    """The workflow tests the oldest Python that `requires-python` allows, with .ci/run as its only script."""
    job = _yaml(".github/workflows/ci.yml")["jobs"]["run"]
    oldest = min(job["strategy"]["matrix"]["python"], key=lambda version: [int(part) for part in version.split(".")])
    assert _project("requires-python") == f">={oldest}"
    assert job["steps"][-1]["run"] == "bash .ci/run"


@pytest.mark.parametrize("hook", _yaml(".pre-commit-config.yaml")["repos"][0]["hooks"], ids=lambda hook: hook["id"])
def test_a_hook_runs_what_make_check_runs(hook: dict[str, Any]) -> None:
    """A pre-commit hook runs a tool of `make check` from the same environment."""
    tool = " ".join(hook["entry"].split()[0:2]).removeprefix(".venv/bin/")
    assert f"$(BIN)/{tool}" in (ROOT / "Makefile").read_text()
    assert hook["language"] == "system"
