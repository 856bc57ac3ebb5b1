"""Which latentline this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def software_version() -> str:
    """Version of the installed distribution; "0+source" when it runs from a folder that is not installed."""
    try:
        return version("latentline")
    except PackageNotFoundError:
        return "0+source"
