"""Patches of one fabric strip are one part: a broken pick runs through a dozen, and must not be on both sides."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from latentline.base.atomic import write_text


def write_strips(root: Path, out: Path) -> Path:
    """The table `data.groups` of patches below `root`, named STRIP_xOFFSET.png or dstrip_STRIP_xOFFSET.png, into `out`.

    Normal and defect strips are numbered apart: test/good has patches of both, the latter named dstrip_.
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
