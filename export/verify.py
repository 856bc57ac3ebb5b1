"""Compare a package's graphs, in the runtimes of stations, with oracles that share no code with the search step.

The oracle from the package alone is its own forward graphs in float64 (`export.onnx_oracle`), and for the search step
`search_loss` and autograd over them. With a checkpoint a second oracle does the same over its networks. The points are
those of the self-test and as many others; for a search step they are away from kinks. A graph passes when its relative
error is at most `TOLERANCE`. For a point that float32 cannot tell from a kink, `latentline.backends.selftest_check` has
the tolerance, and the report counts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from export.check import TOLERANCE, Check, compare
from export.forward import OUTPUTS, Forward, forward_images, forward_test, packaged_networks, trained_networks
from export.selftest import Network, choose_points, selftest_at
from export.verify_trunk import trunk_checks
from latentline.backends.openvino.searcher import OpenVinoSearcher
from latentline.backends.selftest_check import RESOLVED, Step, relative_errors, tolerances
from latentline.errors import CheckpointError, VerificationError
from latentline.package.model_package import (
    DISCRIMINATOR,
    ENCODER,
    FIRST_LOOK,
    GENERATOR,
    SEARCH_STEP,
    ModelPackage,
    load_package,
)
from latentline.package.selftest import ForwardTest, SelfTest
from trainer.checkpoint import load_checkpoint
from trainer.config import TrainConfig

Float = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Runtime = Callable[[str, Mapping[str, Float]], Mapping[str, Float]]  # graph, inputs -> outputs, by name


def verify_package(path: Path, checkpoint: Path | None = None, threads: int | None = None) -> list[Check]:
    """All comparisons for the package at `path`. Raises VerificationError that names those that failed.

    Raises CheckpointError for the checkpoint of another model.

    threads  of the CPU, for OpenVINO; None: all cores
    """
    package = load_package(path)
    oracles = {"the package's own networks": packaged_networks(package.graphs)}
    trained = None if checkpoint is None else load_checkpoint(checkpoint)
    if trained is not None:
        _check_same_model(path, package, checkpoint, trained.config)
        flips = trained.config.verdict_flips
        networks = trained_networks(trained.generator, trained.discriminator, trained.encoder, flips)
        oracles["the checkpoint"] = {name: networks[name] for name in oracles["the package's own networks"]}
    with _runtimes(package, threads) as runtimes:
        compared = _compare_forward if isinstance(package.selftest, ForwardTest) else _compare_search
        checks = list(compared(package, oracles, runtimes))
    if package.trunk is not None:
        checks += trunk_checks(package.trunk, None if trained is None else trained.config.trunk)
    failed = [f"{check.what} (relative error {check.error:.1e})" for check in checks if not check.passed]
    if failed:
        raise VerificationError(f"{path}: these differ: {'; '.join(failed)}; do not use this package, export it again")
    return checks


def _check_same_model(path: Path, package: ModelPackage, checkpoint: Path | None, config: TrainConfig) -> None:
    """Raises CheckpointError where the networks of the checkpoint cannot be those of the package."""
    manifest, network = package.manifest, config.network
    exported = (manifest.method, manifest.tile_size, manifest.channels, manifest.latent_size)
    trained = (config.method.kind, network.resolution, config.preprocessing.channels, network.latent_size)
    names = ("method", "network.resolution", "preprocessing.channels", "network.latent_size")
    if other := [f"{n} {t}, not {e}" for n, e, t in zip(names, exported, trained, strict=True) if e != t]:
        raise CheckpointError(f"{checkpoint}: {path} was exported from another run: this one has {'; '.join(other)}")


def _compare_search(
    package: ModelPackage, oracles: Mapping[str, Mapping[str, Forward]], runtimes: Mapping[str, Runtime]
) -> Iterator[Check]:
    """Compare search step and forward graphs of a GAN."""
    test, search = package.selftest, package.manifest.search
    assert isinstance(test, SelfTest)
    others = choose_points(package.graphs, package.manifest.latent_size, search.gamma, seed=1)
    z, x = (torch.cat([torch.from_numpy(a), b]) for a, b in zip((test.z, test.x), others, strict=True))
    for index, (oracle, networks) in enumerate(oracles.items()):
        truth = selftest_at(*_loss_networks(networks), search.gamma, search.lam, package.graphs, z, x)
        if not index:
            stored = _rows(truth, len(test.loss))
            yield _step_check(f"selftest.npz and {oracle}", _stored_step(test), stored)
        for name, runtime in runtimes.items():
            where = f"in {name} and {oracle}"
            yield _step_check(f"{SEARCH_STEP} {where}", _step(runtime), truth)
            yield from _graph_checks(
                where, runtime, networks, {GENERATOR: z, DISCRIMINATOR: x, ENCODER: x, FIRST_LOOK: _mosaic(x)}
            )


def _compare_forward(
    package: ModelPackage, oracles: Mapping[str, Mapping[str, Forward]], runtimes: Mapping[str, Runtime]
) -> Iterator[Check]:
    """Compare the forward graphs of a model without a search step."""
    test = package.selftest
    assert isinstance(test, ForwardTest)
    for index, (oracle, networks) in enumerate(oracles.items()):
        if not index:
            truth = forward_test(networks, torch.from_numpy(test.x)).answers()
            for name, answer in test.answers().items():
                yield compare(f"selftest.npz ({name}) and {oracle}", answer, truth[name])
        x = torch.cat([torch.from_numpy(test.x), forward_images(networks, package.manifest.latent_size, seed=1)])
        with torch.no_grad():
            z = networks[ENCODER](x)[0].float().double()
        for name, runtime in runtimes.items():
            inputs = {GENERATOR: z, DISCRIMINATOR: x, ENCODER: x, FIRST_LOOK: _mosaic(x)}
            yield from _graph_checks(f"in {name} and {oracle}", runtime, networks, inputs)


def _graph_checks(
    where: str, runtime: Runtime, networks: Mapping[str, Forward], inputs: Mapping[str, Tensor]
) -> Iterator[Check]:
    """Compare every output of the forward graphs; near a kink they are continuous, unlike a gradient."""
    for graph, network in networks.items():
        with torch.no_grad():
            expected = network(inputs[graph])
        port = "z" if graph == GENERATOR else "image"
        outputs = runtime(graph, {port: inputs[graph].numpy().astype(np.float32)})
        for name, true in zip(OUTPUTS[graph], expected, strict=False):
            suffix = f" ({name})" if len(expected) > 1 else ""
            yield compare(f"{graph}{suffix} {where}", outputs[name], true.numpy())


def _mosaic(x: Tensor) -> Tensor:
    """Images [N, C, R, R] as one frame [1, C, 2R, R·N/2], for graphs that see frames; N is even."""
    count, channels, size, _ = x.shape
    rows = x.view(2, count // 2, channels, size, size)
    return rows.permute(2, 0, 3, 1, 4).reshape(1, channels, 2 * size, count // 2 * size)


@contextmanager
def _runtimes(package: ModelPackage, threads: int | None) -> Iterator[dict[str, Runtime]]:
    searcher = OpenVinoSearcher(package, threads)
    runtimes: dict[str, Runtime] = {"OpenVINO": searcher.run}
    onnx_runtime = _onnx_runtime(package)
    if onnx_runtime is not None:
        runtimes["ONNX Runtime"] = onnx_runtime
    try:
        yield runtimes
    finally:
        searcher.close()


def _onnx_runtime(package: ModelPackage) -> Runtime | None:
    """ONNX Runtime with the graphs; None where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    sessions = {
        name: onnxruntime.InferenceSession(package.graphs[name], providers=["CPUExecutionProvider"])
        for name in package.graphs
    }

    def run(graph: str, inputs: Mapping[str, Float]) -> dict[str, Float]:
        names = [port.name for port in sessions[graph].get_outputs()]
        return dict(zip(names, sessions[graph].run(names, dict(inputs)), strict=True))

    return run


