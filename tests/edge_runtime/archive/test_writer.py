"""The thread that archives frames."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.archive.choice import FrameChoice
from edge_runtime.archive.files import day_folders, whole_verdict
from edge_runtime.archive.label import FrameLabel
from edge_runtime.archive.label_journal import open_journal
from edge_runtime.archive.labels import ArchiveLabels
from edge_runtime.archive.pictures import map_file
from edge_runtime.archive.reader import ArchiveReader, FrameQuery
from edge_runtime.archive.recovery import RecoveredArchive, recover
from edge_runtime.archive.settings import ArchiveSection, ArchiveShares
from edge_runtime.archive.waiting import FrameBuffer, WaitingFrame
from edge_runtime.archive.writer import ArchiveWriter
from latentline.vision.content import pixel_hash
from latentline.vision.images import read_image
from tests.edge_runtime.archive.frames import IDENTITY, frame, inspected, offer, picture, settled, write_all
from tests.paths import ROOT
from tests.waiting import wait_until


def stored(folder: Path) -> dict[str, str]:
    """Source of each indexed picture by its id."""
    page = ArchiveReader(folder).frames(FrameQuery(), "newest", limit=1000)
    return {found.verdict.id: found.verdict.source for found in page.frames}


def test_a_picture_is_archived_with_all_that_the_station_said(tmp_path: Path) -> None:
    """The picture has the frame's pixels; verdict, event, map and nearest picture lie beside it."""
    assert write_all(ArchiveSection(path=tmp_path / "a", min_free_mib=0), (7, 200.0)).get("archive") is None
    reader = ArchiveReader(tmp_path / "a")
    found = reader.of_event("event-7")
    verdict = found.verdict
    np.testing.assert_array_equal(read_image(reader.picture_path(found)), picture(7)[:, :, 0])
    assert verdict.pixels == pixel_hash(picture(7))
    assert (verdict.score, verdict.threshold, verdict.abnormal, verdict.why) == (200.0, 100.0, True, "abnormal")
    assert (verdict.camera, verdict.source, verdict.captured_at) == ("top", "7.png", "2026-11-28T10:00:07.000Z")
    assert [defect["bbox"] for defect in verdict.defects] == [[0, 0, 64, 48]]
    assert verdict.model == IDENTITY.sha256
    level = read_image(reader.map_path(verdict.id))
    assert level.shape == (48, 64)
    assert (level == 255).all()  # 20 standard deviations
    assert read_image(reader.nearest_path(verdict.id)).shape == (48, 64)
    files = reader.picture_path(found).parent.iterdir()
    assert sum(file.stat().st_size for file in files if file.suffix != ".json") == verdict.size == reader.total_bytes()
    assert whole_verdict(reader.picture_path(found)) == verdict


def test_jpeg_pictures(tmp_path: Path) -> None:
    """With `format: jpeg` the picture is a JPEG that is near to the frame."""
    settings = ArchiveSection(path=tmp_path / "a", min_free_mib=0, format="jpeg", quality=100)
    write_all(settings, (7, 200.0))
    reader = ArchiveReader(tmp_path / "a")
    path = reader.picture_path(reader.of_event("event-7"))
    assert path.suffix == ".jpg"
    assert np.abs(read_image(path).astype(int) - picture(7)[:, :, 0]).max() < 8


def test_the_choice_follows_shares_and_seed() -> None:
    """All abnormal frames, all near the threshold, and a share of the others that seed and frame alone determine."""
    frames = [frame(number) for number in range(300)]
    dark, near, bright = (inspected(picture(0), score) for score in (50.0, 99.0, 101.0))
    choices = [FrameChoice(ArchiveShares(normal=0.1, width=2.0), seed) for seed in (0, 0, 1)]
    chosen = [[made.number for made in frames if choice.why(made, dark) == "normal"] for choice in choices]
    assert chosen[0] == chosen[1] != chosen[2]
    assert 10 < len(chosen[0]) < 60
    assert {choices[0].why(made, near) for made in frames} == {"near_threshold"}
    assert {choices[0].why(made, bright) for made in frames} == {"abnormal"}
    nothing = FrameChoice(ArchiveShares(abnormal=0, near_threshold=0, normal=0), 0)
    assert {nothing.why(made, found) for made in frames for found in (dark, near, bright)} == {None}


