"""The users of the page and their passwords, in a file that only the station's account can read."""

from __future__ import annotations

import json
import re
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import Field, ValidationError

from latentline.base.atomic import write_text
from latentline.base.strict_yaml import StrictModel
from latentline.errors import ConfigError

Role = Literal["operator", "engineer"]
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_LONGEST_PASSWORD = 256  # characters; argon2 takes any number, a request should not
# argon2id in one thread, so that a login takes no core from the inspection: 64 MiB, about a tenth of a second
_hash = PasswordHasher(parallelism=1)
_NOBODY = _hash.hash(secrets.token_hex(16))  # a name that nobody has takes as long as one that somebody has


class StoredUser(StrictModel):
    """A user in the file. password: its argon2 hash."""

    role: Role
    password: str


class StoredUsers(StrictModel):
    """The content of the file."""

    schema_version: Literal[1] = 1
    users: dict[str, StoredUser] = Field(default_factory=dict)


@dataclass(frozen=True)
class PageUser:
    """Who has logged in. stamp: the hash of the password; when that changes, the sessions of the old one end."""

    name: str
    role: Role
    stamp: str

    @property
    def is_engineer(self) -> bool:
        """Whether the user may change threshold and model."""
        return self.role == "engineer"


class UserFile:
    """The users. Reads the file again when it has changed, so a user can be added while the station runs.

    Any thread may call. All methods raise ConfigError when the file cannot be read or is broken.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read_at: tuple[int, int, int] | None = None
        self._content = StoredUsers()

    @property
    def names(self) -> dict[str, Role]:
        """The role of each user."""
        return {name: user.role for name, user in self._users().users.items()}

    def find(self, name: str) -> PageUser | None:
        """The user of this name; None: there is none."""
        user = self._users().users.get(name)
        return None if user is None else PageUser(name, user.role, user.password)

    def log_in(self, name: str, password: str) -> PageUser | None:
        """The user, if the password is right. Takes a tenth of a second, whether somebody has the name or not."""
        user = self.find(name)
        try:
            _hash.verify(_NOBODY if user is None else user.stamp, password[:_LONGEST_PASSWORD])
        except (VerificationError, InvalidHashError):
            return None
        return user

    def add(self, name: str, role: Role) -> str:
        """Add a user; returns the password made for them. Raises ConfigError for a name that is taken or odd."""
        if not _NAME.fullmatch(name):
            raise ConfigError(f"user {name!r}: give a name of up to 64 letters, digits and _ . @ -")
        if name in self._users().users:
            raise ConfigError(f"user {name} is there already; `page new-password` gives them a new password")
        return self._set(name, role)

    def new_password(self, name: str) -> str:
        """Give a user a new password and return it; their sessions end. Raises ConfigError: there is no such user."""
        return self._set(name, self._known(name).role)

    def remove(self, name: str) -> None:
        """Remove a user; their sessions end. Raises ConfigError when there is no such user."""
        self._known(name)
        content = self._users()
        self._write({known: user for known, user in content.users.items() if known != name})

    def _known(self, name: str) -> StoredUser:
        if (user := self._users().users.get(name)) is None:
            known = ", ".join(sorted(self._users().users)) or "nobody"
            raise ConfigError(f"there is no user {name!r} in {self._path}, only: {known}")
        return user

    def _set(self, name: str, role: Role) -> str:
        password = "-".join(secrets.token_hex(2) for _ in range(4))  # 64 bits, to be read from a terminal
        self._write({**self._users().users, name: StoredUser(role=role, password=_hash.hash(password))})
        return password

    def _write(self, users: dict[str, StoredUser]) -> None:
        content = json.dumps(StoredUsers(users=users).model_dump(), indent=2) + "\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._path, content, mode=0o600)
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be written ({error.strerror}); nothing has changed") from None

    def _users(self) -> StoredUsers:
        with self._lock:
            try:
                status = self._path.stat()
                version = status.st_mtime_ns, status.st_ino, status.st_size
                if version != self._read_at:
                    self._content = StoredUsers.model_validate_json(self._path.read_bytes())
                    self._read_at = version
            except FileNotFoundError:
                self._content, self._read_at = StoredUsers(), None
            except ValidationError:
                raise ConfigError(
                    f"{self._path}: not a file of users; put the one of a backup there, or remove it and add the users "
                    "again"
                ) from None
            except OSError as error:
                raise ConfigError(f"{self._path}: cannot be read ({error.strerror}); check its permissions") from None
            return self._content
