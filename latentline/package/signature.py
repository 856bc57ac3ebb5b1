"""signature.json of a model package: which key vouches for the package, and as which release.

The key signs a short text that names the package by the sha256 of its manifest, which holds the sha256 of every other
file. So a signature covers the whole package, and adding one changes neither manifest nor `model_hash`.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import Field, ValidationError

from latentline.base.strict_yaml import StrictModel
from latentline.errors import PackageError

SIGNATURE = "signature.json"
MOST_RELEASE = 10**15
_SIZE_LIMIT = 4096  # bytes of a signature.json, which has some 400
_SHA256 = r"^[0-9a-f]{64}$"


class Signature(StrictModel):
    """signature.json.

    key        id of the public key: sha256 of its 32 bytes
    model      sha256 of manifest.json
    release    number that grows from release to release
    signed_at  UTC, e.g. 2026-11-05T09:30:00Z
    value      Ed25519 signature of `text`, hexadecimal
    """

    schema_version: Literal[1] = 1
    algorithm: Literal["ed25519"] = "ed25519"
    key: str = Field(pattern=_SHA256)
    model: str = Field(pattern=_SHA256)
    release: int = Field(ge=1, le=MOST_RELEASE)
    signed_at: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
    value: str = Field(pattern=r"^[0-9a-f]{128}$")

    @property
    def text(self) -> bytes:
        """What the key signs."""
        return signed_text(self.model, self.release, self.signed_at)

    def to_bytes(self) -> bytes:
        """The content of signature.json."""
        return self.model_dump_json(indent=2).encode() + b"\n"


def signed_text(model: str, release: int, signed_at: str) -> bytes:
    """The text that a key signs. Its first line keeps the key's other signatures from being taken for one of these."""
    return f"latentline package signature 1\nmodel {model}\nrelease {release}\nsigned_at {signed_at}\n".encode()


def parse_signature(content: bytes, model: str, source: str) -> Signature:
    """The signature in `content`, unverified. model: sha256 of the package's manifest.

    Raises PackageError, naming `source`, when it is no signature, or that of another package.
    """
    try:
        signature = Signature.model_validate(json.loads(content if len(content) <= _SIZE_LIMIT else b""))
    except (ValueError, RecursionError, ValidationError):
        raise PackageError(
            f"{source} is not a signature that this latentline reads; copy the package again, or sign it again"
        ) from None
    if signature.model != model:
        raise PackageError(
            f"{source} is the signature of another package (sha256 {signature.model[:12]}…, this one has "
            f"{model[:12]}…); copy the package again, or sign it again"
        )
    return signature
