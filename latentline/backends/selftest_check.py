"""Run a package's self-test on a backend. Every start does, because runtimes can compute wrong numbers silently.

The loss has kinks, where leaky ReLU and |a| change slope. Nearer to a kink than float32 resolves, a correct float32
graph may take the other slope, and one flipped slope moves the gradient by 1e-5 to 1e-2. Self-tests are chosen away
from kinks and carry their margin. A row nearer to a kink than `RESOLVED` gets the wider tolerance `ON_A_KINK`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latentline.errors import VerificationError
from latentline.package.selftest import ForwardTest, SelfTest
from latentline.trunk.packaged import TrunkTest

Float = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Step = Callable[[Float, Float, Float], tuple[Float, Float]]
Forward = Callable[[Float], Mapping[str, Float]]
Extract = Callable[[Float], Float]

STATION_TOLERANCE = 1e-3
RESOLVED = 2e-6  # relative to a layer's root mean square; float32 runs differ from float64 by some 1e-7, rarely 1e-5
ON_A_KINK = 2e-2  # a flipped slope moved the gradient of a trained 64 px model by up to 9e-3


@dataclass(frozen=True)
class Tolerance:
    """The largest relative error of the loss, and of the gradient at points away from kinks."""

    loss: float
    gradient: float


def errors_of(step: Step, test: SelfTest) -> tuple[Float64, Float64]:
    """Relative errors of loss and gradient of each row, [K] and [K]. What is not finite has an infinite error."""
    loss, grad = step(*(np.ascontiguousarray(a, dtype=np.float32) for a in (test.z, test.x, test.fx)))
    of_loss = np.abs(loss - test.loss) / np.abs(test.loss)
    of_grad = np.linalg.norm(grad - test.grad_z, axis=1) / np.linalg.norm(test.grad_z, axis=1)
    finite = (np.nan_to_num(errors, nan=np.inf, posinf=np.inf) for errors in (of_loss, of_grad))
    return next(finite), next(finite)


def relative_errors(step: Step, test: SelfTest) -> Float64:
    """The larger error of loss and gradient of each row, [K]."""
    return np.maximum(*errors_of(step, test))


def tolerances(test: SelfTest, tolerance: float) -> Float64:
    """The largest acceptable error of each row, [K]: `tolerance`, or `ON_A_KINK` for a row on a kink."""
    return np.where(test.margin >= RESOLVED, tolerance, max(tolerance, ON_A_KINK))


def check_selftest(
    step: Step, test: SelfTest, tolerance: Tolerance = Tolerance(STATION_TOLERANCE, STATION_TOLERANCE)
) -> float:
    """The largest relative error of a search step on the self-test. Raises VerificationError when it is too large."""
    of_loss, of_grad = errors_of(step, test)
    if (of_loss > tolerances(test, tolerance.loss)).any() or (of_grad > tolerances(test, tolerance.gradient)).any():
        raise VerificationError(
            f"search_step.onnx computes wrong numbers here (relative errors on the package's self-test: "
            f"loss {of_loss.max():.1e}, gradient {of_grad.max():.1e}; {tolerance.loss:g} and "
            f"{tolerance.gradient:g} allowed); update the runtime or export the package again"
        )
    return float(max(of_loss.max(), of_grad.max()))


def forward_answers(
    encoded: Mapping[str, Float], generated: Mapping[str, Float], discriminated: Mapping[str, Float]
) -> dict[str, Float]:
    """The answers of `ForwardTest`, from the outputs of encoder, generator and, if there is one, discriminator."""
    answers = {"z": encoded["z"], "image": generated["image"]}
    renamed = (
        ("z_log_variance", encoded.get("log_variance")),
        ("log_variance", generated.get("log_variance")),
        ("logit", discriminated.get("logit")),
    )
    return answers | {name: array for name, array in renamed if array is not None}


def forward_errors(forward: Forward, test: ForwardTest) -> dict[str, float]:
    """The relative error of each answer, by name. What is not finite has an infinite error."""
    found = forward(np.ascontiguousarray(test.x, dtype=np.float32))
    errors = {}
    for name, true in test.answers().items():
        error = float(np.linalg.norm(found[name] - true) / np.linalg.norm(true))
        errors[name] = error if np.isfinite(error) else float("inf")
    return errors


def check_forward(forward: Forward, test: ForwardTest, tolerance: float = STATION_TOLERANCE) -> float:
    """The largest relative error on the self-test. Raises VerificationError when it is too large."""
    errors = forward_errors(forward, test)
    worst = max(errors, key=lambda name: errors[name])
    if errors[worst] > tolerance:
        raise VerificationError(
            f"the model computes wrong numbers here (relative error of {worst} on the package's self-test: "
            f"{errors[worst]:.1e}; {tolerance:g} allowed); update the runtime or export the package again"
        )
    return errors[worst]


def check_trunk(extract: Extract, test: TrunkTest, tolerance: float = STATION_TOLERANCE) -> float:
    """The relative error of a trunk's features [1, C, h, w]. Raises VerificationError when it is too large."""
    found = extract(np.ascontiguousarray(test.image, dtype=np.float32))[0]
    error = float(np.linalg.norm(found - test.features) / np.linalg.norm(test.features))
    if not error <= tolerance:  # nor when it is not a number
        raise VerificationError(
            f"trunk.onnx computes wrong numbers here (relative error of the features on the package's self-test: "
            f"{error:.1e}; {tolerance:g} allowed); update the runtime or export the package again"
        )
    return error
