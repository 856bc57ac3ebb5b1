"""What a model package says about itself, read without opening the model."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

from edge_runtime.page.kept_comparison import ENDING
from latentline.errors import PackageError
from latentline.package.manifest import Manifest, parse_manifest
from latentline.package.model_package import MANIFEST
from latentline.package.package_name import name_fault

_MOST_BYTES = 4 << 20
_MOST_PACKAGES = 200


@dataclass(frozen=True)
class PackageCard:
    """A package in the folder. name: of its file; fault: why it cannot be read, else None."""

    name: str
    sha256: str = ""
    manifest: Manifest | None = None
    fault: str | None = None


def read_card(path: Path) -> PackageCard:
    """The card of a package, a folder or a .zip. Never raises; its other files are checked when it is promoted."""
    try:
        content = _manifest_bytes(path)
        return PackageCard(path.name, hashlib.sha256(content).hexdigest(), parse_manifest(content, path.name))
    except PackageError as error:
        return PackageCard(path.name, fault=str(error))
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, NotImplementedError) as error:
        return PackageCard(path.name, fault=f"{path.name} is not a model package ({error})")


def read_cards(folder: Path) -> list[PackageCard]:
    """The cards of the packages directly in `folder`, newest first; those that cannot be read come last.

    One that no request can name has that fault, too.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix != ENDING and path.name[0] != ".")
    except OSError:
        return []
    read = [read_card(path) for path in paths[:_MOST_PACKAGES] if path.is_dir() or path.suffix == ".zip"]
    cards = [replace(card, fault=card.fault or name_fault(card.name)) for card in read]
    return sorted(cards, key=lambda card: -card.manifest.created.timestamp() if card.manifest else 0.0)


def _manifest_bytes(path: Path) -> bytes:
    if path.is_dir():
        with (path / MANIFEST).open("rb") as file:
            return file.read(_MOST_BYTES + 1)
    with zipfile.ZipFile(path) as archive, archive.open(MANIFEST) as member:
        return member.read(_MOST_BYTES + 1)
