from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_runtime.commands.settings import CommandsSection
from latentline.base.strict_yaml import parse
from latentline.errors import ConfigError


def test_nothing_is_enabled_unless_named() -> None:
    """An empty section allows no verb."""
    assert CommandsSection().verbs == ()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"verbs": ["reboot"]}, "verbs"),
        ({"verbs": ["pause", "pause"]}, "named once"),
        ({"verbs": ["threshold"]}, "needs commands.threshold"),
        ({"verbs": ["model"]}, "needs commands.models"),
        ({"verbs": ["revert"]}, "needs commands.models"),
        ({"verbs": ["fetch"], "models": "m"}, "needs commands.fetch"),
        ({"fetch": {"source": "packages"}}, "neither a folder with its whole path nor an address"),
        ({"fetch": {"source": "ftp://host/"}}, "neither a folder with its whole path nor an address"),
        ({"fetch": {"source": "https://host/packages"}}, "ends with /"),
        ({"fetch": {"source": "https://user:secret@host/"}}, "without user"),
        ({"fetch": {"source": "http://host/"}}, "use https"),
        ({"fetch": {"source": "https://host/line 1/"}}, "%20"),
        ({"fetch": {"source": "https://host:port/"}}, "is no address"),
        ({"verbs": ["threshold"], "threshold": {"minimum": 3, "maximum": 2}}, "below commands.threshold.minimum"),
        ({"verbs": ["threshold"], "threshold": {"minimum": float("nan"), "maximum": 2}}, "minimum"),
        ({"max_per_minute": 0}, "max_per_minute"),
        ({"verb": ["pause"]}, "did you mean 'verbs'"),
    ],
)
def test_wrong_sections_are_refused(data: dict[str, Any], sentence: str) -> None:
    """The error names the key that is wrong."""
    with pytest.raises(ConfigError, match=sentence):
        parse(data, CommandsSection, "station.yaml")


@pytest.mark.parametrize("source", ["/mnt/packages", "https://host/a/", "http://localhost:80/", "http://127.0.0.1/"])
def test_places_of_packages(source: str) -> None:
    """A folder, an address with TLS, or this machine without."""
    parse({"fetch": {"source": source}, "models": "m", "verbs": ["fetch"]}, CommandsSection, "station.yaml")


def test_folder_of_models_starts_at_the_base(tmp_path: Path) -> None:
    """A relative folder is taken from the base, an absolute one stays."""
    section = parse({"models": "models", "verbs": ["model"]}, CommandsSection, "station.yaml")
    assert section.resolve_paths(tmp_path).models == tmp_path / "models"
    assert CommandsSection(models=Path("/m")).resolve_paths(tmp_path).models == Path("/m")
    assert CommandsSection().resolve_paths(tmp_path).models is None
