"""`latentline-edge listen`: print what stations publish, as a subscriber receives it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable

from edge_runtime.tools.listen.arguments import listen_options
from edge_runtime.tools.listen.entry import Entry
from edge_runtime.tools.listen.journal import Journal
from edge_runtime.tools.listen.subscriber import Subscriber
from latentline.base.signals import stop_on_signals
from latentline.errors import BrokerError, LatentlineError


class _OutputClosedError(Exception):
    """The reader of our output has gone, e.g. after `| head`."""


def run_listen(arguments: argparse.Namespace) -> int:
    """Print messages until Ctrl-C, SIGTERM, `--seconds`, or until the reader of the output goes; returns 0.

    Raises ConfigError, and BrokerError when the broker refuses the connection or never answers.
    """
    options = listen_options(arguments)
    journal = Journal(options.root)
    end = None if options.seconds is None else time.monotonic() + options.seconds
    stopping: list[bool] = []  # filled by a signal handler, which must not take a lock

    def show(entries: Iterable[Entry]) -> None:
        for entry in entries:
            _print(entry, options.json)

    def on_connection(connected: bool, sentence: str) -> None:
        if connected:
            journal.connected()
        show([Entry("connection", sentence)])

    subscriber = Subscriber(
        options.broker,
        options.filters,
        on_message=lambda received: show(journal.receive(received)),
        on_connection=on_connection,
        on_tick=lambda: show(journal.overdue()),
    )
    try:
        with stop_on_signals(lambda: stopping.append(True)):
            subscriber.run(lambda: bool(stopping) or (end is not None and time.monotonic() >= end))
        show(journal.unreported())
        show([Entry("end", f"events: {journal.events}, duplicates dropped: {journal.duplicates}")])
    except _OutputClosedError:
        # Otherwise Python reports at exit that it cannot flush stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if subscriber.connections == 0:
        raise BrokerError(
            f"no broker accepted the connection at {options.broker.host}:{options.broker.port}; is it running?"
        )
    return 0


def _print(entry: Entry, as_json: bool) -> None:
    line = entry.json() if as_json else entry.line()
    encoding = sys.stdout.encoding
    try:
        print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        raise _OutputClosedError from None
    except OSError as error:
        raise LatentlineError(f"the output cannot be written ({error.strerror or error})") from None