def test_the_queue_drops_what_it_cannot_hold() -> None:
    """A queue takes 64 frames, or 256 MiB of them, and one frame of any size."""

    def waiting(image: Any) -> WaitingFrame:
        result = replace(inspected(picture(0), 50.0), prepared=image)
        return WaitingFrame(frame(0, image), result, IDENTITY, None, "normal")

    buffer = FrameBuffer()
    assert [buffer.put(waiting(picture(0))) for _ in range(65)].count(True) == 64
    large = waiting(np.broadcast_to(np.zeros(1, np.uint8), (12_000, 12_000, 1)))
    assert large.bytes > 256 << 20
    buffer = FrameBuffer()
    assert buffer.put(large)
    assert not buffer.put(waiting(picture(0)))
    assert buffer.get(0) is large
    assert buffer.put(waiting(picture(0)))


def test_frames_beyond_the_queue_are_counted(tmp_path: Path) -> None:
    """What the queue cannot hold is dropped and counted, and so is what waits when the station ends too soon."""
    writer = ArchiveWriter(ArchiveSection(path=tmp_path / "a"), lambda *_: None)  # its thread does not run yet
    for number in range(70):
        offer(writer, number)
    assert writer.numbers.dropped == {"queue full": 6}
    writer.close(0.1)
    assert writer.numbers.dropped == {"queue full": 6, "station stopped": 64}


def test_a_picture_that_cannot_be_encoded_costs_only_itself(tmp_path: Path) -> None:
    """A frame that makes the writer fail is counted, and the thread goes on."""
    writer = ArchiveWriter(ArchiveSection(path=tmp_path / "a", min_free_mib=0), lambda *_: None)
    writer.thread.start()
    broken = frame(1, picture(1, 4, 4, 2))  # no picture has two channels
    writer.offer(broken, inspected(broken.picture, 200.0), IDENTITY, None)
    offer(writer, 2)
    writer.close(10)
    assert (writer.numbers.written, writer.numbers.dropped) == (1, {"failed": 1})


def test_two_stations_cannot_share_a_folder(tmp_path: Path) -> None:
    """The second one says so and archives nothing, until the first has ended."""
    settings = ArchiveSection(path=tmp_path / "a", min_free_mib=0)
    faults: dict[str, str | None] = {}
    first, second = ArchiveWriter(settings, lambda *_: None), ArchiveWriter(settings, faults.__setitem__, 0.05)
    first.thread.start()
    offer(first, 1)
    settled(first, 1)
    second.thread.start()
    offer(second, 2)
    settled(second, 1)
    assert "another station writes to" in str(faults["archive"])
    first.close(10)
    wait_until(lambda: faults["archive"] is None, "the end of the fault")
    offer(second, 3)
    second.close(10)
    assert set(stored(tmp_path / "a").values()) == {"1.png", "3.png"}


def test_without_the_room_it_must_leave_nothing_is_archived(tmp_path: Path) -> None:
    """With less free space than `min_free_mib` the station says so, and counts what it drops."""
    settings = ArchiveSection(path=tmp_path / "a", min_free_mib=1 << 40)
    faults: dict[str, str | None] = {}
    writer = ArchiveWriter(settings, faults.__setitem__)
    writer.thread.start()
    offer(writer, 1)
    writer.close(10)
    assert "archive.min_free_mib" in str(faults["archive"]) and "full" not in str(faults["archive"])
    assert writer.numbers.dropped == {"disk full": 1}


