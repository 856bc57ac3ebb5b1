"""`laid_frame`: a frame of any size from an image of another."""

import numpy as np

from latentline.vision.laid_frame import laid_frame


def test_a_frame_continues_its_image_in_mirrors() -> None:
    """Of any size; beyond an edge the image goes back, and a shift moves the whole pattern."""
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    frame = laid_frame(image, (8, 6), 0)
    np.testing.assert_array_equal(frame[:3, :4], image)
    np.testing.assert_array_equal(frame[:3, 4:], image[:, ::-1])
    np.testing.assert_array_equal(frame[3:, :4], image[::-1])
    np.testing.assert_array_equal(laid_frame(image, (5, 4), 2), laid_frame(image, (7, 6), 0)[2:, 2:])
