"""A crew of actors on a Ray cluster. The package is put into the object store once; each actor opens it once."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentline.base.version import software_version
from latentline.errors import ConfigError, DatasetError, LatentlineError, WorkersError
from latentline.package.model_package import ModelPackage
from latentline.rescoring.crew import Batch, Finished

_CONNECT_SECONDS = 5.0
_PATIENCE_SECONDS = 30.0  # without any free worker, after which the log says so
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Colleague:
    actor: Any
    answer: Any  # ObjectRef of what it does now; None: it is idle
    place: str | None = None
    batch: Batch | None = None


class RayScorer:
    """The actor: opens the package, then scores batches."""

    def open(self, package: ModelPackage, folder: Path, version: str) -> str | LatentlineError:
        """Where this runs, after the package is open; or why it cannot be used here."""
        host = socket.gethostname()
        if software_version() != version:
            return WorkersError(
                f"the Ray worker on {host} has latentline {software_version()}, and here it is {version}; install the "
                "same version on every node"
            )
        if not folder.is_dir():
            return DatasetError(
                f"{folder}: the Ray worker on {host} cannot see this folder; mount it on every node under the same path"
            )
        from latentline.rescoring.scorer import PictureScorer

        try:
            self._scorer = PictureScorer(package)
        except LatentlineError as error:
            return error
        return f"the worker {os.getpid()} on {host}"

    def score(self, batch: Batch) -> object:
        """The rows of a batch."""
        return self._scorer.score(batch.pictures)


class RayCrew:
    """`Crew` of a Ray cluster, with one CPU for each worker.

    cluster  from `connect`
    folder   of the pictures, which each node must see under this path
    workers  None: as many as the cluster has CPUs
    """

    def __init__(self, cluster: Any, package: ModelPackage, folder: Path, workers: int | None = None) -> None:
        self._ray, self._folder = cluster, folder
        self._package = cluster.put(package)
        self._actor = cluster.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(RayScorer)
        count = workers or max(1, int(cluster.cluster_resources().get("CPU", 1)))
        self._colleagues = [self._start() for _ in range(count)]

    def idle(self) -> bool:
        """As `Crew.idle`."""
        return self._idle() is not None

    def give(self, batch: Batch) -> None:
        """As `Crew.give`."""
        colleague = self._idle()
        assert colleague is not None
        colleague.batch, colleague.answer = batch, colleague.actor.score.remote(batch)

    def wait(self) -> list[Finished]:
        """As `Crew.wait`. Raises what a worker says it cannot do, and WorkersError when the cluster has gone."""
        answers = {colleague.answer: colleague for colleague in self._colleagues if colleague.answer is not None}
        ready, _ = self._ray.wait(list(answers), timeout=_PATIENCE_SECONDS)
        if not ready:
            _log.warning("the Ray cluster has given no answer for %g s; its CPUs may be busy", _PATIENCE_SECONDS)
        return [finished for answer in ready if (finished := self._hear(answers[answer])) is not None]

    def close(self) -> None:
        """As `Crew.close`."""
        for colleague in self._colleagues:
            with suppress(Exception):  # the cluster may have gone
                self._ray.kill(colleague.actor)

    @property
    def places(self) -> list[str]:
        """Where the workers are that have opened the package, such as "the worker 4711 on node-2"."""
        return [colleague.place for colleague in self._colleagues if colleague.place is not None]

    def _idle(self) -> _Colleague | None:
        return next((c for c in self._colleagues if c.answer is None), None)

    def _start(self) -> _Colleague:
        actor = self._actor.remote()
        return _Colleague(actor, actor.open.remote(self._package, self._folder, software_version()))

    def _hear(self, colleague: _Colleague) -> Finished | None:
        """What a worker has to say; None: that it is ready."""
        answer, colleague.answer = colleague.answer, None
        try:
            message = self._ray.get(answer)
        except self._ray.exceptions.RayTaskError as error:  # our own code, or what it needs, is missing there
            raise WorkersError(f"a Ray worker cannot score pictures ({_first_line(error)})") from None
        except self._ray.exceptions.RayError as error:
            return self._replace(colleague, error)
        if isinstance(message, LatentlineError):
            raise message
        if colleague.batch is None:
            colleague.place = message
            return None
        batch, colleague.batch = colleague.batch, None
        return Finished(batch, message)

    def _replace(self, colleague: _Colleague, error: Exception) -> Finished:
        self._colleagues[self._colleagues.index(colleague)] = self._start()
        return Finished(colleague.batch, None, f"{colleague.place or 'a worker'}: {_first_line(error)}")


def connect(address: str) -> Any:
    """The module `ray`, connected to the cluster at `address`: HOST:PORT, ray://HOST:PORT, or auto for that of this
    machine. Raises ConfigError when Ray is not installed, and WorkersError when the cluster cannot be used."""
    try:
        import ray
    except ImportError:
        raise ConfigError("ray is not installed; install the extra `ray`: pip install 'latentline[ray]'") from None
    if ray.is_initialized():
        return ray
    _check_reachable(address)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # of many kinds
        reason = _first_line(error)
        if "ersion mismatch" in str(error):
            reason = " ".join(str(error).split()).removeprefix("Version mismatch: ")
            raise WorkersError(
                f"the Ray cluster at {address} has another version ({reason}); install the cluster's versions here"
            ) from None
        raise WorkersError(
            f"no Ray cluster can be used at {address} ({reason}); give HOST:PORT of its head, and its token "
            "in RAY_AUTH_TOKEN where it asks for one"
        ) from None
    return ray


def _check_reachable(address: str) -> None:
    """Raise WorkersError when nobody listens at HOST:PORT: Ray itself would try for a minute."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        if address == "auto":
            return
        raise WorkersError(f"'{address}' is no address of a Ray cluster; give HOST:PORT, ray://HOST:PORT or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise WorkersError(
            f"no Ray cluster answers at {address} ({reason}); start it, or correct the address"
        ) from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
