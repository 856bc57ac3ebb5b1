"""Where --threads may stand, and how threads wait."""

import os
import subprocess
import sys

import pytest

import export.cli
import trainer.cli
from tests.paths import ROOT


@pytest.mark.parametrize("command", [["fit", "a.yaml", "run"], ["evaluate", "run"]])
def test_threads_stand_on_either_side_of_a_verb_of_the_trainer(command: list[str]) -> None:
    """The number is the same before and after the verb; without it there is none."""
    parse = trainer.cli._parser().parse_args
    assert parse(["--threads", "2", *command]).threads == parse([*command, "--threads", "2"]).threads == 2
    assert parse(command).threads is None


@pytest.mark.parametrize("command", [["package", "run", "out"], ["verify", "out"]])
def test_threads_stand_on_either_side_of_a_verb_of_the_exporter(command: list[str]) -> None:
    """The same for the exporter."""
    parse = export.cli._parser().parse_args
    assert parse(["--threads", "2", *command]).threads == parse([*command, "--threads", "2"]).threads == 2
    assert parse(command).threads is None


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_no_threads_are_refused(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence says what a number of threads is."""
    with pytest.raises(SystemExit) as refused:
        trainer.cli.main(["fit", "a.yaml", "run", f"--threads={number}"])
    assert refused.value.code == 2
    assert f"'{number}' is not a whole number, 1 or more" in capsys.readouterr().err


def test_building_engines_takes_no_threads(capsys: pytest.CaptureFixture[str]) -> None:
    """The option is refused where it would change nothing."""
    assert export.cli.main(["--threads", "2", "engines", "package"]) == 2
    assert "so leave it out" in capsys.readouterr().err


def test_a_command_line_does_not_load_openmp_by_its_import() -> None:
    """Else it would be too late to say how threads wait."""
    script = "import sys, trainer.cli, export.cli; sys.exit(' '.join({'torch', 'sklearn'} & {*sys.modules}))"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True)
    assert (run.returncode, run.stderr) == (1, b"\n")  # of sys.exit(""), which prints what it is given


@pytest.mark.parametrize(("given", "found"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_do_not_spin_unless_the_user_wants_it(
    given: str | None, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer sets the policy of OpenMP where the environment has none."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    trainer.cli.main(["compare", "nowhere"])
    assert os.environ["OMP_WAIT_POLICY"] == found
    os.environ.pop("OMP_WAIT_POLICY")
