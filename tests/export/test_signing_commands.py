"""`latentline-export make-key | sign | verify-signature`, with keys of OpenSSL too."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from export.cli import main
from tests.packages import write_tiny_package


def test_make_sign_and_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The three commands work together; another key is told apart with exit code 1."""
    package, key = str(write_tiny_package(tmp_path / "p.zip")), str(tmp_path / "key.pem")
    assert main(["make-key", key]) == main(["make-key", str(tmp_path / "other.pem")]) == 0
    assert main(["sign", package, "--key", key, "--release", "12"]) == 0
    public, other = str(tmp_path / "key.pub.pem"), str(tmp_path / "other.pub.pem")
    capsys.readouterr()
    assert main(["verify-signature", package, "--key", other, public, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["release"], report["key_file"]) == (12, public)
    assert main(["verify-signature", package, "--key", other]) == 1
    assert "which is not trusted; trusted: other.pub.pem" in capsys.readouterr().err
    assert main(["verify-signature", str(tmp_path / "absent.zip"), "--key", public]) == 2


def test_keys_of_openssl_work(tmp_path: Path) -> None:
    """Who has keys already, or makes them elsewhere, needs no make-key."""
    if shutil.which("openssl") is None:
        pytest.skip("OPENSSL IS MISSING: install the package `openssl`")
    package, key, public = write_tiny_package(tmp_path / "p"), tmp_path / "k.pem", tmp_path / "k.pub.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)], check=True)
    subprocess.run(["openssl", "pkey", "-in", str(key), "-pubout", "-out", str(public)], check=True)
    assert main(["sign", str(package), "--key", str(key)]) == 0
    assert main(["verify-signature", str(package), "--key", str(public)]) == 0


def test_mistakes_are_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A key of another kind, and a release that is no number."""
    package = str(write_tiny_package(tmp_path / "p"))
    if shutil.which("openssl") is not None:
        rsa = str(tmp_path / "rsa.pem")
        subprocess.run(
            ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", rsa], check=True
        )
        assert main(["sign", package, "--key", rsa]) == 2
        assert "a key of another kind" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["sign", package, "--key", "k", "--release", "0"])
