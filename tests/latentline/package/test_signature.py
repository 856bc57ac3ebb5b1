"""A package that the user's key has signed is loaded; any other is refused in one sentence, before it is looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from export.signing import make_key, sign_package
from latentline.errors import ConfigError, PackageError
from latentline.package import keys
from latentline.package.files import read_files, zipped
from latentline.package.keys import SignatureError, read_public_keys, trusted_key
from latentline.package.model_package import Admit, load_package
from latentline.package.signature import SIGNATURE
from tests.packages import write_tiny_package

NOON = datetime(2026, 11, 5, 12, 0, tzinfo=timezone.utc)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_tiny_package(tmp_path / "package.zip")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_key(tmp_path / "key.pem", None, None)
    return tmp_path / "key.pem"


def _admit(*places: Path) -> Admit:
    trusted = read_public_keys(places)

    def admit(signature: Any, source: str) -> None:
        trusted_key(signature, trusted, source)

    return admit


def _rewritten(package: Path, change: Callable[[dict[str, bytes]], Any]) -> None:
    files = read_files(package)
    change(files)
    package.write_bytes(zipped(files))


@pytest.mark.parametrize("name", ["folder", "file.zip"])
def test_a_signed_package_is_the_same_model(tmp_path: Path, key: Path, name: str) -> None:
    """A signature changes neither the model's hash nor a file, in a folder and in a .zip; signing again replaces it."""
    package = write_tiny_package(tmp_path / name)
    before, model = read_files(package), load_package(package).model_hash
    sign_package(package, key, None, 6, NOON)
    sign_package(package, key, None, 7, NOON)
    signed = load_package(package, _admit(tmp_path / "key.pub.pem"))
    assert signed.signature is not None and (signed.signature.release, signed.model_hash) == (7, model)
    assert {name: content for name, content in read_files(package).items() if name != SIGNATURE} == before


def test_the_release_is_the_time_by_default(package: Path, key: Path) -> None:
    """So it grows without a list of the releases."""
    assert sign_package(package, key, None, None, NOON).release == 202611051200


def test_an_unsigned_package_is_refused_before_anything_else(package: Path, key: Path) -> None:
    """The sentence names the trusted keys; what else is wrong with the package is not looked at."""
    _rewritten(package, lambda files: files.update({"manifest.json": b"{"}))
    with pytest.raises(SignatureError, match=r"package.zip: not signed, and only packages signed by key.pub.pem \("):
        load_package(package, _admit(key.with_name("key.pub.pem")))


def test_a_foreign_key_is_refused(package: Path, key: Path, tmp_path: Path) -> None:
    """The sentence says which key signed, and which are trusted. A replaced key is a foreign one."""
    _, foreign = make_key(tmp_path / "foreign.pem", None, None)
    sign_package(package, tmp_path / "foreign.pem", None, None, NOON)
    with pytest.raises(SignatureError, match=rf"signed by key {foreign[:12]}…, .* trusted: key.pub.pem \("):
        load_package(package, _admit(key.with_name("key.pub.pem")))
    (tmp_path / "trusted").mkdir()
    (tmp_path / "foreign.pub.pem").rename(tmp_path / "trusted" / "new.pem")
    load_package(package, _admit(key.with_name("key.pub.pem"), tmp_path / "trusted"))


