"""Pictures: known colors and exact pixels, on non-square, asymmetric inputs."""

import subprocess
import sys

import cv2
import matplotlib
import numpy as np
import pytest

from keras_explain import images
from keras_explain.images import filmstrips

INFERNO_ZERO, INFERNO_MIDDLE, INFERNO_TOP = (0, 0, 4), (188, 55, 84), (252, 255, 164)
BLUE, WHITE, RED = (5, 48, 97), (247, 247, 247), (103, 0, 31)


@pytest.fixture
def photo():
    """A 24x40 image with every value from 0 to 255, unlike its mirror images and transpose."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (24, 40, 3), dtype=np.uint8)
    image[0, 0], image[0, 1] = (0, 0, 0), (255, 255, 255)
    return image


class TestToUint8:
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    @pytest.mark.parametrize(
        "scale, offset",
        [(1 / 255, 0.0), (2 / 255, -1.0), (1.0, 0.0)],
        ids=["unit", "symmetric", "bytes"],
    )
    def test_float_ranges_round_trip(self, photo, dtype, scale, offset):
        values = (photo.astype("float64") * scale + offset).astype(dtype)
        np.testing.assert_array_equal(images.to_uint8(values), photo)

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64", "uint16", "uint64"])
    def test_integers_within_bytes_stay(self, photo, dtype):
        result = images.to_uint8(photo.astype(dtype))
        np.testing.assert_array_equal(result, photo)
        assert result.dtype == np.uint8

    def test_bfloat16(self, photo):
        bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
        even = photo // 2 * 2  # bfloat16 has 8 bits of precision
        np.testing.assert_array_equal(images.to_uint8(even.astype(bfloat16)), even)

    @pytest.mark.parametrize(
        "values, expected",
        [
            (np.array([[0, 65535, 257]], "uint16"), [0, 255, 1]),
            (np.array([[-100, 1, 100]], "int16"), [0, 129, 255]),
            (np.array([[0, 1000]], "int32"), [0, 255]),
            (np.array([[False, True]]), [0, 255]),
            (np.array([[-2.0, -1.0, 2.0]]), [0, 64, 255]),  # standardized: stretched
            (np.array([[0.0, 1.5, 3.0]]), [0, 128, 255]),  # standardized without negatives
            (np.array([[-123.0, 0.0, 132.0]]), [0, 123, 255]),  # mean subtracted
            (np.array([[-3.0, -3.0]]), [0, 0]),
            (np.array([[0.0, 0.5, 1.01]]), [0, 128, 255]),  # overshoot of a resize, clipped
            (np.array([[-1.01, 0.2, 1.01]]), [0, 153, 255]),
            (np.array([[-2.0, 100.4, 258.0]]), [0, 100, 255]),
            (np.array([[0.0, 9.0]]), [0, 9]),
            (np.array([[0.0, 0.0]]), [0, 0]),
        ],
    )
    def test_known_values(self, values, expected):
        assert images.to_uint8(values)[0, :, 0].tolist() == expected

    def test_the_range_of_a_batch_is_that_of_all_its_images(self):
        batch = np.zeros((2, 2, 3, 3))
        batch[0] = 1.0
        batch[1] = 200.0
        assert images.to_uint8(batch)[0, 0, 0].tolist() == [1, 1, 1]
        assert images.to_uint8(batch[0])[0, 0].tolist() == [255, 255, 255]

    @pytest.mark.parametrize("shape", [(24, 40), (24, 40, 1), (5, 24, 40, 1)])
    def test_gray_becomes_three_equal_channels(self, shape):
        values = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
        result = images.to_uint8(values)
        assert result.shape == (*shape[:-1], 3) if shape[-1] == 1 else (*shape, 3)
        for channel in range(3):
            np.testing.assert_array_equal(result[..., channel], values.reshape(result.shape[:-1]))

    def test_transparent_pixels_show_white(self):
        pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 255, 128]]], "uint8")
        result = images.to_uint8(pixels)
        assert result[0].tolist() == [[10, 20, 30], [255, 255, 255], [127, 177, 255]]
        np.testing.assert_array_equal(images.to_uint8(pixels / 255.0), result)

    def test_unpreprocess_runs_first_and_may_work_in_place(self, photo):
        def undo(pixels):
            pixels += np.array([103.939, 116.779, 123.68])
            return pixels[..., ::-1]

        caffe = photo[..., ::-1] - np.array([103.939, 116.779, 123.68])
        before = caffe.copy()
        np.testing.assert_array_equal(images.to_uint8(caffe, undo), photo)
        np.testing.assert_array_equal(caffe, before)

    def test_the_result_is_a_copy(self, photo):
        before = photo.copy()
        images.to_uint8(photo)[:] = 7
        np.testing.assert_array_equal(photo, before)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_broken_values(self, photo, value):
        values = photo / 255.0
        values[3, 4, 1] = value
        with pytest.raises(ValueError, match="received 1 NaN or infinite values of 2880"):
            images.to_uint8(values)

    @pytest.mark.parametrize("shape", [(3, 24, 40), (24, 40, 2), (7,), (0, 4, 3), (1, 2, 3, 4, 3)])
    def test_wrong_shapes(self, shape):
        with pytest.raises(ValueError, match="Expected an image of shape") as error:
            images.to_uint8(np.zeros(shape))
        assert f"received shape {shape}" in str(error.value)

    @pytest.mark.parametrize("values", [np.array([["a"]]), np.array([[1j]]), np.array([[{}]])])
    def test_not_numbers(self, values):
        with pytest.raises(TypeError, match="Expected the image to hold real numbers"):
            images.to_uint8(values)


class TestColorize:
    def test_sequential_from_zero_to_the_maximum(self):
        colors = images.colorize([[0.0, 2.0, 4.0]])
        assert [tuple(color) for color in colors[0]] == [INFERNO_ZERO, INFERNO_MIDDLE, INFERNO_TOP]
        assert colors.dtype == np.uint8

    @pytest.mark.parametrize("name", ["viridis", "inferno", "cividis", "gray", "tab10"])
    def test_the_table_is_matplotlibs(self, name):
        ramp = np.arange(256, dtype=np.float64)[None]
        expected = 255 * matplotlib.colormaps[name].resampled(256)(np.arange(256))[:, :3]
        np.testing.assert_allclose(images.colorize(ramp, cmap=name)[0], expected, atol=0.5)

    def test_opencv_has_the_same_colors(self):
        ramp = np.arange(256, dtype=np.uint8)[None]
        expected = cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)[..., ::-1]
        np.testing.assert_array_equal(images.colorize(ramp, cmap="inferno"), expected)

    def test_signed_maps_are_centered_on_zero(self):
        colors = images.colorize([[-1.0, 0.0, 4.0, -4.0]])
        assert tuple(colors[0, 1]) == WHITE
        assert tuple(colors[0, 2]) == RED
        assert tuple(colors[0, 3]) == BLUE
        assert colors[0, 0, 2] > colors[0, 0, 0]  # weakly blue

    def test_sides_of_a_signed_map_have_equal_weight(self):
        values = np.linspace(0, 1, 77)[None]
        both = np.concatenate([values, -values])
        gray = images.colorize(both, cmap=matplotlib.colormaps["gray"]).astype(int)
        assert np.abs(gray[0] + gray[1] - 255).max() <= 1

    @pytest.mark.parametrize("signed, color", [(None, INFERNO_ZERO), (True, WHITE)])
    def test_a_map_of_zeros_has_the_color_of_zero(self, signed, color):
        colors = images.colorize(np.zeros((3, 5)), signed=signed)
        np.testing.assert_array_equal(colors, np.broadcast_to(color, (3, 5, 3)))

    @pytest.mark.parametrize("factor", [1e-30, 1e-8, 1.0, 1e8])
    def test_the_unit_does_not_matter(self, factor):
        values = np.array([[0.0, 0.1, 0.7, -0.4]])
        np.testing.assert_array_equal(images.colorize(values * factor), images.colorize(values))

    def test_each_map_of_a_batch_has_its_own_limits(self):
        values = np.random.default_rng(0).random((3, 7, 5)) * np.array([1, 10, 1e-6])[:, None, None]
        one_by_one = np.stack([images.colorize(one) for one in values])
        np.testing.assert_array_equal(images.colorize(values), one_by_one)

    def test_one_signed_map_makes_the_batch_diverging(self):
        colors = images.colorize([[[0.0, 1.0]], [[-1.0, 0.0]]])
        assert tuple(colors[0, 0, 0]) == tuple(colors[1, 0, 1]) == WHITE

    def test_noise_below_zero_is_not_signed(self):
        assert tuple(images.colorize([[-1e-7, 1.0]])[0, 0]) == INFERNO_ZERO
        assert not images.is_signed([[-0.0099, 1.0]])
        assert images.is_signed([[-0.0101, 1.0]])

    def test_limits_are_shared_and_clip(self):
        colors = images.colorize([[1.0, 3.0, 9.0]], limits=(1.0, 5.0))
        assert [tuple(color) for color in colors[0]] == [INFERNO_ZERO, INFERNO_MIDDLE, INFERNO_TOP]

    def test_limits_of_signed_maps_stay_centered(self):
        colors = images.colorize([[-4.0, 0.0, 4.0]], limits=(-1.0, 4.0))
        assert [tuple(color) for color in colors[0]] == [BLUE, WHITE, RED]

    def test_empty_limits_are_those_of_a_map_of_zeros(self):
        assert tuple(images.colorize([[0.0]], limits=(0, 0))[0, 0]) == INFERNO_ZERO

    def test_errors(self):
        with pytest.raises(ValueError, match=r"low <= high, received \(2, 1\)"):
            images.colorize([[1.0]], limits=(2, 1))
        with pytest.raises(ValueError, match="Near names: viridis"):
            images.colorize([[1.0]], cmap="viridi")
        with pytest.raises(ValueError, match="NaN or infinite values of 2"):
            images.colorize([[np.nan, 1.0]])
        with pytest.raises(ValueError, match=r"received shape \(1, 7, 7, 1\)"):
            images.colorize(np.zeros((1, 7, 7, 1)))


def half_pixel_bilinear(values, height, width):
    """The definition, one pixel at a time, computed without OpenCV."""

    def neighbors(index, size, new_size):
        place = min(max((index + 0.5) * size / new_size - 0.5, 0), size - 1)
        low = int(place)
        return low, min(low + 1, size - 1), place - low

    result = np.empty((height, width))
    for row in range(height):
        top, bottom, down = neighbors(row, values.shape[0], height)
        for column in range(width):
            left, right, along = neighbors(column, values.shape[1], width)
            upper = values[top, left] * (1 - along) + values[top, right] * along
            lower = values[bottom, left] * (1 - along) + values[bottom, right] * along
            result[row, column] = upper * (1 - down) + lower * down
    return result


class TestOverlay:
    def test_alpha_0_is_the_image(self, photo):
        for heatmap in (np.eye(3), -np.eye(3)):
            np.testing.assert_array_equal(images.overlay(photo, heatmap, alpha=0), photo)

    def test_alpha_1_is_the_heatmap(self, photo):
        heatmap = np.random.default_rng(2).normal(size=(24, 40))
        for values in (heatmap, np.abs(heatmap)):
            expected = images.colorize(values)
            np.testing.assert_array_equal(images.overlay(photo, values, alpha=1), expected)

    def test_small_maps_are_enlarged_bilinearly(self, photo):
        heatmap = np.random.default_rng(3).random((3, 7))
        enlarged = half_pixel_bilinear(heatmap, 24, 40)
        expected = images.colorize(enlarged, limits=(0, heatmap.max()))
        result = images.overlay(photo, heatmap, alpha=1)
        assert result.shape == (24, 40, 3)
        # Rounding may move a pixel to the neighboring color of the table.
        np.testing.assert_allclose(result.astype(int), expected, atol=8)
        assert (result == expected).all(axis=-1).mean() > 0.99

    def test_a_corner_stays_in_its_corner(self, photo):
        heatmap = np.zeros((2, 4))
        heatmap[1, 0] = 1.0  # lower left
        result = images.overlay(photo, heatmap, alpha=1).sum(axis=-1)
        assert np.unravel_index(result.argmax(), result.shape)[0] >= 17
        assert result[20, 2] == sum(INFERNO_TOP)
        assert result[2, 2] == result[2, 37] == result[21, 37] == sum(INFERNO_ZERO)

    def test_large_maps_are_averaged(self):
        heatmap = np.zeros((8, 12))
        heatmap[::2, ::2] = 1.0  # a quarter of each 2x2 block
        result = images.overlay(np.zeros((4, 6, 3), "uint8"), heatmap, alpha=1, cmap="gray")
        np.testing.assert_array_equal(result, 64)

    def test_the_blend(self):
        image = np.full((1, 2, 3), (100, 50, 10), "uint8")
        result = images.overlay(image, [[0.0, 1.0]], alpha=0.25)
        expected = 0.75 * image[0] + 0.25 * np.array([INFERNO_ZERO, INFERNO_TOP])
        np.testing.assert_allclose(result[0], expected, atol=0.5)

    def test_under_a_signed_map_the_image_is_gray(self):
        image = np.zeros((1, 2, 3), "uint8")
        image[0, 0] = (255, 0, 0)  # gray 76
        half = images.overlay(image, [[0.0, -1.0]], alpha=0.5)
        np.testing.assert_allclose(half[0, 0], (76 + 247) / 2, atol=0.5)
        quarter = images.overlay(image, [[0.0, -1.0]], alpha=0.25)
        faded = np.array([(255 + 76) / 2, 38, 38])
        np.testing.assert_allclose(quarter[0, 0], 0.75 * faded + 0.25 * 247, atol=1)

    def test_a_batch_is_its_images(self, photo):
        batch = np.stack([photo, photo[::-1], photo[:, ::-1]])
        heatmaps = np.random.default_rng(4).random((3, 7, 5))
        one_by_one = [images.overlay(*pair) for pair in zip(batch, heatmaps, strict=True)]
        np.testing.assert_array_equal(images.overlay(batch, heatmaps), np.stack(one_by_one))

    def test_unpreprocess(self, photo):
        result = images.overlay(photo / 255.0 - 3, np.eye(2), alpha=0,
                                unpreprocess=lambda x: x + 3)
        np.testing.assert_array_equal(result, photo)

    def test_gray_image(self):
        assert images.overlay(np.zeros((5, 9)), np.eye(2)).shape == (5, 9, 3)

    def test_neither_argument_is_changed(self, photo):
        heatmap = np.random.default_rng(5).normal(size=(24, 40)).astype("float32")
        before = photo.copy(), heatmap.copy()
        images.overlay(photo, heatmap)
        np.testing.assert_array_equal(photo, before[0])
        np.testing.assert_array_equal(heatmap, before[1])

    def test_errors(self, photo):
        with pytest.raises(ValueError, match="alpha between 0 .* received 1.5"):
            images.overlay(photo, np.eye(2), alpha=1.5)
        with pytest.raises(ValueError, match=r"shape \(3, 2, 2\) and images of shape \(24, 40, 3"):
            images.overlay(photo, np.zeros((3, 2, 2)))
        with pytest.raises(ValueError, match="Expected one heatmap"):
            images.overlay(photo[None], np.zeros((2, 2)))


class TestFilmstrip:
    def frames(self, count, height=120, width=200):
        return np.arange(1, count + 1, dtype=np.uint8)[:, None, None, None] * np.ones(
            (height, width, 3), np.uint8
        )

    def test_frames_fill_rows_from_left_to_right(self):
        strip = images.filmstrip(self.frames(5), columns=3, gap=4)
        assert strip.shape == (4 + 2 * 124, 4 + 3 * 204, 3)
        for index in range(5):
            top, left = 4 + index // 3 * 124, 4 + index % 3 * 204
            frame = strip[top : top + 120, left : left + 200]
            np.testing.assert_array_equal(frame, index + 1)
            np.testing.assert_array_equal(strip[top - 4 : top], 24)
            np.testing.assert_array_equal(strip[top : top + 120, left - 4 : left], 24)
        np.testing.assert_array_equal(strip[128:, 4 + 2 * 204 :], 24)

    def test_a_frame_keeps_its_place_as_others_are_added(self):
        few = images.filmstrip(self.frames(9), range(9))
        many = images.filmstrip(self.frames(20), range(20))
        assert few.shape[1] == many.shape[1]
        np.testing.assert_array_equal(few[:146], many[:146])

    def test_small_frames_grow_by_a_whole_factor(self):
        frame = np.random.default_rng(0).integers(0, 256, (20, 28, 3), dtype=np.uint8)
        strip = images.filmstrip([frame], gap=0)
        assert strip.shape == (80, 112, 3)
        np.testing.assert_array_equal(strip[1::4, 2::4], frame)
        np.testing.assert_array_equal(strip[::4, ::4], frame)

    def test_large_frames_shrink(self):
        assert images.filmstrip(np.zeros((2, 600, 300, 3)), gap=0).shape == (256, 256, 3)
        assert images.filmstrip(np.zeros((1, 600, 300, 3)), max_side=None, gap=0).shape == (
            600,
            300,
            3,
        )

    def test_labels_are_drawn_above_and_not_on_the_frames(self):
        strip = images.filmstrip(self.frames(3), ["1", "2", "2"], gap=0)
        labels, frames = strip[:18], strip[18:]
        np.testing.assert_array_equal(frames, images.filmstrip(self.frames(3), gap=0))
        first, second, third = np.split(labels, 3, axis=1)
        assert first.max() > 150 and (first == 24).mean() > 0.9
        assert (first != second).any()
        np.testing.assert_array_equal(second, third)

    def test_long_text_is_shortened_to_the_width(self):
        long = "a very long label " * 20
        width, _ = cv2.getTextSize(filmstrips._shorten(long, 0.4, 196), filmstrips._FONT, 0.4, 1)[0]
        assert 150 < width <= 196
        assert filmstrips._shorten(long, 0.4, 196).endswith("...")
        assert filmstrips._shorten("short", 0.4, 196) == "short"
        strip = images.filmstrip(self.frames(1), [long], gap=0)
        assert strip.shape == (138, 200, 3)

    @pytest.mark.parametrize("text", ["Bär 93 %", "猫", "two\nlines", "", "tab\there", "😀"])
    def test_any_text(self, text):
        assert images.caption(np.zeros((28, 28)), text).shape == (130, 112, 3)

    def test_caption_keeps_large_images(self):
        image = np.random.default_rng(0).integers(0, 256, (512, 300, 3), dtype=np.uint8)
        captioned = images.caption(image, "epoch 3")
        np.testing.assert_array_equal(captioned[-512:], image)
        assert captioned[:-512].max() > 150

    def test_errors(self):
        with pytest.raises(ValueError, match="received 0 frames"):
            images.filmstrip([])
        with pytest.raises(ValueError, match=r"shapes \[\(4, 4, 3\), \(4, 5, 3\)\]"):
            images.filmstrip([np.zeros((4, 4, 3)), np.zeros((4, 5, 3))])
        with pytest.raises(ValueError, match="each of the 2 frames, received 1"):
            images.filmstrip(np.zeros((2, 4, 4, 3)), ["one"])


class TestEncodePng:
    @pytest.mark.parametrize("shape", [(24, 40), (24, 40, 3), (24, 40, 4)])
    def test_lossless(self, shape):
        image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        decoded = cv2.imdecode(
            np.frombuffer(images.encode_png(image), np.uint8), cv2.IMREAD_UNCHANGED
        )
        if len(shape) == 3:
            decoded = decoded[..., [2, 1, 0, 3][: shape[2]]]
        np.testing.assert_array_equal(decoded, image)

    def test_views_are_encoded_as_they_look(self, photo):
        view = photo[::-1, ::2]
        assert images.encode_png(view) == images.encode_png(view.copy())

    def test_errors(self):
        with pytest.raises(TypeError, match="received float64. Call to_uint8 first"):
            images.encode_png(np.zeros((2, 2, 3)))
        with pytest.raises(ValueError, match=r"received shape \(1, 2, 2, 3\)"):
            images.encode_png(np.zeros((1, 2, 2, 3), "uint8"))


def test_the_module_needs_neither_keras_nor_tensorflow_nor_matplotlib():
    code = (
        "import sys, keras_explain.images;"
        "print([m for m in ('keras', 'tensorflow', 'jax', 'torch', 'matplotlib')"
        " if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
