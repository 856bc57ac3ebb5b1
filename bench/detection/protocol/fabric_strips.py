"""Patches of one fabric strip are one part: a defect that runs through several must stay on one side of the split."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from latentline.base.atomic import write_text


def write_strip_groups(root: Path, out: Path) -> Path:
    """Write the table `data.groups` of the patches below `root` into `out`, and return its path.

    Patches are named STRIP_xOFFSET.png; normal patches of a defect strip, in test/good, dstrip_STRIP_xOFFSET.png.
    Normal strips and defect strips have separate numbers.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "tile_group"])
    for path in sorted([*root.glob("train/*/*.png"), *root.glob("test/*/*.png")]):
        strip = path.stem.rpartition("_x")[0]
        normal = path.parent.name == "good" and not strip.startswith("dstrip_")
        writer.writerow([path.relative_to(root).as_posix(), f"{'normal' if normal else 'defect'} {strip[-4:]}"])
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, table.getvalue())
    return out
