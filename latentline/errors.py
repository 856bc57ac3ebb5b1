"""Errors that a user can put right, and how a command line prints them.

LatentlineError                the message is one sentence: what is wrong, where, and what to do
├── ConfigError                a YAML file or a value in it
├── DatasetError               a folder of images
├── ImageError                 one image or frame
├── PackageError               a model package
├── CheckpointError            a training checkpoint
├── TrainingError              a training that cannot go on: a full disk
│   ├── DivergenceError        a loss or gradient that is not finite
│   └── StoppedError           a signal that asked it to end
├── CameraError                a camera
├── ArchiveError               a station's archive of pictures, or a label in it
├── BrokerError                an MQTT broker
├── BackendError               a search backend that cannot be used here
│   └── DeviceLostError        a GPU that this process can use no more
├── WorkersError               processes that share work, or a Ray cluster
├── EngineError                a TensorRT engine, the compiled kernels, or the cache of both
└── VerificationError          an exported graph that differs from its float64 reference
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from latentline.printable import printable
from latentline.terminal import tolerate_output, write_output


class LatentlineError(Exception):
    """A fault that a user can put right. `exit_code` is the exit code of the command."""

    exit_code = 2


class ConfigError(LatentlineError):
    """A configuration file, or a value in it, is wrong."""


class DatasetError(LatentlineError):
    """A folder of images is missing, empty or mostly unreadable."""


class ImageError(LatentlineError):
    """One image or frame cannot be used."""


class BitDepthError(ImageError):
    """One image or frame has another bit depth than the one it is read by."""


class PackageError(LatentlineError):
    """A model package is missing, broken, foreign or of another schema."""


class CheckpointError(LatentlineError):
    """A training checkpoint is missing or broken."""


class TrainingError(LatentlineError):
    """A training cannot go on: a checkpoint cannot be written, or as its subclasses say."""

    exit_code = 1


class DivergenceError(TrainingError):
    """A loss or gradient of a training is not finite."""


class StoppedError(TrainingError):
    """A signal stopped a training. number: that of the signal; left: what is there now, and how it goes on."""

    def __init__(self, number: int, left: str) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; {left}")
        self.number, self.exit_code = number, 128 + number


class CameraError(LatentlineError):
    """A camera cannot be opened or read."""


class ArchiveError(LatentlineError):
    """A station's archive cannot be used, or a picture or a label in it is not what it should be."""


class BrokerError(LatentlineError):
    """An MQTT broker refuses the station."""


class SpoolError(LatentlineError):
    """Events of a station could not be written to its disk."""


class BackendError(LatentlineError):
    """A search backend cannot be used on this machine."""


class DeviceLostError(BackendError):
    """The GPU is lost for this process; only a new process can use it again."""


class EngineError(LatentlineError):
    """An engine or a kernel cannot be built, or its cache is outdated, foreign, damaged or not writable."""


class WorkersError(LatentlineError):
    """Processes that share work end again and again, or a Ray cluster cannot be used."""


class VerificationError(LatentlineError):
    """An exported graph differs from its float64 reference."""

    exit_code = 1


def run_command(command: Callable[[], int]) -> int:
    """Run one command line: a LatentlineError becomes its sentence on stderr and its exit code, Ctrl-C 130.

    Nor is there a traceback when the reader of the output goes, or descriptors or the disk run out.
    """
    tolerate_output()
    try:
        return write_output(command)
    except LatentlineError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
