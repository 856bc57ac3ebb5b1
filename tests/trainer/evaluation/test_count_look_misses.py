"""How many validation defects no searched tile shows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from latentline.scoring.look_misses import LookMisses
from latentline.search.first_look import FirstLook, look_frame
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import Preprocessing
from tests.latentline.inspection.test_inspector import MeanSearcher, frames
from trainer.config import TrainConfig
from trainer.data.held_out import HeldOut
from trainer.evaluation.count_look_misses import count_look_misses, say_look_misses

CONFIG = TrainConfig.model_validate({"data": {"root": "images"}, "method": {"kind": "anogan"}})
TILER = FrameTiler(Preprocessing(), 32, 0.25, most=1)


class Looker(MeanSearcher):
    """Finds bright tiles suspicious, or dark ones where it is blind."""

    def __init__(self, blind: bool = False) -> None:
        self._sign = 1 if blind else -1

    def look(self, prepared: np.ndarray) -> FirstLook:
        windows = sliding_window_view(look_frame(prepared, 32)[..., 0], (32, 32))[::8, ::8]
        return FirstLook(self._sign * windows.max((2, 3)).astype(np.float32))


def known(count: int) -> HeldOut:
    """Frames with a bright spot in a corner, and its mask; the last one has no mask."""
    normal, abnormal, masks = frames(20), frames(count), []
    for frame in abnormal:
        frame[2:6, 3:7] = 250
        masks.append(np.zeros(frame.shape, np.bool_))
        masks[-1][2:6, 3:7] = True
    return HeldOut(normal, normal, abnormal, masks=[*masks[:-1], None])


@pytest.mark.parametrize(("blind", "missed"), [(False, 0), (True, 11)])
def test_a_defect_is_missed_where_no_searched_tile_shows_it(
    blind: bool, missed: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Who searches the bright tile misses none, who searches a dark one all; a frame without a mask is no defect."""
    found = count_look_misses(Looker(blind), TILER, CONFIG, known(12))
    assert found == LookMisses(tiles=1, defects=11, missed=missed, synthetic=False)
    assert found.rate == missed / 11
    say_look_misses(found)
    assert ("search more tiles" in caplog.text) == blind


def test_too_few_known_defects_are_replaced_by_made_ones() -> None:
    """Forty defects on normal frames count, of which none is missed where every tile is searched."""
    every = FrameTiler(Preprocessing(), 32, 0.25, most=99)
    found = count_look_misses(Looker(), every, CONFIG, known(3))
    assert found is not None and (found.defects, found.missed, found.synthetic) == (40, 0, True)
    assert found.sentence == "99 tiles a frame are searched, and miss 0 of 40 made defects"


def test_there_is_nothing_to_count_where_all_tiles_are_searched() -> None:
    """None, then."""
    assert count_look_misses(Looker(), FrameTiler(Preprocessing(), 32, 0.25), CONFIG, known(12)) is None
