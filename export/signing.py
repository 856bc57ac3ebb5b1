"""Sign model packages with a key of the user's own, offline."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from latentline.base import atomic
from latentline.errors import ConfigError, PackageError
from latentline.package.files import read_files, zipped
from latentline.package.keys import key_id, read_key_file, require_cryptography
from latentline.package.model_package import load_package
from latentline.package.signature import SIGNATURE, Signature, signed_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def make_key(private: Path, password: bytes | None, not_after: date | None) -> tuple[Path, str]:
    """Make a key pair: `private`, readable by its owner only, and beside it the public key with the ending .pub.pem.

    password   encrypts the private key; None: it is not encrypted
    not_after  last day on which the key may sign; None: it never ends
    Returns the path of the public key and its id. Raises ConfigError when one of the files exists or cannot be written.
    """
    require_cryptography()
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = private.with_name(f"{private.name.removesuffix('.pem')}.pub.pem")
    for path in (private, public):
        if path.exists() or path.is_symlink():
            raise ConfigError(f"{path} exists, and a key is never overwritten; give another name")
    key = Ed25519PrivateKey.generate()
    encryption = form.BestAvailableEncryption(password) if password else form.NoEncryption()
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, encryption)
    shown = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    head = f"Not-After: {not_after}\n".encode() if not_after else b""
    try:
        atomic.write_bytes(private, pem, mode=0o600)
        atomic.write_bytes(public, head + shown)
    except OSError as error:
        private.unlink(missing_ok=True)  # one without the other is of no use
        raise ConfigError(f"{private}: the key cannot be written ({error.strerror}); give another folder") from None
    return public, key_id(key.public_key())


def sign_package(path: Path, key_file: Path, password: bytes | None, release: int | None, now: datetime) -> Signature:
    """Put signature.json into the package at `path`, in place of one that is there; return it.

    release  None: the time as a number, e.g. 202611050930
    now      with a time zone
    Raises PackageError for what a station would not load, ConfigError for the key. The package stays as it was unless
    the whole signature is on the disk.
    """
    key = _read_private_key(key_file, password)
    moment = now.astimezone(timezone.utc)
    model = load_package(path).model_hash
    number = int(f"{moment:%Y%m%d%H%M}") if release is None else release
    signed_at = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    value = key.sign(signed_text(model, number, signed_at)).hex()
    signature = Signature(key=key_id(key.public_key()), model=model, release=number, signed_at=signed_at, value=value)
    try:
        if path.is_dir():
            atomic.write_bytes(path / SIGNATURE, signature.to_bytes())
        else:
            atomic.write_bytes(path, zipped({**read_files(path), SIGNATURE: signature.to_bytes()}))
    except OSError as error:
        raise PackageError(f"{path}: the signature cannot be written ({error.strerror}); nothing has changed") from None
    return signature


def _read_private_key(path: Path, password: bytes | None) -> Ed25519PrivateKey:
    require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    _, pem = read_key_file(path)
    if b"PUBLIC KEY" in pem:
        raise ConfigError(f"{path}: a public key, which cannot sign; give the private key that belongs to it")
    encrypted = b"ENCRYPTED" in pem
    if encrypted and password is None:
        raise ConfigError(f"{path}: the key is encrypted; give its password with --password-file")
    try:
        key = load_pem_private_key(pem, password if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        wrong = "its password is wrong, or it is damaged" if encrypted else "not a private key in PEM format"
        raise ConfigError(f"{path}: {wrong}; give the file that `latentline-export make-key` wrote") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path}: a key of another kind; packages are signed with Ed25519 keys")
    return key
