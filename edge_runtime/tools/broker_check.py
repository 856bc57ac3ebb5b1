"""What `check` tries at the broker: the connection with its will, every topic of the station, and commands.

It has a client id of its own, because the broker would otherwise throw out a station that runs now. Its will is empty
and retained on the topic of the status: should this process be killed in the moment in which it is connected, the
status vanishes until the station repeats it. Probes are described in edge_runtime/mqtt/trial.py.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from dataclasses import replace

from edge_runtime.config import StationConfig
from edge_runtime.mqtt.broker import Broker, Subscription, Will
from edge_runtime.mqtt.connection import Connected
from edge_runtime.mqtt.packets import Received
from edge_runtime.mqtt.reason_codes import (
    ABOUT_THE_WILL,
    FIRST_ERROR,
    PACKET_TOO_LARGE,
    QOS_NOT_SUPPORTED,
    RETAIN_NOT_SUPPORTED,
    TEMPORARY,
    describe,
    permanent_refusal,
)
from edge_runtime.mqtt.topics import Topics
from edge_runtime.mqtt.trial import BrokerTrial, EndedError, probe
from edge_runtime.station.configured import broker_of
from edge_runtime.tools.finding import Finding
from latentline.errors import BrokerError, LatentlineError

_EVENT_BYTES = 1500  # of an event with a few defects
_LARGE_EVENT_BYTES = 16_000  # of one with some dozens
_MOST_NAMES = 10  # of topics in a sentence
_BATCH = 10  # probes on one connection: brokers limit how many may be unreleased
_ECHO_SECONDS = 3.0  # in which a message must come back that this client itself has published


def check_broker(config: StationConfig) -> Iterator[Finding]:
    """Try all that the station needs of its broker. The first finding that failed may be the last."""
    try:
        broker = replace(broker_of(config), client_id=f"{config.client_id}-check", clean_start=True)
        topics = Topics(config.mqtt.root, config.station.id)
        accepted = _connect(broker, topics)
        yield Finding("broker", True, f"{broker.address} accepts {broker.client_id}")
        yield from _topics(config, broker, accepted, topics)
        if config.commands.verbs:
            yield _commands(broker, topics)
    except LatentlineError as error:
        yield Finding("broker", False, str(error))


def _connect(broker: Broker, topics: Topics) -> Connected:
    """Connect as the station does, with a retained will. Raises BrokerError with what the broker does not accept."""
    try:
        with BrokerTrial(broker, Will(topics.status, b"", 0)) as trial:
            accepted = trial.accepted
    except EndedError as error:
        if not error.reason or error.reason in TEMPORARY or error.reason in ABOUT_THE_WILL:
            raise
        try:
            with BrokerTrial(broker):
                pass
        except BrokerError:
            raise error from None
        raise BrokerError(
            f"broker {broker.address} accepts this client, but not with the station's will, a retained message of "
            f"QoS 1 on {topics.status} ({describe(error.reason)}); allow it at the broker"
        ) from None
    lacking = QOS_NOT_SUPPORTED if accepted.maximum_qos < 1 else RETAIN_NOT_SUPPORTED if not accepted.retains else None
    if lacking is not None:  # brokers should have refused the will
        raise BrokerError(f"broker {broker.address} {permanent_refusal(lacking)}")
    return accepted


def _topics(config: StationConfig, broker: Broker, accepted: Connected, topics: Topics) -> Iterator[Finding]:
    """Publish a probe on every topic of the station."""
    payload = probe(config.station.id)
    probes = dict.fromkeys(_published(config, topics), payload)
    events = [topics.defect(camera.id) for camera in config.cameras]
    probes |= dict.fromkeys(events, probe(config.station.id, _EVENT_BYTES))
    refused = _refused(broker, accepted, list(probes.items()))
    if refused:
        yield Finding("topics", False, _refusals(config, broker, topics, refused))
    else:
        yield Finding("topics", True, f"this client may publish on all {len(probes)} topics of the station")
    if events[0] not in refused:
        large = _refused(broker, accepted, [(events[0], probe(config.station.id, _LARGE_EVENT_BYTES))])
        limit = accepted.maximum_packet_size
        if large or (limit is not None and limit < _LARGE_EVENT_BYTES):
            sentence = f"does not take messages of {_LARGE_EVENT_BYTES} bytes, which a frame with many defects can need"
            yield Finding("topics", True, f"broker {broker.address} {sentence}; raise its limit", warning=True)


def _published(config: StationConfig, topics: Topics) -> Iterator[str]:
    """Every topic on which this station publishes."""
    yield from (topics.status, topics.birth)
    if config.supervision.health_seconds is not None:
        yield topics.health
    for camera in config.cameras:
        yield from (topics.camera_status(camera.id), topics.defect(camera.id))
        if config.pictures is not None:
            yield topics.picture(camera.id)
        if config.mqtt.results:
            yield topics.result(camera.id)
    if config.commands.verbs:
        yield f"{topics.responses}/probe"


def _refused(broker: Broker, accepted: Connected, probes: list[tuple[str, bytes]]) -> dict[str, str]:
    """Topic -> why the broker does not take its probe. Raises BrokerError when it does not answer."""
    qos, refused, suspected = min(2, accepted.maximum_qos), dict[str, str](), set[str]()
    limit = accepted.maximum_packet_size
    while probes:
        with BrokerTrial(broker) as trial:
            for _ in range(min(_BATCH, accepted.receive_maximum, len(probes))):
                topic, payload = probes.pop(0)
                if limit is not None and len(payload) + len(topic) + 100 > limit:
                    refused[topic] = describe(PACKET_TOO_LARGE)
                    continue
                try:
                    reason = trial.publish(topic, payload, qos)
                except EndedError as error:  # some brokers answer so; the other topics need a new connection
                    if not error.reason and topic not in suspected:  # or the network failed
                        suspected.add(topic)
                        probes.append((topic, payload))
                        break
                    refused[topic] = describe(error.reason) if error.reason else "it closes the connection"
                    break
                if reason >= FIRST_ERROR:
                    refused[topic] = describe(reason)
    return refused


def _refusals(config: StationConfig, broker: Broker, topics: Topics, refused: dict[str, str]) -> str:
    by_reason: dict[str, list[str]] = {}
    for topic, reason in refused.items():
        by_reason.setdefault(reason, []).append(topic)
    what = "; ".join(f"{_listed(names)} ({reason})" for reason, names in by_reason.items())
    who = f"user '{config.mqtt.username}'" if config.mqtt.username else f"client {broker.client_id}"
    too_large = describe(PACKET_TOO_LARGE)
    advice = ["raise its limit on the size of messages"] * (too_large in by_reason)
    advice += [f"let {who} publish under {topics.at('#')}"] * bool(by_reason.keys() - {too_large})
    return f"broker {broker.address} refuses messages on {what}; {', and '.join(advice)}"


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _commands(broker: Broker, topics: Topics) -> Finding:
    """Subscribe to commands, and look whether a probe among them arrives."""
    arrived: queue.SimpleQueue[Received] = queue.SimpleQueue()
    topic_filter = topics.command("+")
    with BrokerTrial(broker, None, Subscription(topic_filter, arrived.put, no_local=False)) as trial:
        if (reason := trial.subscribed()) >= FIRST_ERROR:
            sentence = f"broker {broker.address} refuses the subscription to {topic_filter} ({describe(reason)})"
            return Finding("commands", False, f"{sentence}; let this station's user read this topic")
        try:
            refused = trial.publish(topics.command_probe, probe(topics.station), 1) >= FIRST_ERROR
        except EndedError:
            refused = True
        if refused:
            return Finding(
                "commands", True,
                f"broker {broker.address} accepts the subscription to {topic_filter}; whether commands arrive is not "
                f"known, because this client may not send one itself",
            )  # fmt: skip
        try:
            arrived.get(timeout=_ECHO_SECONDS)
        except queue.Empty:
            return Finding(
                "commands", False,
                f"broker {broker.address} accepts the subscription to {topic_filter}, but no command arrives; let this "
                "station's user read this topic",
            )  # fmt: skip
    return Finding("commands", True, f"commands on {topic_filter} arrive")
