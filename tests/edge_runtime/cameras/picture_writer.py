"""Writes pictures into a folder from a process of its own. Arguments: folder, prefix, count, way.

way   rename: under another name first; copy: bit by bit under its own name
"""

import sys
import time
from pathlib import Path

import cv2
import numpy as np


def main() -> None:
    folder, prefix, count, way = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
    for number in range(count):
        level = 10 + number
        content = cv2.imencode(".png", np.full((64, 64), level, np.uint8))[1].tobytes()
        path = folder / f"{prefix}-{number:03d}.png"
        if way == "rename":
            part = path.with_suffix(".part")
            part.write_bytes(content)
            part.rename(path)
            continue
        with path.open("wb") as file:
            for start in range(0, len(content), 40):
                file.write(content[start : start + 40])
                file.flush()
                time.sleep(0.005)  # this is the slow writer itself


main()
