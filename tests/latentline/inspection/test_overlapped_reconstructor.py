"""Two frames in work: one is searched while the other is finished."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from latentline.errors import BackendError
from latentline.inspection.overlapped_reconstructor import OverlappedReconstructor
from latentline.scoring.calibrate import calibrate
from latentline.scoring.maps import PixelStatistics
from latentline.search.searcher import SearchResult
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import Preprocessing
from tests.latentline.inspection.test_inspector import MeanSearcher, frames
from tests.threads import refused

TILER = FrameTiler(Preprocessing(), 32, 0.25)


class NotedSearcher(MeanSearcher):
    """Tells when a search has begun, and refuses white tiles."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.closed = False

    def search(self, tiles: np.ndarray) -> SearchResult:
        self.begun.release()
        if tiles.min() == 255:
            raise ValueError("a white frame")
        return super().search(tiles)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def statistics() -> PixelStatistics:
    normals = frames(30)
    return calibrate(MeanSearcher(), TILER, normals[:10], normals[10:], 0.05).statistics


@pytest.fixture
def searcher() -> NotedSearcher:
    return NotedSearcher()


@pytest.fixture
def overlapped(searcher: NotedSearcher, statistics: PixelStatistics) -> Iterator[OverlappedReconstructor]:
    reconstructor = OverlappedReconstructor(searcher, TILER, statistics)
    yield reconstructor
    reconstructor.close()


def test_a_frame_is_searched_before_the_one_ahead_of_it_is_finished(
    overlapped: OverlappedReconstructor, searcher: NotedSearcher
) -> None:
    """And each has the result that it has alone."""
    first, second = frames(2)
    finish = [overlapped.begin(frame) for frame in (first, second)]
    assert overlapped.ahead == 2
    assert all(searcher.begun.acquire(timeout=30) for _ in finish)
    found = [done() for done in finish]
    for frame, result in zip((first, second), found, strict=True):
        alone = overlapped.reconstruct(frame)
        assert alone.values == result.values
        np.testing.assert_array_equal(alone.anomaly_map, result.anomaly_map)
    assert found[0].values != found[1].values


def test_a_search_that_fails_costs_its_own_frame(overlapped: OverlappedReconstructor) -> None:
    """The caller of that frame gets the exception; the frame after it is searched."""
    broken, sound = overlapped.begin(np.full((40, 40), 255, np.uint8)), overlapped.begin(frames(1)[0])
    with pytest.raises(ValueError, match="a white frame"):
        broken()
    assert np.isfinite(sound().anomaly_map).all()


def test_closing_leaves_no_thread(searcher: NotedSearcher, statistics: PixelStatistics) -> None:
    """Even where a frame has begun that nobody finishes; the searcher is released after its last search."""
    before = threading.active_count()
    reconstructor = OverlappedReconstructor(searcher, TILER, statistics)
    reconstructor.begin(frames(1)[0])
    reconstructor.close()
    assert searcher.closed and threading.active_count() == before


def test_a_thread_that_cannot_be_started_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, searcher: NotedSearcher, statistics: PixelStatistics
) -> None:
    """At once, and not when the first frame comes."""
    with (
        refused(monkeypatch, "frame_0"),
        pytest.raises(BackendError, match=r"a thread for the search cannot be started \(can't start new thread\)"),
    ):
        OverlappedReconstructor(searcher, TILER, statistics)
