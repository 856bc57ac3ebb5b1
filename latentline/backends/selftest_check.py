"""Whether a backend computes what the oracle computed: checked at every start, for runtimes can be wrong silently.

The loss has kinks, where leaky ReLU and |a| change slope. Nearer to one than float32 resolves, a right float32 graph
may take the other slope, and one flipped slope moves the gradient by 1e-5 to 1e-2. Package self-tests are chosen
away from kinks and carry their margin; a row nearer to a kink than `RESOLVED` is judged by the wider `ON_A_KINK`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latentline.errors import VerificationError
from latentline.package.selftest import ForwardTest, SelfTest

Float = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Step = Callable[[Float, Float, Float], tuple[Float, Float]]
Forward = Callable[[Float], Mapping[str, Float]]

STATION_TOLERANCE = 1e-3
RESOLVED = 2e-6  # relative to a layer's root mean square; float32 runs differ from float64 by some 1e-7, rarely 1e-5
ON_A_KINK = 2e-2  # a flipped slope was seen to move the gradient of a trained 64 px model by up to 9e-3


@dataclass(frozen=True)
class Tolerance:
    """The largest relative error of the loss, and of the gradient at points away from kinks."""

    loss: float
    gradient: float


def errors_of(step: Step, test: SelfTest) -> tuple[Float64, Float64]:
    """|loss − oracle| / |oracle| and ‖grad − oracle‖ / ‖oracle‖ of each row [K]; not finite counts as infinite."""
    loss, grad = step(*(np.ascontiguousarray(a, dtype=np.float32) for a in (test.z, test.x, test.fx)))
    of_loss = np.abs(loss - test.loss) / np.abs(test.loss)
    of_grad = np.linalg.norm(grad - test.grad_z, axis=1) / np.linalg.norm(test.grad_z, axis=1)
    finite = (np.nan_to_num(errors, nan=np.inf, posinf=np.inf) for errors in (of_loss, of_grad))
    return next(finite), next(finite)


def relative_errors(step: Step, test: SelfTest) -> Float64:
    """The larger of both errors of each row [K]."""
    return np.maximum(*errors_of(step, test))


def tolerances(test: SelfTest, tolerance: float) -> Float64:
    """The largest error of each row [K] that float32 explains: `tolerance`, or `ON_A_KINK` for a row on a kink."""
    return np.where(test.margin >= RESOLVED, tolerance, max(tolerance, ON_A_KINK))


def check_selftest(
    step: Step, test: SelfTest, tolerance: Tolerance = Tolerance(STATION_TOLERANCE, STATION_TOLERANCE)
) -> float:
    """Largest relative error of a step on the package's self-test. Raises VerificationError when it is too large."""
    of_loss, of_grad = errors_of(step, test)
    if (of_loss > tolerances(test, tolerance.loss)).any() or (of_grad > tolerances(test, tolerance.gradient)).any():
        raise VerificationError(
            f"search_step.onnx computes something else here than its oracle (relative errors on the package's "
            f"self-test: loss {of_loss.max():.1e}, gradient {of_grad.max():.1e}; {tolerance.loss:g} and "
            f"{tolerance.gradient:g} allowed); update the runtime or export the package again"
        )
    return float(max(of_loss.max(), of_grad.max()))


def forward_answers(
    encoded: Mapping[str, Float], drawn: Mapping[str, Float], judged: Mapping[str, Float]
) -> dict[str, Float]:
    """The answers of `ForwardTest`, from the outputs of encoder, generator and (where there is one) discriminator."""
    answers = {"z": encoded["z"], "image": drawn["image"]}
    renamed = (
        ("z_log_variance", encoded.get("log_variance")),
        ("log_variance", drawn.get("log_variance")),
        ("logit", judged.get("logit")),
    )
    return answers | {name: array for name, array in renamed if array is not None}


def forward_errors(forward: Forward, test: ForwardTest) -> dict[str, float]:
    """‖answer − oracle‖ / ‖oracle‖ of every answer, by name; what is not finite counts as infinite."""
    found = forward(np.ascontiguousarray(test.x, dtype=np.float32))
    errors = {}
    for name, true in test.answers().items():
        error = float(np.linalg.norm(found[name] - true) / np.linalg.norm(true))
        errors[name] = error if np.isfinite(error) else float("inf")
    return errors


def check_forward(forward: Forward, test: ForwardTest, tolerance: float = STATION_TOLERANCE) -> float:
    """Largest relative error on the package's self-test. Raises VerificationError when it is too large."""
    errors = forward_errors(forward, test)
    worst = max(errors, key=lambda name: errors[name])
    if errors[worst] > tolerance:
        raise VerificationError(
            f"the model computes something else here than its oracle (relative error of {worst} on the package's "
            f"self-test: {errors[worst]:.1e}; {tolerance:g} allowed); update the runtime or export the package again"
        )
    return errors[worst]
