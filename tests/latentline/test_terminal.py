"""No command line ends with a traceback because of its output, its user or its machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from latentline.base.home import expanded
from latentline.errors import ConfigError, run_command
from tests.paths import ROOT
from tests.threads import refused

_PRINTING = (
    "import sys; from latentline.errors import run_command\ndef work():\n {}\n return 0\nsys.exit(run_command(work))"
)


def _run(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, text=True, stderr=subprocess.PIPE, timeout=60, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_any_text_is_printed_in_any_encoding(encoding: str) -> None:
    """What the encoding of the output lacks is printed as an escape, also a file name that is no text."""
    code = _PRINTING.format(r"print('\u2192 \u6f22 \udcff \u2265'); print('\u2192', file=sys.stderr)")
    done = _run(code, stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"})
    assert done.returncode == 0 and "Traceback" not in done.stderr and "\\udcff" in done.stdout


def test_help_is_printed_in_any_encoding() -> None:
    """Every program says what it can do where the terminal knows ASCII only."""
    for module in ("edge_runtime.cli", "export.cli", "trainer.cli"):
        code = f"import sys; from {module} import main; main(['--help'])"
        done = _run(code, stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": "ascii"})
        assert done.returncode == 0 and done.stdout.startswith("usage: latentline-"), done.stderr


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_closed_pipe_is_no_traceback(lines: int) -> None:
    """When nobody reads the output any more, the command ends quietly with 141, whether it noticed early or late."""
    reader, writer = os.pipe()
    os.close(reader)
    done = _run(_PRINTING.format(f"print('line\\n' * {lines})"), stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_closed_streams_are_no_traceback(tmp_path: Path, closed: tuple[int, ...]) -> None:
    """What the shell has closed takes any output, and no file that is opened later gets its number."""
    note = f"open({str(tmp_path / 'n')!r}, 'w').write(str(open('/etc/hosts').fileno()))"
    work = f"print('x'); print('y', file=sys.stderr); {note}"
    redirects = " ".join(f"{number}>&-" for number in closed)
    command = f'exec "$0" -c "$1" {redirects}'
    code = _PRINTING.format(work)
    done = subprocess.run(["sh", "-c", command, sys.executable, code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "" if 1 in closed else "x\n")
    assert done.stderr == ("" if 2 in closed else "y\n")
    assert int((tmp_path / "n").read_text()) > 2


def test_a_name_that_the_machine_cannot_encode_is_one_sentence() -> None:
    """A file name outside of the encoding of names, as in a container without a locale."""
    code = _PRINTING.format("open('/tmp/\\u6f22')")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = _run(code, stdout=subprocess.PIPE, env=environment)
    assert (
        done.returncode == 2 and "cannot be the name of a file here, where names are ascii; set LC_ALL" in done.stderr
    )


def test_a_full_disk_is_one_sentence() -> None:
    """So is an output that cannot be written."""
    with Path("/dev/full").open("w") as full:
        done = _run(_PRINTING.format("print('x')"), stdout=full)
    assert done.returncode == 1 and done.stderr.startswith("error: No space left on device;")


def test_descriptors_that_run_out_are_one_sentence() -> None:
    """A file that cannot be opened because too many are open is named, without a traceback."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))"
    work = f"{limit}; files = [open('/etc/hosts') for _ in range(99)]"
    done = _run(_PRINTING.format(work), stdout=subprocess.PIPE)
    assert done.returncode == 1 and done.stderr.startswith("error: /etc/hosts: Too many open files;")


@pytest.mark.parametrize(
    "work", ["open('/etc/hosts/x')", "open('/nowhere/x', 'w')", "__import__('os').mkdir('/proc/x')", "open('/etc')"]
)
def test_a_place_that_cannot_be_used_is_one_sentence(work: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What the operating system says of a file becomes a sentence that names it, and exit code 2."""
    assert run_command(lambda: eval(work)) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: /") and "correct the path" in said and said.count("\n") == 1


def test_a_user_without_home_and_name_can_open_a_model() -> None:
    """A container's user id that no file knows, and no HOME: the station's backend is imported all the same."""
    code = (
        "import os, pwd\n"
        "def unknown(*_): raise KeyError('uid not found')\n"
        "pwd.getpwuid = unknown\n"
        "import latentline.model; print('HOME' in os.environ)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "USER", "LOGNAME")}
    done = _run(code, stdout=subprocess.PIPE, env=environment)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


def test_a_home_that_nobody_has_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """`~nosuchuser` in a path is a mistake in the file, and names the path."""
    with pytest.raises(ConfigError, match=r"~nosuchuser/model\.zip: there is no user"):
        expanded(Path("~nosuchuser/model.zip"))
    monkeypatch.setenv("HOME", "/home/anna")
    assert expanded(Path("~/model.zip")) == Path("/home/anna/model.zip")


def test_threads_that_run_out_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that cannot start a thread says so and ends with exit code 1."""

    def start() -> int:
        threading.Thread(name="work").start()
        return 0

    with refused(monkeypatch, "work"):
        assert run_command(start) == 1
    assert capsys.readouterr().err == (
        "error: no thread can be started; end other programs, or raise the limit of threads\n"
    )
