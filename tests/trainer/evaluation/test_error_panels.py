"""Panels of test images have names that every file system takes."""

from pathlib import Path

import numpy as np
import pytest

from latentline.base.atomic import write_bytes
from trainer.evaluation.error_panels import panel_name


@pytest.mark.parametrize("name", ["test/cut/a\nb.png", f"test/cut/{'缺' * 83}.png", f"test/cut/{'x' * 251}.png"])
def test_a_panel_can_be_written_whatever_its_image_is_called(tmp_path: Path, name: str) -> None:
    """Line breaks are escapes, and long names are cut, also those of letters that take several bytes."""
    written = tmp_path / panel_name("cut", name)
    write_bytes(written, np.zeros(1, np.uint8).tobytes())
    assert "\n" not in written.name and written.name.startswith("cut-") and written.suffix == ".png"