@pytest.mark.parametrize(
    "change",
    [
        lambda signature: signature.update(release=8),
        lambda signature: signature.update(signed_at="2026-11-04T12:00:00Z"),
        lambda signature: signature.update(value=signature["value"][::-1]),
    ],
)
def test_a_changed_signature_is_refused(package: Path, key: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Nobody without the key can give a package another release or another date."""
    sign_package(package, key, None, 7, NOON)

    def edit(files: dict[str, bytes]) -> None:
        signature = json.loads(files[SIGNATURE])
        change(signature)
        files[SIGNATURE] = json.dumps(signature).encode()

    _rewritten(package, edit)
    with pytest.raises(SignatureError, match="its signature is wrong"):
        load_package(package, _admit(key.with_name("key.pub.pem")))


def test_a_changed_byte_is_refused(package: Path, key: Path) -> None:
    """Of the manifest by the signature, of any other file by the manifest, with trusted keys and without."""
    sign_package(package, key, None, 7, NOON)
    whole = package.read_bytes()
    _rewritten(package, lambda files: files.update({"generator.onnx": files["generator.onnx"] + b"x"}))
    with pytest.raises(PackageError, match=r"generator.onnx is damaged"):
        load_package(package, _admit(key.with_name("key.pub.pem")))
    package.write_bytes(whole)
    _rewritten(package, lambda files: files.update({"manifest.json": files["manifest.json"] + b" "}))
    with pytest.raises(PackageError, match="is the signature of another package"):
        load_package(package)


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 3000, b"x" * 100_000, b'{"release": 1e400}'])
def test_what_is_no_signature_is_refused(package: Path, content: bytes) -> None:
    """Also where nobody asks for one: the package is damaged."""
    _rewritten(package, lambda files: files.update({SIGNATURE: content}))
    with pytest.raises(PackageError, match=r"signature.json is not a signature"):
        load_package(package)


def test_a_key_ends(package: Path, tmp_path: Path) -> None:
    """What it signed on its last day is trusted, what it signed later is not."""
    make_key(tmp_path / "key.pem", None, NOON.date())
    sign_package(package, tmp_path / "key.pem", None, 1, NOON)
    load_package(package, _admit(tmp_path / "key.pub.pem"))
    sign_package(package, tmp_path / "key.pem", None, 2, NOON.replace(day=6))
    with pytest.raises(SignatureError, match=r"signed on 2026-11-06 by key.pub.pem .*, which ended with 2026-11-05"):
        load_package(package, _admit(tmp_path / "key.pub.pem"))


def test_a_package_that_no_station_would_load_is_not_signed(package: Path, key: Path) -> None:
    """A key does not vouch for damage, and the package stays as it was."""
    _rewritten(package, lambda files: files.update({"generator.onnx": b"x"}))
    before = package.read_bytes()
    with pytest.raises(PackageError, match="is damaged"):
        sign_package(package, key, None, None, NOON)
    assert package.read_bytes() == before


def test_keys_are_kept_apart(package: Path, key: Path, tmp_path: Path) -> None:
    """A private key is not trusted, a public one does not sign, neither is overwritten, and others do not read it."""
    public = tmp_path / "key.pub.pem"
    with pytest.raises(ConfigError, match=r"key.pem: a private key, which only signs"):
        read_public_keys([key])
    with pytest.raises(ConfigError, match=r"key.pub.pem: a public key, which cannot sign"):
        sign_package(package, public, None, None, NOON)
    with pytest.raises(ConfigError, match="a key is never overwritten"):
        make_key(key, None, None)
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_key_can_have_a_password(package: Path, tmp_path: Path) -> None:
    """Without it, or with a wrong one, the sentence says so."""
    key = tmp_path / "key.pem"
    make_key(key, b"open", None)
    with pytest.raises(ConfigError, match="the key is encrypted; give its password"):
        sign_package(package, key, None, None, NOON)
    with pytest.raises(ConfigError, match="its password is wrong"):
        sign_package(package, key, b"sesame", None, NOON)
    sign_package(package, key, b"open", None, NOON)
    load_package(package, _admit(tmp_path / "key.pub.pem"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not a key in PEM format"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a public key in PEM format"),
        (b"-----BEGIN PUBLIC KEY-----\n" + b"A" * 20_000, "not a key in PEM format"),
    ],
)
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    """The sentence names the file."""
    (tmp_path / "some.pem").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"some.pem: {sentence}"):
        read_public_keys([tmp_path / "some.pem"])


def test_faults_of_key_files_name_the_place(tmp_path: Path, key: Path) -> None:
    """A folder without keys, an absent file, a day that does not exist."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty: no .pem file of a public key"):
        read_public_keys([tmp_path / "empty"])
    with pytest.raises(ConfigError, match=r"absent.pem: cannot be read"):
        read_public_keys([tmp_path / "absent.pem"])
    public = tmp_path / "key.pub.pem"
    public.write_bytes(b"Not-After: 2027-02-31\n" + public.read_bytes())
    with pytest.raises(ConfigError, match=r"'Not-After' is not a date"):
        read_public_keys([public])


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch, key: Path) -> None:
    """It says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "cryptography", None)
    with pytest.raises(ConfigError, match=r"pip install latentline\[signed\]"):
        keys.read_public_keys([key])
