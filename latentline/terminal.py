"""The output of a command line: any text can be written, and nobody needs to read it."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable

from latentline.printable import printable

PIPE_CLOSED = 141  # as a shell reports a program that SIGPIPE ended
_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT)
_BROKEN = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENODEV, errno.ENXIO, errno.ENOTCONN)
_PLACES = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTEMPTY),
)


def tolerate_output() -> None:
    """Let stdout and stderr write what their encoding lacks as escapes such as \\u2192. Call it before any output.

    Streams that the shell has closed (`>&-`) become the null device, so that no file gets their number.
    """
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write_output(command: Callable[[], int]) -> int:
    """The exit code of `command`; PIPE_CLOSED when the reader of its output has gone. No traceback for what the machine
    lacks: descriptors, threads, room on the disk, an encoding for a file's name; nor for a file that cannot be used."""
    try:
        code = command()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _discard_output()
        return PIPE_CLOSED
    except UnicodeEncodeError as error:
        if error.encoding.lower() != sys.getfilesystemencoding().lower():
            raise
        sentence = f"{error.object!a:.200} cannot be the name of a file here, where names are {error.encoding}"
        print(f"error: {sentence}; set LC_ALL=C.UTF-8, and try again", file=sys.stderr)
        return 2
    except OSError as error:
        fault = _fault(error)
        if fault is None:
            raise
        _discard_output()
        what = f"{error.filename}: " if error.filename else ""
        print(f"error: {printable(what)}{error.strerror}; {fault[1]}", file=sys.stderr)
        return fault[0]
    except RuntimeError as error:
        if str(error) != "can't start new thread":
            raise
        print("error: no thread can be started; end other programs, or raise the limit of threads", file=sys.stderr)
        return 1


def _fault(error: OSError) -> tuple[int, str] | None:
    """Exit code and advice for an error of the machine or, where it names a file, of its place; None for others."""
    if error.errno in _RESOURCES:
        return 1, "free some, or raise the limit, and try again"
    if error.filename and error.errno in _BROKEN:
        return 1, "the disk or share does not answer as it should: put it right, and try again"
    if error.filename and error.errno in _PLACES:
        return 2, "correct the path, or your rights to it, and try again"
    return None


def _open_closed() -> None:
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _discard_output() -> None:
    """Nothing may be written at the interpreter's end: it would fail again, with a traceback."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        sys.stdout = io.StringIO()
