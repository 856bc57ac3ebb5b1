"""Compare a package's graphs, in the runtimes that will run them, with oracles that share no code with the search step.

Oracle of a package alone: `trainer.search.search_loss` and autograd in float64 over the package's own generator and
discriminator graphs (`export.onnx_oracle`). With a checkpoint: the same over its networks. Points: those of the
self-test and as many others, all chosen away from kinks. The step passes where its relative error is below `TOLERANCE`;
a point that float32 cannot tell from a kink is judged as `edge_runtime.search.selftest` says, and the report counts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from edge_runtime.model_package import (
    DISCRIMINATOR,
    ENCODER,
    GENERATOR,
    SEARCH_STEP,
    ModelPackage,
    SelfTest,
    load_package,
)
from edge_runtime.search.openvino_cpu import CpuSearcher
from edge_runtime.search.selftest import RESOLVED, Step, relative_errors, tolerances
from export.onnx_oracle import OnnxNetwork
from export.selftest import Network, choose_points, solve
from latentline.errors import VerificationError
from trainer.checkpoint import load_checkpoint
from trainer.search import freeze

TOLERANCE = 1e-4
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Check:
    """One comparison: what, the largest relative error over its points and what was allowed there.

    resolved of points: how many lie so far from a kink that `TOLERANCE` applies.
    """

    what: str
    error: float
    passed: bool
    points: int
    resolved: int


def verify_package(path: Path, checkpoint: Path | None = None) -> list[Check]:
    """Every comparison with the package at `path`, all passed. Raises VerificationError naming those that failed."""
    package = load_package(path)
    search = package.manifest.search
    networks: tuple[Network, Network] = (
        OnnxNetwork(package.graphs[GENERATOR], GENERATOR),
        OnnxNetwork(package.graphs[DISCRIMINATOR], DISCRIMINATOR),
    )
    z, x = choose_points(package.graphs, package.manifest.latent_size, seed=1)
    z, x = torch.cat([torch.from_numpy(package.selftest.z), z]), torch.cat([torch.from_numpy(package.selftest.x), x])
    truth = solve(*networks, search.gamma, search.lam, package.graphs, z, x)
    stored = _rows(truth, len(package.selftest.loss))
    checks = [_compared("selftest.npz and the package's own networks", _answer(package.selftest), stored)]
    oracles = {"the package's own networks": (networks, truth)}
    trained = load_checkpoint(checkpoint) if checkpoint is not None else None
    if trained is not None:
        frozen = freeze(trained.generator, trained.discriminator)
        networks = frozen[0].double(), frozen[1].double()
        truth = solve(*networks, search.gamma, search.lam, package.graphs, z, x)
        oracles["the checkpoint"] = (networks, truth)
    with _runtimes(package) as runtimes:
        for name, runtime in runtimes.items():
            for oracle, (networks, truth) in oracles.items():
                checks.append(_compared(f"search_step.onnx in {name} and {oracle}", runtime.step, truth))
                checks += _forward_checks(f"in {name} and {oracle}", runtime, networks, truth)
        if ENCODER in package.graphs:
            encoders: dict[str, torch.nn.Module] = {
                "the package's own encoder": OnnxNetwork(package.graphs[ENCODER], ENCODER)
            }
            if trained is not None and trained.encoder is not None:
                encoders["the checkpoint"] = trained.encoder.double().requires_grad_(False)
            checks += [
                _encoder_check(f"{ENCODER} in {name} and {oracle}", runtime.encode, encoder, truth.x)
                for name, runtime in runtimes.items()
                for oracle, encoder in encoders.items()
            ]
    failed = [f"{check.what} (relative error {check.error:.1e})" for check in checks if not check.passed]
    if failed:
        raise VerificationError(
            f"{path}: these differ: {'; '.join(failed)}; export it again, and do not use it as it is"
        )
    return checks


@dataclass(frozen=True)
class _Runtime:
    step: Step
    generate: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
    discriminate: Callable[[npt.NDArray[np.float32]], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]
    encode: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


@contextmanager
def _runtimes(package: ModelPackage) -> Iterator[dict[str, _Runtime]]:
    searcher = CpuSearcher(package)
    runtimes = {"OpenVINO": _Runtime(searcher.step, searcher.generate, searcher.discriminate, searcher.encode)}
    onnx_runtime = _onnx_runtime(package)
    if onnx_runtime is not None:
        runtimes["ONNX Runtime"] = onnx_runtime
    try:
        yield runtimes
    finally:
        searcher.close()


def _onnx_runtime(package: ModelPackage) -> _Runtime | None:
    """The graphs in ONNX Runtime, None where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return None
    sessions = {
        name: onnxruntime.InferenceSession(package.graphs[name], providers=["CPUExecutionProvider"])
        for name in package.graphs
    }
    return _Runtime(
        step=lambda z, x, fx: tuple(sessions[SEARCH_STEP].run(["loss", "grad_z"], {"z": z, "x": x, "fx": fx})),
        generate=lambda z: sessions[GENERATOR].run(["image"], {"z": z})[0],
        discriminate=lambda x: tuple(sessions[DISCRIMINATOR].run(["logit", "features"], {"image": x})),
        encode=lambda x: sessions[ENCODER].run(["z"], {"image": x})[0],
    )


def _compared(what: str, step: Step, truth: SelfTest) -> Check:
    errors, resolved = relative_errors(step, truth), truth.margin >= RESOLVED
    passed = bool((errors <= tolerances(truth, TOLERANCE)).all())
    return Check(what, float(errors.max()), passed, len(errors), int(resolved.sum()))


def _forward_checks(where: str, runtime: _Runtime, networks: tuple[Network, Network], truth: SelfTest) -> list[Check]:
    """Image, logit and features, which have no kinks: a flipped slope does not move them."""
    with torch.no_grad():
        image = networks[0](torch.from_numpy(truth.z)).numpy()
        logit, features = (t.numpy() for t in networks[1](torch.from_numpy(truth.x)))
    found_image = runtime.generate(truth.z.astype(np.float32))
    found_logit, found_features = runtime.discriminate(truth.x.astype(np.float32))
    pairs = {
        f"{GENERATOR} {where}": (found_image, image),
        f"{DISCRIMINATOR} (logit) {where}": (found_logit, logit),
        f"{DISCRIMINATOR} (features) {where}": (found_features, features),
    }
    errors = {what: float(np.linalg.norm(a - b) / np.linalg.norm(b)) for what, (a, b) in pairs.items()}
    points = len(truth.loss)
    return [Check(what, error, error <= TOLERANCE, points, points) for what, error in errors.items()]


def _encoder_check(
    what: str,
    encode: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]],
    encoder: torch.nn.Module,
    x: Float64,
) -> Check:
    with torch.no_grad():
        expected = encoder(torch.from_numpy(x)).numpy()
    error = float(np.linalg.norm(encode(x.astype(np.float32)) - expected) / np.linalg.norm(expected))
    return Check(what, error, error <= TOLERANCE, len(x), len(x))


def _rows(truth: SelfTest, count: int) -> SelfTest:
    return replace(truth, **{name: array[:count] for name, array in vars(truth).items()})


def _answer(test: SelfTest) -> Step:
    """A step that knows the stored answers."""
    return lambda z, x, fx: (test.loss.astype(np.float32), test.grad_z.astype(np.float32))
