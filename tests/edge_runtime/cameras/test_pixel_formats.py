from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.cameras.pixel_formats import decoder


@pytest.mark.parametrize(
    ("code", "data", "pixel"),
    [
        (0x01080001, bytes([7]), [7]),  # Mono8
        (0x01100003, (1000).to_bytes(2, "little"), [250]),  # Mono10
        (0x01100005, (4000).to_bytes(2, "little"), [250]),  # Mono12
        (0x01100005, (65535).to_bytes(2, "little"), [255]),  # bits that Mono12 does not have
        (0x01100007, (64000).to_bytes(2, "little"), [250]),  # Mono16
        (0x02180014, bytes([1, 2, 3]), [3, 2, 1]),  # RGB8
        (0x02180015, bytes([1, 2, 3]), [1, 2, 3]),  # BGR8
    ],
)
def test_pixel_becomes_grey_or_bgr(code: int, data: bytes, pixel: list[int]) -> None:
    """Every format is decoded to uint8, grey or BGR."""
    decode = decoder(code)
    assert decode is not None
    image = decode(data * 12, 4, 3)
    assert image.shape == (3, 4, len(pixel)) and image.dtype == np.uint8
    assert (image == pixel).all()


@pytest.mark.parametrize(("code", "red"), [(0x01080009, (0, 0)), (0x0108000B, (1, 1)), (0x01080008, (0, 1))])
def test_bayer_red_is_red(code: int, red: tuple[int, int]) -> None:
    """A Bayer mosaic whose red sites alone are bright is decoded to a red picture."""
    mosaic = np.zeros((8, 8), np.uint8)
    mosaic[red[0] :: 2, red[1] :: 2] = 200
    decode = decoder(code)
    assert decode is not None
    blue, green, bright = decode(mosaic.tobytes(), 8, 8)[2:6, 2:6].reshape(-1, 3).mean(axis=0)
    assert bright > 150 and blue < 20 and green < 20


def test_yuv_is_read() -> None:
    """Grey in YUV 4:2:2 is decoded to grey."""
    for code, data in ((0x0210001F, bytes([128, 100])), (0x02100032, bytes([100, 128]))):
        decode = decoder(code)
        assert decode is not None
        image = decode(data * 32, 8, 4)
        assert image.shape == (4, 8, 3) and int(np.ptp(image)) <= 1


def test_too_few_bytes_and_unknown_formats() -> None:
    """A short buffer raises ValueError; an unsupported format has no decoder."""
    decode = decoder(0x01080001)
    assert decode is not None
    with pytest.raises(ValueError):
        decode(b"123", 2, 2)
    assert decoder(0x010C0006) is None  # Mono12Packed
