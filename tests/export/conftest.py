"""The real TensorRT-RTX, for the command that builds engines, and exports that tests share."""

from collections.abc import Iterator

import pytest

from export import from_checkpoint
from tests.exports import export_once
from tests.latentline.backends.tensorrt.conftest import rtx

__all__ = ["rtx"]


@pytest.fixture(scope="package", autouse=True)
def _shared_exports() -> Iterator[None]:
    """The command exports networks with the same weights once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(from_checkpoint, "export_model", export_once)
        yield
