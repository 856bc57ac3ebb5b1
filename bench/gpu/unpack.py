"""Unpack what `bench.gpu.pack` made: python -m bench.gpu.unpack FOLDER PIECE...   Standard library only."""

from __future__ import annotations

import argparse
import io
import lzma
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Joined(io.RawIOBase):
    """The content of several files, one after the other."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = [path.open("rb") for path in paths]

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill some of `buffer`; gives how much, 0 at the end of the last file."""
        while self._files:
            if count := self._files[0].readinto(buffer):
                return int(count)
            self._files.pop(0).close()
        return 0


def unpack(folder: Path, pieces: Sequence[Path]) -> None:
    """Unpack a .tar.xz, whole or in pieces by order of name, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    joined = io.BufferedReader(Joined(sorted(pieces)), 1 << 20)
    with lzma.open(joined) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
        archive.extractall(folder, filter="fully_trusted")


def main() -> int:
    """Unpack the pieces that were named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("pieces", type=Path, nargs="+")
    options = parser.parse_args()
    unpack(options.folder, options.pieces)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