def _loss_networks(networks: Mapping[str, Forward]) -> tuple[Network, Network]:
    """Generator and discriminator with only the outputs that L' depends on."""
    generator, discriminator = networks[GENERATOR], networks[DISCRIMINATOR]
    return lambda z: generator(z)[0], lambda x: discriminator(x)[:2]


def _step(runtime: Runtime) -> Step:
    def step(z: Float, x: Float, fx: Float) -> tuple[Float, Float]:
        outputs = runtime(SEARCH_STEP, {"z": z, "x": x, "fx": fx})
        return outputs["loss"], outputs["grad_z"]

    return step


def _step_check(what: str, step: Step, truth: SelfTest) -> Check:
    errors, resolved = relative_errors(step, truth), truth.margin >= RESOLVED
    passed = bool((errors <= tolerances(truth, TOLERANCE)).all())
    return Check(what, float(errors.max()), passed, len(errors), int(resolved.sum()))


def _rows(truth: SelfTest, count: int) -> SelfTest:
    return replace(truth, **{name: array[:count] for name, array in vars(truth).items()})


def _stored_step(test: SelfTest) -> Step:
    """A search step that gives the answers stored in the self-test."""
    return lambda z, x, fx: (test.loss.astype(np.float32), test.grad_z.astype(np.float32))
