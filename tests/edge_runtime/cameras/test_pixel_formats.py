from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_runtime.cameras.pixel_formats import decoder
from latentline.errors import ImageError


@pytest.mark.parametrize(
    ("code", "data", "pixel"),
    [
        (0x01080001, bytes([7]), [7]),  # Mono8
        (0x01100003, (1000).to_bytes(2, "little"), [250]),  # Mono10
        (0x01100005, (4000).to_bytes(2, "little"), [250]),  # Mono12
        (0x01100025, (16000).to_bytes(2, "little"), [250]),  # Mono14
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


def _in_a_row(values: list[int], bits: int) -> bytes:
    """Mono10p, Mono12p and Mono14p: the bits of one pixel after another, the lowest first."""
    whole = sum(value << (bits * place) for place, value in enumerate(values))
    return whole.to_bytes(-(-len(values) * bits // 8), "little")


def _in_three_bytes(values: list[int], bits: int) -> bytes:
    """Mono10Packed and Mono12Packed of GigE Vision: upper eight bits, then the rest of both, then upper eight bits."""
    rest, found = bits - 8, b""
    for first, second in zip(values[::2], [*values[1::2], 0], strict=False):
        found += bytes([first >> rest, first % (1 << rest) | second % (1 << rest) << 4, second >> rest])
    return found[: -(-len(values) * 3 // 2)]


@pytest.mark.parametrize("size", [(4, 3), (5, 3), (7, 1), (2, 1), (3, 1), (640, 2)])
@pytest.mark.parametrize(
    ("code", "bits", "pack"),
    [
        (0x010A0046, 10, _in_a_row),
        (0x010C0047, 12, _in_a_row),
        (0x010E0104, 14, _in_a_row),
        (0x010C0004, 10, _in_three_bytes),
        (0x010C0006, 12, _in_three_bytes),
    ],
)
def test_packed_pixels_give_their_upper_eight_bits(
    code: int, bits: int, pack: Callable[[list[int], int], bytes], size: tuple[int, int]
) -> None:
    """Of any number of pixels, also one whose last byte is not full."""
    width, height = size
    values = np.random.default_rng(bits).integers(0, 1 << bits, (height, width, 1))
    decode = decoder(code)
    assert decode is not None
    found = decode(pack(values.ravel().tolist(), bits), width, height)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, values >> (bits - 8))


def test_16_bits_stay_and_bits_that_a_format_lacks_are_refused() -> None:
    """Mono16 does not say how many bits a camera uses; Mono12 with more than 12 is one sentence."""
    sixteen, twelve = decoder(0x01100007), decoder(0x01100005)
    assert sixteen is not None and twelve is not None
    image = sixteen((4000).to_bytes(2, "little") * 12, 4, 3)
    assert image.dtype == np.uint16 and image.shape == (3, 4, 1) and (image == 4000).all()
    with pytest.raises(ImageError, match="grey level 4096 needs 13 bits, and the pixel format has 12"):
        twelve((4096).to_bytes(2, "little") * 12, 4, 3)


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
    assert decoder(0x010C0025) is None  # BayerGR12Packed
    for code in (0x010C0006, 0x010C0047):
        decode = decoder(code)
        assert decode is not None
        with pytest.raises(ValueError):
            decode(bytes(8), 2, 3)  # 9 are needed
