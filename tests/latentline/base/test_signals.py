from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from latentline.base.signals import StopRequest, stop_on_signals
from tests.waiting import wait_until

_PROGRAM = """
import sys, threading
from latentline.base.signals import stop_on_signals
from edge_runtime.supervision.guards import MemoryExhaustedError
from latentline.errors import run_command

def run():
    stopped, reloaded, hangs = [], [], sys.argv[1:] == ["hangs"]
    with stop_on_signals(lambda: stopped.append(1), lambda: reloaded.append(1)):
        print("begun", flush=True)
        while not stopped or hangs:
            if reloaded:
                reloaded.clear()
                print("reload", flush=True)
            if hangs and stopped == [1]:
                stopped.append(1)
                print("stopping", flush=True)
            threading.Event().wait(0.01)
        print("stopped", flush=True)
    if sys.argv[1:] == ["memory"]:
        raise MemoryExhaustedError("too much")
    return 0

sys.exit(run_command(run))
"""


def _begun(*arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    wait_until(lambda: process.poll() is not None, "the process to end")
    _, errors = process.communicate()
    return process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_hup_reloads_and_term_ends(number: signal.Signals) -> None:
    """Each SIGHUP asks for a reload and ends nothing; SIGTERM and Ctrl-C end well."""
    process = _begun()
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
        assert _line(process) == "reload"
    process.send_signal(number)
    assert _line(process) == "stopped"
    assert _ended(process) == (0, "")


def test_second_term_insists() -> None:
    """A station that does not come to its end is ended by the second SIGTERM; a SIGHUP meanwhile is not the end."""
    process = _begun("hangs")
    process.send_signal(signal.SIGTERM)
    assert _line(process) == "stopping"
    process.send_signal(signal.SIGHUP)
    assert _line(process) == "reload"
    process.send_signal(signal.SIGTERM)
    assert _ended(process)[0] == -signal.SIGTERM


def test_used_up_memory_has_its_own_exit_code() -> None:
    """The end for want of memory is one sentence and exit code 75: try again."""
    process = _begun("memory")
    process.send_signal(signal.SIGTERM)
    assert _ended(process) == (75, "error: too much\n")


def test_handlers_are_as_before() -> None:
    """A block that is over leaves SIGINT and SIGTERM as it found them."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stop_on_signals():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_without_stop_signals_are_only_noted_until_ctrl_c_insists() -> None:
    """The request holds the signal; a repeated SIGTERM changes nothing, a SIGINT after it interrupts at once."""
    with stop_on_signals() as request:
        handler = signal.getsignal(signal.SIGTERM)
        assert callable(handler) and request.number is None
        for _ in range(2):
            handler(signal.SIGTERM, None)
            assert request.number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            handler(signal.SIGINT, None)


def test_outside_the_main_thread_nothing_changes() -> None:
    """Python allows handlers in the main thread alone: elsewhere the block runs, and no handler is set."""
    before, found = signal.getsignal(signal.SIGTERM), []

    def run() -> None:
        with stop_on_signals() as request:
            found.append((request, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [(StopRequest(), before)]
