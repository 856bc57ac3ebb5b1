"""A checkpoint with a trunk becomes a package whose score has it, whose stations agree, and which verify examines."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edge_runtime.tools.doctor.examination import examine
from export.cli import main
from export.trunk import packaged_trunk
from latentline.backends.settings import GpuSettings
from latentline.model import open_model
from latentline.package.model_package import TRUNK, ModelPackage, load_package
from latentline.scoring.frame_maps import MapScales
from latentline.trunk.statistics import DISTANCE, VERDICT
from tests.checkpoints import random_checkpoint
from tests.export.test_from_checkpoint import save
from tests.export.test_verify import scaled
from tests.packages import rewrite
from tests.trainer.folder import write_folder
from tests.trainer.inspectors import BrightnessReconstructor
from tests.trunks import SIDE, tiny_graph, tiny_levels, tiny_trunk
from trainer.evaluation.evaluate_checkpoint import evaluate_checkpoint
from trainer.settings.trunk import TrunkConfig
from trainer.trunk.extractor import TorchTrunk
from trainer.trunk.fit import fit_trunk


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Run folder and package of an autoencoder with a tiny trunk, which is in place while the tests run."""
    root = tmp_path_factory.mktemp("trunk")
    images = write_folder(root / "images", train=72, good=4, defects=40, side=40)
    checkpoint = random_checkpoint("pca")
    data = checkpoint.config.data.model_copy(update={"known_abnormal_fraction": 0.6})
    trunk = TrunkConfig(network="efficientnet_lite0", height=SIDE, width=SIDE)
    config = checkpoint.config.model_copy(update={"trunk": trunk, "data": data})
    run, out = save(replace(checkpoint, config=config), images, root / "run"), root / "package"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.trunk.module.lite0_levels", tiny_levels)
        assert main(["package", str(run), str(out), "--false-alarm-rate", "0.1", "--threads", "1"]) == 0
        yield run, out


def test_the_trunk_is_in_the_score_where_it_helps(exported: tuple[Path, Path]) -> None:
    """The manifest tells network, licence and Gaussian; a station's values are those of the calibration."""
    package = load_package(exported[1])
    assert package.trunk is not None
    spec = package.trunk.spec
    assert (spec.network, spec.licence, spec.height, spec.grid) == ("efficientnet_lite0", "none", SIDE, (4, 4))
    scored = {c.name for c in package.manifest.calibration.components}
    assert set(package.trunk.scales.scales) == scored & {DISTANCE, VERDICT} != set()
    assert package.manifest.calibration.validation is not None
    assert package.manifest.calibration.validation.component_auroc[DISTANCE] > 0.6
    with open_model(exported[1], "openvino", threads=1) as model:
        seen = model.inspect(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8))
    assert set(package.trunk.scales.scales) <= set(seen.components) and "trunk" in seen.milliseconds


def test_evaluation_in_pytorch_gives_the_same_components(exported: tuple[Path, Path], tmp_path: Path) -> None:
    """The reference has the trunk's components, too, and reports each of them alone."""
    report = evaluate_checkpoint(exported[0], tmp_path / "evaluation", false_alarm_rate=0.1)
    scales = load_package(exported[1]).trunk
    assert scales is not None and set(scales.scales.scales) <= set(report.component_auroc)
    assert "trunk's features alone" in report.to_markdown()


def test_verify_examines_the_trunk(exported: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Both runtimes agree with the graph in float64 and with the network of the checkpoint."""
    run, out = exported
    assert main(["verify", str(out), "--checkpoint", str(run)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "trunk." in line]
    assert len(lines) == 5
    assert sum("trunk.onnx in" in line for line in lines) == 4 and "trunk.npz (test_features)" in lines[0]


def test_verify_fails_a_wrong_trunk(tmp_path: Path, exported: tuple[Path, Path]) -> None:
    """A hundredth more in one layer is caught by the self-test, which verify runs, too."""
    out = tmp_path / "package"
    shutil.copytree(exported[1], out)
    rewrite(out, TRUNK, scaled(tiny_graph().graph, "second", 1.01))
    assert main(["verify", str(out)]) == 1


def test_the_doctor_examines_the_trunk(exported: tuple[Path, Path]) -> None:
    """Its self-test is a comparison, and a fact names it."""
    report = examine(load_package(exported[1]), "openvino", GpuSettings(), 0.0, lambda _: None)
    assert any(
        fact.topic == "trunk" and "efficientnet_lite0 (none) on 64 x 64 px" in fact.value for fact in report.facts
    )
    assert (
        "self-test of the trunk (openvino)" in [c.what for c in report.backends[0].comparisons]
        and report.backends[0].passed
    )


def test_what_has_no_weight_is_not_packaged(exported: tuple[Path, Path], tmp_path: Path) -> None:
    """Without a scale there is no trunk; without that of the verdict no direction."""
    from trainer.checkpoint import load_checkpoint
    from trainer.data.sources import open_source

    checkpoint = load_checkpoint(exported[0])
    source = open_source(checkpoint.config.data, checkpoint.config.preprocessing)
    module, network = tiny_trunk()
    known = replace(checkpoint.split, known_abnormal=checkpoint.split.validation_abnormal)
    fitted = fit_trunk(TorchTrunk(module, network), network, source, known, 0)
    assert fitted.verdict is not None
    assert packaged_trunk(tiny_graph(), fitted, MapScales({})) is None
    half = packaged_trunk(tiny_graph(), fitted, MapScales({DISTANCE: (0.0, 1.0)}))
    assert half is not None and half.statistics.direction is None and half.spec.verdict is None
    whole = packaged_trunk(tiny_graph(), fitted, MapScales({VERDICT: (0.0, 1.0)}))
    assert whole is not None and whole.statistics.direction is not None


def test_a_searcher_alone_is_not_enough(exported: tuple[Path, Path]) -> None:
    """An inspector of a package with a trunk needs its extractor."""
    package: ModelPackage = load_package(exported[1])
    with pytest.raises(ValueError, match="the package has a trunk"):
        package.with_trunk(BrightnessReconstructor(), None)


def test_the_graph_needs_nothing_but_standard_operators() -> None:
    """One input, one output, batch free, float32."""
    graph = onnx.load_from_string(tiny_graph().graph).graph
    assert [port.name for port in (*graph.input, *graph.output)] == ["image", "features"]
    assert {node.domain for node in graph.node} == {""}
