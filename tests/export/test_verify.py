"""`latentline-export verify` passes a right package and fails a wrong one, loudly."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.cli import main
from export.verify import verify_package
from latentline.errors import VerificationError
from latentline.package.model_package import DISCRIMINATOR, GENERATOR, SEARCH_STEP, load_package
from tests.packages import rewrite, write_tiny_package


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A fresh package folder."""
    return write_tiny_package(tmp_path / "package")


def scaled(content: bytes, fragment: str, factor: float) -> bytes:
    """The graph with its first weight whose name holds `fragment` multiplied by `factor`."""
    model = onnx.load_from_string(content)
    weight = next(i for i in model.graph.initializer if fragment in i.name and "weight" in i.name)
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(factor), weight.name))
    return bytes(model.SerializeToString())


def test_right_package_passes_far_below_the_limit(package: Path) -> None:
    """Both runtimes agree with the oracle at every point, and points lie off the kinks."""
    checks = verify_package(package)
    assert {c.passed for c in checks} == {True}
    assert max(c.error for c in checks) < 1e-5
    assert all(c.points == c.resolved for c in checks)
    assert any("ONNX Runtime" in c.what for c in checks) and any("OpenVINO" in c.what for c in checks)


@pytest.mark.parametrize("name", [SEARCH_STEP, GENERATOR, DISCRIMINATOR])
def test_tampered_graph_fails(package: Path, name: str) -> None:
    """A hundredth more in one layer of any graph is caught, hashes right or not."""
    rewrite(package, name, scaled(load_package(package).graphs[name], "layers.1", 1.01))
    with pytest.raises(VerificationError):
        verify_package(package)


def test_wrong_gradient_with_right_loss_fails(package: Path) -> None:
    """A gradient that is off by 0.2 % with a right loss, as a miscompiled backward pass gives it, is caught."""
    model = onnx.load_from_string(load_package(package).graphs[SEARCH_STEP])
    (gradient,) = [o for o in model.graph.output if o.name == "grad_z"]
    producer = next(n for n in model.graph.node if gradient.name in n.output)
    producer.output[0] = "right"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1.002), "off"))
    model.graph.node.append(onnx.helper.make_node("Mul", ["right", "off"], ["grad_z"]))
    rewrite(package, SEARCH_STEP, model.SerializeToString())
    with pytest.raises(VerificationError):
        verify_package(package)


def test_command_line_exit_codes(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 and a report for a right package, 1 for a wrong one, 2 for what is no package: one sentence each."""
    assert main(["verify", str(package), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["checks"]) == 11
    assert main(["verify", str(package)]) == 0
    assert "11 comparisons passed" in capsys.readouterr().out
    assert main(["verify", str(package / "nothing")]) == 2
    rewrite(package, SEARCH_STEP, scaled(load_package(package).graphs[SEARCH_STEP], "layers.1", 1.01))
    assert main(["verify", str(package)]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2 and all(line.startswith("error: ") for line in errors)
