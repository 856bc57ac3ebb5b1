"""Labelled pictures as a data set for the trainer: normal images, defects with masks, groups, and their origin."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2

from edge_runtime.archive.label_log import LabelChange
from edge_runtime.archive.labels import ArchiveLabels
from edge_runtime.archive.reader import ArchiveReader, FrameQuery
from edge_runtime.archive.record import ArchivedFrame
from edge_runtime.mqtt.events import now
from latentline.base.atomic import new_folder
from latentline.base.counted import counted
from latentline.base.version import software_version
from latentline.errors import ArchiveError
from latentline.vision.bit_depth import UInt8

PROVENANCE_NAME, GROUPS_NAME = "provenance.json", "groups.csv"
_PAGE = 500
_SAME_PART_SECONDS = 2.0
_LONGEST_GROUP_SECONDS = 120.0
_PROGRESS_SECONDS = 2.0
_UNNAMED_KIND = "defect"
_log = logging.getLogger(__name__)


@dataclass
class ExportedLabels:
    """What an export wrote.

    good, defects  images; masks: of the defects that have a place
    false_alarms, missed  of these images
    copies   labelled pictures left out because another has the same pixels; the newest label counts
    missing  labelled pictures whose file is gone or not whole
    """

    good: int = 0
    defects: int = 0
    masks: int = 0
    false_alarms: int = 0
    missed: int = 0
    copies: int = 0
    missing: int = 0
    images: list[dict[str, Any]] = field(default_factory=list, repr=False)


def export_labels(folder: Path, output: Path) -> ExportedLabels:
    """Write the labelled pictures of the archive in `folder` to `output`, whole or not at all.

    train/good/ID.png                   labelled good, false alarms among them
    test/KIND/ID.png                    labelled as defects, by kind
    ground_truth/KIND/ID_mask.png       where the defect is, as far as somebody said so
    groups.csv                          which images may show the same part: those of one minute
    provenance.json                     of each image its verdict, its label, who said so and when

    An earlier export at `output` is replaced. Raises ArchiveError when nothing is labelled, `output` holds anything
    else, or the disk is full.
    """
    _check_output(output)
    reader, labels = ArchiveReader(folder), ArchiveLabels(folder)
    done = ExportedLabels()
    frames = _distinct(_labelled(reader), labels, done)
    if not frames:
        raise ArchiveError(f"{folder}: no picture is labelled good or defect; label some first")
    groups = _groups([frame for frame, _ in frames])
    try:
        with new_folder(output) as target:
            told = time.monotonic()
            for count, ((frame, last), group) in enumerate(zip(frames, groups, strict=True), 1):
                _export(reader, frame, last, group, target, done)
                if time.monotonic() - told > _PROGRESS_SECONDS:
                    told = time.monotonic()
                    _log.info("%s: %d of %s", output, count, counted(len(frames), "picture"))
            _write_tables(target, folder, done)
    except OSError as error:
        raise ArchiveError(f"{output}: cannot be written ({error.strerror}); nothing was exported") from None
    return done


def _check_output(output: Path) -> None:
    if output.exists() and not (output / PROVENANCE_NAME).is_file() and (output.is_file() or any(output.iterdir())):
        raise ArchiveError(f"{output}: there is something else; give a new folder")


def _labelled(reader: ArchiveReader) -> Iterator[ArchivedFrame]:
    """All pictures labelled good or defect, the oldest first."""
    found: dict[str, ArchivedFrame] = {}
    queries = (FrameQuery(label="good"), FrameQuery(label="defect"))
    for query in queries:
        offset = 0
        while page := reader.frames(query, "newest", _PAGE, offset).frames:
            found |= {frame.verdict.id: frame for frame in page}
            offset += len(page)
    yield from sorted(found.values(), key=_time)


def _time(frame: ArchivedFrame) -> tuple[str, str]:
    return frame.verdict.captured_at, frame.verdict.id


def _distinct(
    frames: Iterator[ArchivedFrame], labels: ArchiveLabels, done: ExportedLabels
) -> list[tuple[ArchivedFrame, LabelChange]]:
    """Pictures of different content with what was said last about each; of several of one content the last labelled."""
    chosen: dict[str, tuple[ArchivedFrame, LabelChange]] = {}
    for frame in frames:
        told = labels.history(frame.verdict.id)
        if not told:  # pruned since the list was made
            done.missing += 1
            continue
        other = chosen.get(frame.verdict.pixels)
        done.copies += other is not None
        if other is None or other[1].entry.at <= told[-1].entry.at:
            chosen[frame.verdict.pixels] = (frame, told[-1])
    return sorted(chosen.values(), key=lambda found: _time(found[0]))


def _groups(frames: Sequence[ArchivedFrame]) -> list[str]:
    """The group of each picture, which are in the order of time.

    Pictures of one minute are a group, whatever camera took them: they may show one part. So are those across the turn
    of a minute that are less than two seconds apart.
    """
    groups: list[str] = []
    start = last = 0.0
    for frame in frames:
        at = datetime.fromisoformat(frame.verdict.captured_at.replace("Z", "+00:00")).timestamp()
        apart = at - last > _SAME_PART_SECONDS and at // 60 != start // 60
        if not groups or apart or at - start > _LONGEST_GROUP_SECONDS:
            start = at
            groups.append(frame.verdict.captured_at)
        else:
            groups.append(groups[-1])
        last = at
    return groups


def _export(
    reader: ArchiveReader, frame: ArchivedFrame, last: LabelChange, group: str, target: Path, done: ExportedLabels
) -> None:
    verdict, label = frame.verdict, frame.label
    assert label is not None
    try:
        content = reader.picture_path(frame).read_bytes()
    except FileNotFoundError:
        done.missing += 1
        return
    if hashlib.sha256(content).hexdigest() != verdict.picture_sha256:
        done.missing += 1
        return
    good = label.verdict == "good"
    kind = label.kind or _UNNAMED_KIND
    name = f"train/good/{verdict.id}{verdict.suffix}" if good else f"test/{kind}/{verdict.id}{verdict.suffix}"
    _write(target / name, content)
    mask = None if label.mask is None else label.mask.drawn(verdict.height, verdict.width)
    if mask is not None and mask.any():
        _write(target / "ground_truth" / kind / f"{verdict.id}_mask.png", _png(mask.astype("uint8") * 255))
        done.masks += 1
    done.good += good
    done.defects += not good
    done.false_alarms += frame.false_alarm
    done.missed += frame.missed
    done.images.append(
        {
            "file": name,
            "group": group,
            "pixels": verdict.pixels,
            "label": label.verdict,
            "kind": label.kind,
            "false_alarm": frame.false_alarm,
            "missed": frame.missed,
            "disputed": frame.disputed,
            "who": last.entry.who,
            "labelled_at": last.entry.at,
            "frame": verdict.id,
            "event_id": verdict.event_id,
            "camera": verdict.camera,
            "captured_at": verdict.captured_at,
            "why": verdict.why,
            "boxes": [defect["bbox"] for defect in verdict.defects],
            "score": verdict.score,
            "threshold": verdict.threshold,
            "model": {"name": verdict.model_name, "sha256": verdict.model},
        }
    )


def _write_tables(target: Path, archive: Path, done: ExportedLabels) -> None:
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "tile_group"])
    writer.writerows([image["file"], image["group"]] for image in done.images)
    _write(target / GROUPS_NAME, table.getvalue().encode())
    provenance = {
        "schema_version": 1,
        "exported_at": now(),
        "software": software_version(),
        "archive": str(archive),
        "images": done.images,
    }
    _write(target / PROVENANCE_NAME, json.dumps(provenance, indent=1, allow_nan=False).encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _png(image: UInt8) -> bytes:
    return bytes(cv2.imencode(".png", image)[1].tobytes())
