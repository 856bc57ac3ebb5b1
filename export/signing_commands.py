"""`latentline-export make-key | sign | verify-signature`."""

from __future__ import annotations

import argparse
import json
from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from latentline.errors import ConfigError, VerificationError
from latentline.package.keys import SignatureError, read_public_keys, trusted_key
from latentline.package.signature import MOST_RELEASE, Signature

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction


def add_signing_commands(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the three commands to the parser of `latentline-export`."""
    make = commands.add_parser("make-key", help="make a pair of keys to sign packages with")
    make.add_argument("key", type=Path, help="the private key to write; the public one is NAME.pub.pem beside it")
    make.add_argument("--not-after", type=_day, metavar="YYYY-MM-DD", help="last day on which the key may sign")
    make.add_argument("--password-file", type=Path, metavar="FILE", help="encrypt the private key with this password")
    make.set_defaults(run=_make_key)
    sign = commands.add_parser("sign", help="sign a package with your own key, for stations that trust it")
    sign.add_argument("package", type=Path, help="folder or .zip of the model package")
    sign.add_argument("--key", type=Path, required=True, help="the private key, in PEM format")
    sign.add_argument("--password-file", type=Path, metavar="FILE", help="password of the private key")
    sign.add_argument(
        "--release", type=_release, metavar="N", help="number that grows with each release (default: the time in UTC)"
    )
    sign.set_defaults(run=_sign)
    verify = commands.add_parser("verify-signature", help="say who signed a package, and whether you trust them")
    verify.add_argument("package", type=Path, help="folder or .zip of the model package")
    verify.add_argument(
        "--key", type=Path, required=True, nargs="+", metavar="PUB", help="public keys, or folders of them"
    )
    verify.add_argument("--json", action="store_true", help="print the signature as JSON")
    verify.set_defaults(run=_verify_signature)


def _make_key(arguments: argparse.Namespace) -> int:
    from export.signing import make_key

    public, key = make_key(arguments.key, _password(arguments.password_file), arguments.not_after)
    print(f"{arguments.key}: the private key; it signs packages, so keep it off the stations")
    print(f"{public}: the public key {key[:12]}…, for commands.trusted_keys of the stations")
    return 0


def _sign(arguments: argparse.Namespace) -> int:
    from export.signing import sign_package

    password = _password(arguments.password_file)
    signature = sign_package(arguments.package, arguments.key, password, arguments.release, datetime.now(timezone.utc))
    print(f"{arguments.package}: release {signature.release}, signed by key {signature.key[:12]}…")
    return 0


def _verify_signature(arguments: argparse.Namespace) -> int:
    from latentline.package.model_package import load_package

    keys = read_public_keys(arguments.key)
    package = str(arguments.package)

    def admit(signature: Signature | None, source: str) -> None:
        try:
            trusted_key(signature, keys, source)
        except SignatureError as error:
            raise VerificationError(str(error)) from None

    signature = load_package(arguments.package, admit).signature
    assert signature is not None  # else it was not admitted
    key = next(key for key in keys if key.id == signature.key)
    if arguments.json:
        print(json.dumps({"package": package, "key_file": str(key.source), **signature.model_dump()}, indent=2))
    else:
        print(f"{package}: release {signature.release}, signed by {key} at {signature.signed_at}")
    return 0


def _password(path: Path | None) -> bytes | None:
    """The first line of a file. Raises ConfigError when it cannot be read or is empty."""
    if path is None:
        return None
    try:
        password = path.read_bytes().partition(b"\n")[0].rstrip(b"\r")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a file that holds the password") from None
    if not password:
        raise ConfigError(f"{path}: holds no password; write it into the first line")
    return password


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a day such as 2027-12-31") from None


def _release(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_RELEASE:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 to {MOST_RELEASE}")
    return int(text)
