"""What `--help` of `check` and `run` says."""

from __future__ import annotations

from dataclasses import dataclass

STATION_FILE = "the station's settings; copy one of configs/station/ and edit it"


@dataclass(frozen=True)
class CommandHelp:
    """short: for the list of commands; description: what it does; ends: when it ends, and with which exit code."""

    short: str
    description: str
    ends: str


RUN = CommandHelp(
    "inspect frames until SIGTERM or the end of the input",
    "Inspect the frames of the station's cameras with its model package, and publish what is abnormal over MQTT. Each "
    "event is on the disk before it is sent, and waits there while the broker is away. Try the file with `check` "
    "first.",
    "Ctrl-C or SIGTERM ends it after the frame in work; it ends by itself when every camera has an end, as a folder "
    "without `watch` has. Exit codes: 0, or 2 when something in the file, the package or the machine has to be put "
    "right, or 75 when only a new process can help, which systemd starts.",
)
CHECK = CommandHelp(
    "try config, spool, model, self-test, cameras and broker once",
    "Try everything that `run` needs, and print a line for each: the settings, the folders of events and archive, the "
    "model package and its self-test, a frame of each camera with the time that it takes, and at the broker whether "
    "this client may publish and subscribe. It inspects and changes nothing, and may run beside a running station. Run "
    "it as the user of the station.",
    "Lines begin with ok, WARN or FAILED. Exit codes: 0 when nothing has failed, else 2.",
)
