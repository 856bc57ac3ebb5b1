"""The emulated driver, for a station that loses its GPU."""

from __future__ import annotations

from tests.fake_cuda.conftest import fake_driver, loaded_fake_driver

__all__ = ["fake_driver", "loaded_fake_driver"]
