"""A station over a real folder: blips of the folder and pictures that kill the process lose and repeat nothing."""

from pathlib import Path

from bench.station.rig.folder_chaos import FolderChaos
from tests.mosquitto import Mosquitto


def test_folder_that_vanishes_and_pictures_that_kill(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """While the folder is away, or an empty one is in its place, also at a start, the status names the camera; a poison
    picture is named; every other picture has its event, and none a second one beyond those in work at a death."""
    chaos = FolderChaos(tmp_path / "run", blips=3, poison=1, seed=1)
    chaos.run()
    figures = chaos.figures()
    assert figures["pictures"] == 3 * 10 + 5 + 1 and figures["poison"] == 1 and figures["deaths"] >= 2
    assert (figures["lost"], figures["repeated"], figures["unsaid"]) == (0, 0, 0)


def test_lost_repeated_and_unsaid_are_counted(tmp_path: Path) -> None:
    """The figures would show a picture without an event, one inspected twice in a run, and more than those in work."""
    chaos = FolderChaos(tmp_path, blips=0, poison=0, seed=0)
    (tmp_path / "pictures").mkdir()
    chaos.write(tmp_path / "pictures")

    def event(number: int, boot: str, identity: str) -> dict[str, object]:
        return {"event_id": identity, "boot_id": boot, "frame": {"source": f"{number:06}.png"}}

    for one in [event(0, "a", "1"), event(0, "a", "1"), event(0, "a", "2"), event(1, "a", "3"), event(1, "b", "4")]:
        chaos.event_received(one, False)
    figures = chaos.figures()
    assert (figures["pictures"], figures["lost"], figures["repeated"]) == (5, 3, 2)
