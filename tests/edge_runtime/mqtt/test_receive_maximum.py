from __future__ import annotations

import threading
from pathlib import Path

from edge_runtime.mqtt.broker import Broker, Will
from edge_runtime.mqtt.connection import WINDOW
from edge_runtime.mqtt.publisher import Publisher
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.pacing import Backoff
from tests.edge_runtime.mqtt_server import CONNECT, message_id, mqtt_server
from tests.waiting import wait_until


def test_no_more_messages_are_without_an_answer_than_the_broker_takes(tmp_path: Path) -> None:
    """A broker with a Receive Maximum of three gets three events and no fourth before it answers; then all the rest."""
    unanswered: list[bytes] = []
    seen_at_the_mark: list[int] = []
    marked = threading.Event()

    def answer(kind: int, flags: int, body: bytes) -> bytes | None:
        if kind == CONNECT:
            return bytes([0x20, 6, 0, 0, 3, 0x21, 0, 3])
        if not flags & 6:  # the mark: whatever was sent before it has arrived
            seen_at_the_mark.append(len(unanswered))
            marked.set()
        else:
            unanswered.append(message_id(body))
        if not marked.is_set():
            return b""
        answers = b"".join(bytes([0x40, 2]) + mid for mid in unanswered)
        unanswered.clear()
        return answers

    spool = Spool(tmp_path / "s.sqlite", 1000)
    spool.append_many([("l/s/v1/cam/top/defect", {"number": number}) for number in range(3 * WINDOW)])
    with mqtt_server(answer) as port:
        broker = Broker("127.0.0.1", port, "sender")
        publisher = Publisher(broker, spool, lambda: Will("l/s", b"", 0), Backoff(0.05, 0.1), lambda *_: None)
        publisher.start()
        wait_until(lambda: len(publisher._delivery._in_flight) == WINDOW, "a whole window to be handed over")
        assert publisher.send_once("mark", b"")
        wait_until(lambda: not len(spool), "the events to go out")
        assert seen_at_the_mark == [3] and publisher.connections == 1
        publisher.close("l/s", {}, 0.0)
    spool.close()
