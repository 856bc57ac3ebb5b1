"""Signals stop or reload a program."""

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
from edge_runtime.supervision.restart import RestartNeededError
from latentline.errors import run_command

def run():
    stopped, reloaded, hangs = [], [], sys.argv[1:] == ["hangs"]
    with stop_on_signals(lambda: stopped.append(1), lambda: reloaded.append(1)):
        print("started", flush=True)
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
        raise RestartNeededError("too much")
    return 0

sys.exit(run_command(run))
"""


def _start(*arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _wait(process: subprocess.Popen[str]) -> tuple[int, str]:
    wait_until(lambda: process.poll() is not None, "the process to end")
    _, errors = process.communicate()
    return process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_hup_reloads_and_term_ends(number: signal.Signals) -> None:
    """SIGHUP asks for a reload, each time; SIGTERM and Ctrl-C end the program with exit code 0."""
    process = _start()
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
        assert _line(process) == "reload"
    process.send_signal(number)
    assert _line(process) == "stopped"
    assert _wait(process) == (0, "")


def test_a_second_term_ends_a_program_that_hangs() -> None:
    """A second SIGTERM ends a program that does not stop; a SIGHUP in between does not."""
    process = _start("hangs")
    process.send_signal(signal.SIGTERM)
    assert _line(process) == "stopping"
    process.send_signal(signal.SIGHUP)
    assert _line(process) == "reload"
    process.send_signal(signal.SIGTERM)
    assert _wait(process)[0] == -signal.SIGTERM


def test_used_up_memory_has_its_own_exit_code() -> None:
    """Without memory the program ends with one sentence and exit code 75, which means: try again."""
    process = _start("memory")
    process.send_signal(signal.SIGTERM)
    assert _wait(process) == (75, "error: too much\n")


def test_handlers_are_as_before() -> None:
    """After the block, SIGINT and SIGTERM have their earlier handlers."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stop_on_signals():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_without_a_stop_function_signals_are_recorded() -> None:
    """Without a stop function the request records SIGTERM, however often, and Ctrl-C after it interrupts at once."""
    with stop_on_signals() as request:
        handler = signal.getsignal(signal.SIGTERM)
        assert callable(handler) and request.number is None
        for _ in range(2):
            handler(signal.SIGTERM, None)
            assert request.number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            handler(signal.SIGINT, None)


def test_outside_the_main_thread_nothing_changes() -> None:
    """In other threads, where Python allows no handlers, the block runs and sets none."""
    before, found = signal.getsignal(signal.SIGTERM), []

    def run() -> None:
        with stop_on_signals() as request:
            found.append((request, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [(StopRequest(), before)]
