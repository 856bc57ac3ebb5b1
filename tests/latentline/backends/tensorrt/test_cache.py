"""The cache gives what was stored, or makes it again and says why, and never gives anything else."""

import errno
import fcntl
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from latentline.backends.tensorrt.cache import EngineCache, default_folder
from latentline.errors import EngineError

KEY = {"graph": "aa" * 32, "TensorRT": "tensorrt 10.3.0"}
CONTENT = bytes(range(256)) * 4


def never() -> bytes:
    raise AssertionError("made again")


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "new" / "cache")


def entry(cache: EngineCache) -> Path:
    (path,) = cache.folder.glob("*.cached")
    return path


def test_an_entry_is_made_once(cache: EngineCache) -> None:
    """The second fetch reads what the first one made."""
    assert cache.state("engine", KEY) == "missing"
    assert cache.fetch("engine", KEY, lambda: CONTENT) == CONTENT
    assert cache.fetch("engine", KEY, never) == CONTENT
    assert cache.state("engine", KEY) == "ready"


def test_any_content_comes_back(cache: EngineCache) -> None:
    """Empty content and content full of newlines are stored like any other."""
    for name, content in (("empty", b""), ("lines", b"\n\n{}\n")):
        cache.store(name, KEY, content)
        assert cache.load(name, KEY) == content


def test_stale_entry_says_what_changed_and_is_made_again(cache: EngineCache, caplog: pytest.LogCaptureFixture) -> None:
    """An engine of another TensorRT is not used, and the log says what it was and what it is now."""
    cache.store("engine", KEY, b"old")
    newer = {**KEY, "TensorRT": "tensorrt 10.13.3"}
    reason = "TensorRT was tensorrt 10.3.0, is tensorrt 10.13.3"
    assert cache.state("engine", newer) == f"stale: {reason}"
    assert cache.fetch("engine", newer, lambda: CONTENT) == CONTENT
    assert reason in caplog.text
    assert cache.load("engine", KEY) == b"old"  # a machine with the old TensorRT shares the folder


def test_truncation_anywhere_is_detected(cache: EngineCache) -> None:
    """An entry cut after any byte of the header, or inside the content, is not used."""
    cache.store("engine", KEY, CONTENT)
    path, whole = entry(cache), entry(cache).read_bytes()
    header = len(whole) - len(CONTENT)
    for length in [*range(header + 2), len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert cache.load("engine", KEY) is None, length
        assert cache.state("engine", KEY).startswith("stale: ")
    path.write_bytes(whole)
    assert cache.load("engine", KEY) == CONTENT


def test_a_flipped_bit_anywhere_is_detected(cache: EngineCache) -> None:
    """An entry with one changed bit in any byte is not used, and nothing raises."""
    cache.store("engine", KEY, CONTENT[:64])
    path, whole = entry(cache), entry(cache).read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        assert cache.load("engine", KEY) is None, position


def test_an_entry_that_is_too_long_is_detected(cache: EngineCache) -> None:
    """An entry with bytes after its content is not used."""
    cache.store("engine", KEY, CONTENT)
    path = entry(cache)
    path.write_bytes(path.read_bytes() + b"more")
    assert cache.load("engine", KEY) is None


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "not an entry"),
        (b"ELF something else", "not an entry"),
        (b"latentline cache entry, schema 9\n{}\n", "not an entry"),
        (b"latentline cache entry, schema 1\nnonsense\n", "header cannot be read"),
        (b"latentline cache entry, schema 1\n[]\n", "header cannot be read"),
    ],
)
def test_foreign_file_is_named_and_replaced(
    cache: EngineCache, caplog: pytest.LogCaptureFixture, content: bytes, word: str
) -> None:
    """A foreign file in the place of an entry is replaced, and the log says so in one sentence."""
    cache.store("engine", KEY, CONTENT)
    entry(cache).write_bytes(content)
    assert cache.fetch("engine", KEY, lambda: b"new") == b"new"
    assert word in caplog.text and "making it again" in caplog.text
    assert cache.fetch("engine", KEY, never) == b"new"


def test_an_entry_under_another_name_is_not_used(cache: EngineCache) -> None:
    """The fingerprint inside the file counts, not the file's name."""
    cache.store("engine", KEY, b"old")
    path, other = entry(cache), {**KEY, "TensorRT": "another"}
    cache.store("engine", other, b"other")
    (there,) = set(cache.folder.glob("*.cached")) - {path}
    there.write_bytes(path.read_bytes())
    assert cache.load("engine", other) is None
    assert cache.state("engine", other).startswith("stale: ")


def test_a_folder_in_the_place_of_an_entry_is_an_error(cache: EngineCache) -> None:
    """A folder in the place of an entry raises EngineError."""
    cache.store("engine", KEY, CONTENT)
    path = entry(cache)
    path.unlink()
    path.mkdir()
    with pytest.raises(EngineError, match="cannot be written"):
        cache.fetch("engine", KEY, lambda: CONTENT)


def test_a_folder_that_cannot_be_written_is_an_error_before_the_build(tmp_path: Path) -> None:
    """Before anything is built, the sentence names the folder, the reason and both ways out."""
    (tmp_path / "file").write_text("in the way")
    cache = EngineCache(tmp_path / "file" / "cache")
    with pytest.raises(EngineError, match=r"file/cache: .*\(Not a directory\).*--cache.*LATENTLINE_CACHE"):
        cache.fetch("engine", KEY, never)


