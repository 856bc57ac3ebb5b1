from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.supervision.guards import DiskGuard, MemoryGuard, memory_limit

_MIB = 1 << 20


def test_little_disk_space_is_a_fault_with_hysteresis(tmp_path: Path) -> None:
    """Less than the limit is a fault, which ends a tenth above the limit, so that it does not flap."""
    free = {"mib": 101.0}
    guard = DiskGuard(tmp_path, 100, lambda path: int(free["mib"] * _MIB))
    faults = []
    for free["mib"] in (101, 99, 101, 109, 111, 101):
        faults.append(guard.check() is not None)
    assert faults == [False, True, True, True, False, False]


def test_the_real_disk_is_read(tmp_path: Path) -> None:
    """The guard reads the file system of the folder; a missing folder is a fault and raises nothing."""
    assert DiskGuard(tmp_path, 1).check() is None
    assert str(tmp_path) in str(DiskGuard(tmp_path, 1 << 40).check())
    assert "cannot be read" in str(DiskGuard(tmp_path / "gone", 1).check())
    assert DiskGuard(tmp_path / "gone", 0).check() is None


def test_much_memory_is_a_fault_and_far_too_much_ends_the_station() -> None:
    """More than the limit is a fault; three checks in a row above 1.2 times the limit end the station, once."""
    ends: list[str] = []
    guard = MemoryGuard(100, ends.append)
    faults = [guard.check(used * _MIB) is not None for used in (100, 101, 95, 89, 125, 125, 110)]
    assert faults == [False, True, True, False, True, True, True]
    assert not ends
    for _ in range(5):
        guard.check(125 * _MIB)
    (sentence,) = ends
    assert "125 MiB" in sentence


def test_the_sentence_does_not_change() -> None:
    """The sentence stays the same while memory grows, because the station publishes each change."""
    guard = MemoryGuard(100, lambda sentence: None)
    assert guard.check(101 * _MIB) == guard.check(102 * _MIB)


@pytest.mark.parametrize(
    ("total_kib", "own", "above", "expected"),
    [(8 << 20, "max", "max", 6144), (8 << 20, "max", str(2 << 30), 1536), (8 << 20, str(1 << 30), "max", 768)],
)
def test_memory_limit_follows_machine_and_control_group(
    tmp_path: Path, total_kib: int, own: str, above: str, expected: int
) -> None:
    """The default limit is three quarters of the least that machine, service and slice may use."""
    proc, cgroup = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal:       {total_kib} kB\nMemFree: 1 kB\n")
    (proc / "self" / "cgroup").write_text("0::/system.slice/latentline.service\n")
    service = cgroup / "system.slice" / "latentline.service"
    service.mkdir(parents=True)
    (service / "memory.max").write_text(f"{own}\n")
    (service.parent / "memory.max").write_text(f"{above}\n")
    assert memory_limit(None, proc, cgroup) == expected
    assert memory_limit(7, proc, cgroup) == 7


def test_memory_limit_without_proc(tmp_path: Path) -> None:
    """Without /proc and control groups the guard is off."""
    assert memory_limit(None, tmp_path / "proc", tmp_path / "cgroup") == 0