def test_a_disk_without_inodes_is_not_called_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`df` shows free space there, so the sentence names what is lacking."""
    disk, faults = os.statvfs(tmp_path), dict[str, str | None]()
    fields = [*disk[:5], 100, 0, 0, *disk[8:]]  # f_files, f_ffree, f_favail
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))
    monkeypatch.setattr("edge_runtime.archive.writer.picture_file", _no_space)
    writer = ArchiveWriter(ArchiveSection(path=tmp_path / "a", min_free_mib=0), faults.__setitem__)
    writer.thread.start()
    offer(writer, 1)
    writer.close(10)
    assert "no free inode" in str(faults["archive"]) and "full" not in str(faults["archive"])


def _no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "no space")


def test_a_disk_that_hangs_is_reported_while_it_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the thread waits for the disk, `check` reports it, and takes it back when the disk answers."""
    monkeypatch.setattr("edge_runtime.archive.writer._HANG_SECONDS", 0.05)
    faults: dict[str, str | None] = {}
    writer = ArchiveWriter(ArchiveSection(path=tmp_path, min_free_mib=0), faults.__setitem__)

    def told(expected: bool) -> bool:
        writer.check()
        return (faults.get("archive") is not None) == expected

    with open_journal(tmp_path):  # the thread needs it, too
        writer.thread.start()
        wait_until(lambda: told(True), "the fault")
    wait_until(lambda: told(False), "its end")
    offer(writer, 1)
    writer.close(10)
    assert writer.numbers.written == 1


@contextmanager
def writing(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Callable[[Callable[[Any], bool]], Any]]]:
    """A process that archives, and a function that waits until its state fulfils a condition."""
    command = [sys.executable, "-m", "tests.edge_runtime.archive.writing", str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    late = threading.Timer(30, process.kill)
    late.start()

    def wait(condition: Callable[[Any], bool]) -> Any:
        assert process.stdout is not None
        for line in process.stdout:
            if condition(state := json.loads(line)):
                return state
        raise AssertionError("the process ended")

    try:
        yield process, wait
    finally:
        late.cancel()
        process.kill()
        process.communicate()


def test_a_full_disk_is_reported_and_over_when_there_is_room(tmp_path: Path) -> None:
    """While nothing can be written frames are dropped with the cause; then archiving goes on by itself."""
    with writing(tmp_path / "a") as (process, wait):
        wait(lambda state: state["written"] > 2)
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, hard))
        full = wait(lambda state: state["dropped"].get("disk full", 0) > 2)
        assert "is full" in full["faults"]["archive"]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        wait(lambda state: state["written"] > full["written"] + 2 and state["faults"]["archive"] is None)
    recover(tmp_path / "a")
    assert recover(tmp_path / "a") == RecoveredArchive()


def test_after_a_kill_every_indexed_picture_is_whole_and_every_whole_one_indexed(tmp_path: Path) -> None:
    """Kill the process again and again: nothing is half-done after the next start, and labels stay."""
    folder = tmp_path / "a"
    labelled: list[str] = []
    for _ in range(3):
        with writing(folder) as (process, wait):
            wait(lambda state: state["written"] > 2)
            newest = ArchiveReader(folder).frames(FrameQuery(), "newest", limit=1).frames[0].verdict.id
            ArchiveLabels(folder).set([newest], FrameLabel(verdict="good"), "ann")
            labelled.append(newest)
            process.kill()
        recover(folder)
        known = stored(folder)
        files = [file for day in day_folders(folder) for file in day.iterdir()]
        pictures = {file.stem: file for file in files if file.suffix == ".png" and ".map" not in file.suffixes}
        assert set(pictures) == set(known)
        assert len(files) == 4 * len(known)
        for file in pictures.values():
            read_image(file)
            assert whole_verdict(file) is not None
    reader = ArchiveReader(folder)
    assert {reader.frame(name).label for name in labelled} == {FrameLabel(verdict="good")}


@pytest.mark.parametrize("height, width", [(3, 5), (700, 30), (257, 600)])
def test_maps_of_any_size_keep_their_peaks(height: int, width: int) -> None:
    """The small map has the largest value of each block, at its place."""
    anomaly_map = np.zeros((height, width), np.float32)
    anomaly_map[height - 1, 1] = 8.0
    level = np.asarray(cv2.imdecode(np.frombuffer(map_file(anomaly_map), np.uint8), cv2.IMREAD_UNCHANGED))
    assert max(level.shape) <= 256
    assert level[-1, 0] == 128 or level[-1, 1] == 128
    assert np.count_nonzero(level) == 1