def test_a_read_only_folder_that_has_everything_is_enough(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are read without a lock and without writing, and a missing entry is an error before it is made."""
    cache.store("engine", KEY, CONTENT)
    real = Path.open

    def read_only(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if mode != "rb":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", read_only)
    assert cache.fetch("engine", KEY, never) == CONTENT and cache.state("engine", KEY) == "ready"
    with pytest.raises(EngineError, match=r"cannot be written \(Permission denied\)"):
        cache.fetch("other", KEY, never)


def test_a_full_disk_leaves_no_partial_entry(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk gives one sentence and no partial entry, and the next attempt works."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(EngineError, match=r"cannot be written \(No space left on device\); make room"):
            cache.fetch("engine", KEY, lambda: CONTENT)
    assert not list(cache.folder.glob("*.cached")) and not list(cache.folder.glob("*.tmp"))
    assert cache.fetch("engine", KEY, lambda: CONTENT) == CONTENT


def test_a_failed_build_is_not_kept(cache: EngineCache) -> None:
    """An exception while making an entry is passed on, and the next fetch makes it again."""

    def fails() -> bytes:
        raise EngineError("no")

    with pytest.raises(EngineError, match="no"):
        cache.fetch("engine", KEY, fails)
    assert cache.fetch("engine", KEY, lambda: CONTENT) == CONTENT


def test_two_processes_make_an_entry_once(tmp_path: Path) -> None:
    """Of two processes that need an entry at once, one makes it, and the other logs that it waits, and reads it."""
    script = (
        "import logging, sys; from pathlib import Path; from latentline.backends.tensorrt.cache import EngineCache\n"
        "logging.basicConfig(level=logging.INFO, format='%(message)s', stream=sys.stdout)\n"
        "def make():\n"
        "    print('making', flush=True); sys.stdin.readline(); return b'engine'\n"
        f"print(EngineCache(Path({str(tmp_path)!r})).fetch('engine', {KEY!r}, make).decode(), flush=True)\n"
    )
    pipe = subprocess.PIPE
    first = subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, text=True)
    assert first.stdin is not None and first.stdout is not None
    assert first.stdout.readline() == "making\n"
    second = subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe, text=True)
    assert second.stdout is not None
    assert second.stdout.readline() == "another process is making engine; waiting for it\n"
    assert first.communicate("go\n")[0] == "engine\n"
    assert second.communicate()[0] == "engine\n"
    assert first.returncode == second.returncode == 0


def test_a_killed_builder_does_not_lock_the_others_out(tmp_path: Path) -> None:
    """After kill -9 in the middle of a build, the next process builds."""
    script = (
        "import sys; from pathlib import Path; from latentline.backends.tensorrt.cache import EngineCache\n"
        "def make():\n"
        "    print('making', flush=True); sys.stdin.readline(); return b'engine'\n"
        f"EngineCache(Path({str(tmp_path)!r})).fetch('engine', {KEY!r}, make)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"making\n"
    process.kill()
    process.communicate()
    assert EngineCache(tmp_path).fetch("engine", KEY, lambda: CONTENT) == CONTENT


def test_old_entries_are_removed(cache: EngineCache) -> None:
    """The four newest entries of a name are kept, and other names and files are left alone."""
    (cache.folder).mkdir(parents=True)
    (cache.folder / "notes.txt").write_text("mine")
    cache.store("engine.large", KEY, CONTENT)
    for version in range(7):
        cache.store("engine", {"TensorRT": str(version)}, CONTENT)
        os.utime(cache._path("engine", {"TensorRT": str(version)}), (version, version))
    assert [v for v in range(7) if cache.load("engine", {"TensorRT": str(v)})] == [3, 4, 5, 6]
    assert cache.load("engine.large", KEY) == CONTENT and (cache.folder / "notes.txt").exists()


def test_names_cannot_leave_the_folder(cache: EngineCache) -> None:
    """Any name becomes a plain file in the folder."""
    for name in ("../../evil", "a/b", "Prüfung 1", "x" * 500):
        cache.store(name, KEY, CONTENT)
        assert cache.load(name, KEY) == CONTENT
    assert len(list(cache.folder.glob("*.cached"))) == 4
    assert sorted(cache.folder.parent.iterdir()) == [cache.folder]


def test_default_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """LATENTLINE_CACHE wins over XDG_CACHE_HOME, which wins over ~/.cache."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LATENTLINE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_folder() == tmp_path / "home" / ".cache" / "latentline"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == tmp_path / "xdg" / "latentline"
    monkeypatch.setenv("LATENTLINE_CACHE", str(tmp_path / "mine"))
    assert EngineCache().folder == tmp_path / "mine"


def test_a_user_without_a_home_gets_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home gets one sentence that names LATENTLINE_CACHE."""
    for name in ("HOME", "XDG_CACHE_HOME", "LATENTLINE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 1 << 29)
    with pytest.raises(EngineError, match=r"no home .*LATENTLINE_CACHE"):
        EngineCache()


def test_a_folder_without_locks_is_an_error(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks gives one sentence before anything is made."""

    def refuse(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(EngineError, match=r"No locks available.*--cache"):
        cache.fetch("engine", KEY, never)


def test_normal_use_logs_no_warning(cache: EngineCache, caplog: pytest.LogCaptureFixture) -> None:
    """A first build and a hit log no warning."""
    with caplog.at_level(logging.WARNING):
        cache.fetch("engine", KEY, lambda: CONTENT)
        cache.fetch("engine", KEY, never)
    assert not caplog.records
