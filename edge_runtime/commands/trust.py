"""Which packages a station runs: those signed by a trusted key, and no release older than one it has accepted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from edge_runtime.mqtt.events import now
from latentline.base import atomic
from latentline.base.strict_yaml import StrictModel
from latentline.errors import ConfigError, LatentlineError
from latentline.package.keys import SignatureError, read_public_keys, trusted_key
from latentline.package.signature import Signature


class AcceptedRelease(StrictModel):
    """The content of the file.

    release  the highest that the station has accepted; no lower one is accepted
    model    sha256 of the model that runs; None: unknown
    before   sha256 of the model that ran before `release` came, to which the station may go back
    at       UTC
    """

    schema_version: Literal[1] = 1
    release: int = Field(ge=0)
    model: str | None = None
    before: str | None = None
    at: str


class ReleaseFile:
    """The highest accepted release, in a small JSON file. It is read anew each time: an engineer may change it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> AcceptedRelease | None:
        """The content; None where there is no file yet. Raises ConfigError when it is broken or cannot be read."""
        try:
            return AcceptedRelease.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            reason = (error.strerror or str(error)) if isinstance(error, OSError) else "it is broken"
            raise ConfigError(
                f"{self._path}, which says what release is the lowest that this station accepts, cannot be read "
                f"({reason}); remove it and set that release with `latentline-edge lowest-release STATION.yaml N`"
            ) from None

    def write(self, content: AcceptedRelease) -> None:
        """Replace the file. Raises ConfigError when it cannot be written."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_text(self._path, content.model_dump_json(indent=2) + "\n")
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(f"{self._path} cannot be written ({reason}), so nothing has changed") from None

    def set_lowest(self, release: int) -> None:
        """Let the station accept `release` and later ones from now on. Raises ConfigError."""
        known = self.read()
        content = AcceptedRelease(release=release, at=now())
        self.write(content if known is None else known.model_copy(update={"release": release, "at": content.at}))


def admit_package(keys: tuple[Path, ...], file: ReleaseFile, signature: Signature | None, source: str) -> None:
    """As `Trust.admit`, in another process. Raises PackageError and ConfigError."""
    Trust(keys, file).admit(signature, source)


class Trust:
    """Admits packages. Used by the thread that loads one, and by the station's.

    keys   files of public keys, or folders of them, read anew for each package; none: every package is admitted
    file   remembers the highest release
    today  the day in UTC
    """

    def __init__(self, keys: tuple[Path, ...], file: ReleaseFile, today: Callable[[], date] | None = None) -> None:
        self._keys, self._file = keys, file
        self._today = today or (lambda: datetime.now(timezone.utc).date())
        self._running: Signature | None = None

    def admit(self, signature: Signature | None, source: str) -> None:
        """Raise PackageError, naming `source`, unless the station may run the package; ConfigError for a key file.

        The model that runs, and the one that ran before the newest release, are admitted whatever their release is, and
        also when their key has ended since.
        """
        if not self._keys:
            return
        key = trusted_key(signature, read_public_keys(self._keys), source)
        assert signature is not None  # else no key is trusted
        known = self._file.read()
        if known is not None and signature.model in (known.model, known.before):
            return
        if key.not_after is not None and self._today() > key.not_after:
            raise SignatureError(
                f"{source}: {key}, which signed it, ended with {key.not_after}; sign it with another key"
            )
        if known is not None and signature.release < known.release:
            raise SignatureError(
                f"{source}: release {signature.release}, and this station has accepted release {known.release}; "
                "sign it as a later one, or let this station go back with "
                f"`latentline-edge lowest-release STATION.yaml {signature.release}`"
            )

    def use(self, signature: Signature | None) -> None:
        """Note that the station is going to run this admitted package. Raises ConfigError when it cannot be written."""
        if self._keys and signature is not None:
            known = self._file.read() or AcceptedRelease(release=0, at=now())
            newer = signature.release > known.release
            content = AcceptedRelease(
                release=max(signature.release, known.release),
                model=signature.model,
                before=known.model if newer and known.model != signature.model else known.before,
                at=now(),
            )
            if content.model_copy(update={"at": known.at}) != known:
                self._file.write(content)
        self._running = signature

    def fault(self) -> str | None:
        """Why the next start would refuse the model that runs now; None: it would not, or nobody knows."""
        try:
            self.admit(self._running, "the running model")
        except LatentlineError as error:
            return f"{error}; it runs on, but the next start refuses it"
        return None
