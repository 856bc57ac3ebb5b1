"""Public keys that a user trusts, and whether one of them has signed a package.

A key is a file in PEM format, as `latentline-export make-key` or `openssl pkey -pubout` writes it. A line
`Not-After: 2027-12-31` above the key ends it with that day, in UTC.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from latentline.errors import ConfigError, PackageError
from latentline.package.signature import Signature

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_SIZE_LIMIT = 16 * 1024  # bytes of a key file, which has some hundred
_MOST_KEYS = 100
_BEGIN = b"-----BEGIN "
_NOT_AFTER = re.compile(rb"^Not-After:[ \t]*(\S*)[ \t]*\r?$", re.MULTILINE | re.IGNORECASE)


class SignatureError(PackageError):
    """A package is not signed by a key that is trusted."""


@dataclass(frozen=True)
class PublicKey:
    """A trusted key. id: sha256 of its 32 bytes; source: its file; not_after: its last day, UTC, or None."""

    key: Ed25519PublicKey
    id: str
    source: Path
    not_after: date | None = None

    def __str__(self) -> str:
        return f"{self.source.name} ({self.id[:12]}…)"


def require_cryptography() -> None:
    """Raise ConfigError where the package `cryptography` is missing."""
    try:
        import cryptography  # noqa: F401  # only whether it is there
    except ImportError:
        raise ConfigError(
            "signatures need the package cryptography, which is not installed; `pip install latentline[signed]`"
        ) from None


def key_id(public: Ed25519PublicKey) -> str:
    """The id of a key: sha256 of its 32 bytes, hexadecimal."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()


def read_public_keys(places: Sequence[Path]) -> tuple[PublicKey, ...]:
    """The keys in these files, and in the .pem files of these folders.

    Raises ConfigError that names the file which cannot be read or is no Ed25519 public key, or the folder without one.
    """
    require_cryptography()
    files: list[Path] = []
    for place in places:
        found = sorted(place.glob("*.pem")) if place.is_dir() else [place]
        if not found:
            raise ConfigError(f"{place}: no .pem file of a public key is in this folder; put one there")
        files += found
    if len(files) > _MOST_KEYS:
        raise ConfigError(f"{len(files)} keys are more than {_MOST_KEYS}; trust fewer")
    return tuple(_read_public_key(file) for file in files)


def read_key_file(path: Path) -> tuple[bytes, bytes]:
    """The text above the key in a PEM file, and the key. Raises ConfigError when it cannot be read or holds no key."""
    try:
        with path.open("rb") as file:
            content = file.read(_SIZE_LIMIT + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the PEM file of a key") from None
    start = content.find(_BEGIN)
    if start < 0 or len(content) > _SIZE_LIMIT:
        raise ConfigError(f"{path}: not a key in PEM format; make one with `latentline-export make-key`")
    return content[:start], content[start:]


def trusted_key(signature: Signature | None, keys: Sequence[PublicKey], source: str) -> PublicKey:
    """The key of `keys` that made `signature`. Raises SignatureError, naming `source` and the trusted keys."""
    trusted = ", ".join(map(str, keys))
    if signature is None:
        raise SignatureError(f"{source}: not signed, and only packages signed by {trusted} are trusted; sign it")
    key = next((key for key in keys if key.id == signature.key), None)
    if key is None:
        raise SignatureError(
            f"{source}: signed by key {signature.key[:12]}…, which is not trusted; trusted: {trusted}; "
            "sign it with one of these, or add its key where you know it"
        )
    from cryptography.exceptions import InvalidSignature

    try:
        key.key.verify(bytes.fromhex(signature.value), signature.text)
    except InvalidSignature:
        raise SignatureError(
            f"{source}: its signature is wrong: {key} has not made it, or it was changed since; do not use this package"
        ) from None
    if key.not_after is not None and signature.signed_at[:10] > key.not_after.isoformat():
        raise SignatureError(
            f"{source}: signed on {signature.signed_at[:10]} by {key}, which ended with {key.not_after}; "
            "sign it with another key"
        )
    return key


def _read_public_key(path: Path) -> PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    text, pem = read_key_file(path)
    if b"PRIVATE KEY" in pem:
        raise ConfigError(f"{path}: a private key, which only signs; give the public key, and keep this one elsewhere")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{path}: not a public key in PEM format; copy it again") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path}: a key of another kind; packages are signed with Ed25519 keys")
    return PublicKey(key, key_id(key), path, _not_after(text, path))


def _not_after(text: bytes, path: Path) -> date | None:
    found = _NOT_AFTER.search(text)
    if found is None:
        return None
    try:
        return date.fromisoformat(found[1].decode())
    except ValueError:
        raise ConfigError(f"{path}: 'Not-After' is not a date such as 2027-12-31; correct that line") from None
