"""What commands have changed, on disk, so that a restart comes up with it."""

from __future__ import annotations

from pathlib import Path


class Persisted:
    """The threshold and the model that commands have set, in a small JSON file; used by one thread.

    path       e.g. commands.json beside the spool
    set_aside  the sentence about a broken file that was renamed and replaced, or None

    A person who edits the YAML decides anew: what was set over another `threshold:` or `model:` is not given back.
    """

    def __init__(self, path: Path) -> None:
        self.set_aside: str | None = None

    def threshold(self, model_sha256: str, configured: float | None) -> float | None:
        """The threshold set for this model over the YAML's `configured` one; None when there is none."""
        raise NotImplementedError

    def model(self, configured: Path) -> tuple[str, str] | None:
        """Name and sha256 of the package that was switched to over the YAML's `configured` one; None: there is none."""
        raise NotImplementedError
