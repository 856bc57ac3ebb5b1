"""`latentline-edge listen`: a station's life as a subscriber sees it, on stdout."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable

from edge_runtime.tools.listen.arguments import order_of
from edge_runtime.tools.listen.entry import Entry
from edge_runtime.tools.listen.journal import Journal
from edge_runtime.tools.listen.subscriber import Subscriber
from latentline.base.signals import stop_on_signals
from latentline.errors import BrokerError, LatentlineError


class _OutputClosedError(Exception):
    """Nobody reads our output any more, e.g. after `| head`."""


def run_listen(options: argparse.Namespace) -> int:
    """Print what stations say until Ctrl-C, SIGTERM, `--seconds`, or the end of whoever reads the output; gives 0.

    Raises ConfigError, and BrokerError when the broker refuses us or was never there.
    """
    order = order_of(options)
    journal = Journal(order.root)
    end = None if order.seconds is None else time.monotonic() + order.seconds
    stopping: list[bool] = []  # filled by a signal handler, which must not take a lock

    def say(entries: Iterable[Entry]) -> None:
        for entry in entries:
            _print(entry, order.json)

    def connection(connected: bool, sentence: str) -> None:
        if connected:
            journal.begin()
        say([Entry("connection", sentence)])

    subscriber = Subscriber(
        order.broker,
        order.filters,
        on_message=lambda received: say(journal.hear(received)),
        on_connection=connection,
        on_tick=lambda: say(journal.silent()),
    )
    try:
        with stop_on_signals(lambda: stopping.append(True)):
            subscriber.run(lambda: bool(stopping) or (end is not None and time.monotonic() >= end))
        say(journal.rest())
        say([Entry("end", f"events: {journal.events}, duplicates dropped: {journal.duplicates}")])
    except _OutputClosedError:
        # Python would complain at its end that it cannot flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if subscriber.connections == 0:
        raise BrokerError(f"no broker let us in at {order.broker.host}:{order.broker.port}; is it running?")
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
