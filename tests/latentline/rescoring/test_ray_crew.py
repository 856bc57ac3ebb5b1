"""A real Ray cluster on this machine: two CPUs, a small object store, and a token of its own."""

from __future__ import annotations

import importlib.util
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.cli import main
from latentline.package.model_package import load_package
from latentline.rescoring.crew import BATCH
from latentline.rescoring.local_crew import LocalCrew
from latentline.rescoring.pictures import list_pictures
from latentline.rescoring.rescore import rescore
from tests.latentline.rescoring.pictures import write_pictures
from tests.packages import write_tiny_package
from tests.sharing import free_port

pytest.importorskip("pyarrow", reason="PYARROW IS MISSING: no table of scores was tested; install the extra `rescore`")
if importlib.util.find_spec("ray") is None:
    pytest.skip("RAY IS MISSING: no cluster was tested; install the extra `ray`", allow_module_level=True)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_package(tmp_path_factory.mktemp("model") / "tiny.zip")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_pictures(tmp_path_factory.mktemp("pictures"), 5 * BATCH)
    (folder / "005.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def local(folder: Path, package: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The table by one process of this machine."""
    out = tmp_path_factory.mktemp("local") / "scores.parquet"
    rescore(list_pictures(folder), load_package(package), out, lambda opened: LocalCrew(opened, 1))
    return out.read_bytes()


@pytest.fixture(scope="module")
def cluster(folder: Path, package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A cluster that asks for a token, which the environment has; and what `ray_cluster` did on it, table included."""
    out = tmp_path_factory.mktemp("cluster") / "scores.parquet"
    command = [sys.executable, "-m", "tests.latentline.rescoring.ray_cluster", str(folder), str(package), str(out)]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_AUTH_MODE", "token")
        environment.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = next(line for line in process.stdout if line.startswith("{"))
            yield {**json.loads(said), "table": out.read_bytes()}
            process.communicate()


def test_a_cluster_that_loses_workers_gives_the_table_of_one_process(cluster: dict[str, Any], local: bytes) -> None:
    """Batches of killed workers are tried again and counted, and the file is the same, to the bit."""
    assert cluster["retried"] >= 1
    assert cluster["table"] == local


def test_a_node_that_cannot_see_the_pictures_says_so(cluster: dict[str, Any]) -> None:
    """A folder that is not mounted there is one sentence, not a table of pictures that cannot be read."""
    assert "mount it on every node" in cluster["unseen"]


def test_the_command_works_on_a_cluster_by_its_address(
    cluster: dict[str, Any], folder: Path, package: Path, local: bytes, tmp_path: Path
) -> None:
    """Another process, with nothing but address and token, does the same; one of another version is refused."""
    out = tmp_path / "scores.parquet"
    rest = ["rescore", str(folder), "--package", str(package), "--out", str(out), "--ray", cluster["address"], "--json"]
    done = subprocess.run([sys.executable, "-m", "edge_runtime", *rest], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["unreadable"] == 1
    assert out.read_bytes() == local
    older = (
        "import sys, ray; ray.__version__ = '2.0.0'; from edge_runtime.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    refused = subprocess.run([sys.executable, "-c", older, *rest], capture_output=True, text=True)
    assert refused.returncode == 2
    assert "has another version" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.parametrize(("address", "words"), [("somewhere", "is no address"), (None, "no Ray cluster answers")])
def test_a_wrong_address_is_a_sentence(
    address: str | None, words: str, folder: Path, package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At once, with the exit code of a user's mistake."""
    wrong = ["--ray", address or f"127.0.0.1:{free_port()}"]
    where = ["--package", str(package), "--out", str(tmp_path / "scores.parquet")]
    assert main(["rescore", str(folder), *where, *wrong]) == 2
    assert words in capsys.readouterr().err
