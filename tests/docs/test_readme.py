"""What README shows runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from latentline.package.files import zipped
from tests.paths import DEMO_MODEL, ROOT


def test_the_example_runs(tmp_path: Path) -> None:
    """The Python example inspects a 16-bit picture with a package, from a folder where nothing else lies."""
    match = re.search(r"<!-- example: inspect -->\s*```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert match is not None
    package = zipped({file.name: file.read_bytes() for file in DEMO_MODEL.iterdir()})
    (tmp_path / "my-model.zip").write_bytes(package)
    picture = np.random.default_rng(0).integers(0, 65536, (80, 100), np.uint16)
    assert cv2.imwrite(str(tmp_path / "part.png"), picture)
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", match.group(1)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()
