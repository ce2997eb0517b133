"""The comparison figure: what it shows, that text fits, and that pyplot is left alone."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from keras_explain import images, plots

NAMES = ["Grad-CAM", "Occlusion", "Saliency", "LIME", "RISE", "Score-CAM"]
LONG = "a class name that nobody could ever fit above a picture, " * 3


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


def pictures(figure):
    """The axes with an image, by title."""
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.images}


def color_bars(figure):
    return [axes for axes in figure.axes if hasattr(axes, "_colorbar")]


def texts(figure):
    figure.canvas.draw()
    shown = list(figure.texts)
    for axes in figure.axes:
        shown += [axes._left_title, *axes.texts]
        shown += axes.get_xticklabels() if axes.axison else []
    return [text for text in shown if text.get_text()]


def test_the_panels_show_the_input_and_the_overlays(photo):
    heatmaps = {"Grad-CAM": np.eye(4), "Occlusion": np.array([[-1.0, 2.0]])}
    panels = pictures(plots.comparison(photo, heatmaps, alpha=0.3))
    assert list(panels) == ["Input", "Grad-CAM", "Occlusion"]
    np.testing.assert_array_equal(panels["Input"].images[0].get_array(), photo)
    for name, heatmap in heatmaps.items():
        expected = images.overlay(photo, heatmap, alpha=0.3)
        np.testing.assert_array_equal(panels[name].images[0].get_array(), expected)


def test_color_bars_are_in_raw_units(photo):
    heatmaps = {"positive": [[0.0, 0.0032]], "signed": [[-0.5, 123.0]], "dead": np.zeros((2, 2))}
    figure = plots.comparison(photo, heatmaps)
    bars = color_bars(figure)
    assert [bar.get_xlim() for bar in bars] == [
        pytest.approx((0, 0.0032)),
        pytest.approx((0, 123)),
        (0, 1),
    ]
    labels = [[label.get_text() for label in bar.get_xticklabels()] for bar in bars]
    assert labels == [["0", "0.0032"], ["0", "123"], ["0 everywhere"]]


def test_a_few_outliers_do_not_make_a_map_look_blank(photo):
    heatmap = np.zeros((24, 40))
    heatmap[:12] = 1
    heatmap[0, :3] = 1000
    signed = heatmap * np.where(np.arange(40) % 2, 1, -1)
    figure = plots.comparison(photo, {"outliers": heatmap, "signed": signed, "none": heatmap > 0})
    labels = [[label.get_text() for label in bar.get_xticklabels()] for bar in color_bars(figure)]
    assert labels == [["0", "≥ 1"], ["≤ -1", "0", "≥ 1"], ["0", "1"]]
    colored = pictures(figure)["outliers"].images[0].get_array()
    plain = pictures(figure)["none"].images[0].get_array()
    np.testing.assert_array_equal(colored[1:], plain[1:])


def test_signed_maps_have_a_diverging_bar(photo):
    figure = plots.comparison(photo, {"signed": [[-4e-9, 1e-9]]})
    (bar,) = color_bars(figure)
    assert bar.get_xlim() == pytest.approx((-4e-9, 4e-9))
    assert [label.get_text() for label in bar.get_xticklabels()] == ["-4e-9", "0", "4e-9"]
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())
    left, bottom, right, top = bar.get_window_extent().extents
    row = drawn[round(drawn.shape[0] - (bottom + top) / 2), :, :3].astype(int)
    assert np.abs(row[int(left) + 2] - (5, 48, 97)).max() < 12
    assert np.abs(row[round((left + right) / 2)] - 247).max() < 6
    assert np.abs(row[int(right) - 2] - (103, 0, 31)).max() < 12


def test_predictions_are_in_the_title_and_in_a_list(photo):
    predictions = [("tabby", 0.6312), ("lynx", 0.25), ("fox", 0.0004)]
    figure = plots.comparison(photo, {"Grad-CAM": np.eye(4)}, predictions)
    assert figure.get_suptitle() == "tabby  63.1 %"
    (listed,) = [axes for axes in figure.axes if axes.get_title(loc="left") == "Predictions"]
    shown = [text.get_text() for text in listed.texts]
    assert shown == ["63.1 %", "tabby", "25.0 %", "lynx", "0.0 %", "fox"]
    widths = [bar.get_width() for bar in listed.patches]
    assert widths == [1, 0.6312, 1, 0.25, 1, 0.0004]


def test_a_title_replaces_the_prediction(photo):
    arguments = (photo, {"Grad-CAM": np.eye(4)}, [("tabby", 0.6)])
    assert plots.comparison(*arguments, title="Figure 1").get_suptitle() == "Figure 1"
    assert plots.comparison(*arguments, title="").get_suptitle() == ""
    assert plots.comparison(*arguments[:2]).get_suptitle() == ""


@pytest.mark.parametrize(
    "shape, count",
    [
        ((28, 28), 1),
        ((28, 28), 6),
        ((300, 451, 3), 2),
        ((300, 451, 3), 3),
        ((400, 40, 3), 1),
        ((400, 40, 3), 4),
        ((30, 500, 3), 1),
        ((30, 500, 3), 6),
    ],
)
def test_everything_is_inside_the_figure_and_apart(shape, count):
    rng = np.random.default_rng(0)
    names = [*NAMES[: count - 1], LONG]
    heatmaps = {name: rng.normal(size=(7, 7)) * 1e-5 for name in names}
    predictions = [(LONG, 0.9999), ("$x", 0.00004), *((f"class {i}", 0) for i in range(4))]
    figure = plots.comparison(rng.random(shape), heatmaps, predictions)
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [text.get_window_extent() for text in texts(figure)]
    for text, box in zip(texts(figure), boxes, strict=True):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text
    overlapping = [
        (first, second)
        for index, first in enumerate(boxes)
        for second in boxes[index + 1 :]
        if min(first.x1, second.x1) - max(first.x0, second.x0) > 1
        and min(first.y1, second.y1) - max(first.y0, second.y0) > 1
    ]
    assert not overlapping
    assert max(figure.get_size_inches()) < 20


@pytest.mark.parametrize("height, width", [(24, 40), (400, 40), (30, 500)])
def test_the_aspect_is_kept(height, width):
    figure = plots.comparison(np.zeros((height, width)), {"Grad-CAM": np.eye(4)})
    figure.canvas.draw()
    for axes in pictures(figure).values():
        box = axes.get_window_extent()
        assert box.width / box.height == pytest.approx(width / height, rel=0.01)


def test_unpreprocess(photo):
    figure = plots.comparison(
        photo / 127.5 - 3, {"Grad-CAM": np.eye(4)}, unpreprocess=lambda x: (x + 3) / 2
    )
    np.testing.assert_array_equal(pictures(figure)["Input"].images[0].get_array(), photo)


def test_errors(photo):
    with pytest.raises(ValueError, match="at least one heatmap, received an empty dict"):
        plots.comparison(photo, {})
    with pytest.raises(ValueError, match="received ndarray"):
        plots.comparison(photo, np.eye(3))
    with pytest.raises(ValueError, match=r"received a batch of shape \(1, 24, 40, 3\)"):
        plots.comparison(photo[None], {"Grad-CAM": np.eye(4)})
    with pytest.raises(ValueError, match="pairs of class name and probability"):
        plots.comparison(photo, {"Grad-CAM": np.eye(4)}, [0.3, 0.7])


def test_what_fills_disagree_on_is_faded(photo):
    heatmap, spread = np.array([[4.0, -4.0], [1.0, 2.0]]), np.array([[1.0, 1.0], [2.0, 0.0]])
    faded = plots.comparison(photo, {"several": heatmap}, disagreement={"several": spread})
    wanted = plots.comparison(photo, {"several": np.array([[3.0, -3.0], [0.0, 2.0]])})
    plain = plots.comparison(photo, {"several": heatmap})
    found, right, other = (pictures(f)["several"].get_images()[0].get_array() for f in (
        faded, wanted, plain))
    np.testing.assert_array_equal(found, right)
    assert np.any(found != other)
    with pytest.raises(ValueError, match="disagreement.*'rise'"):
        plots.comparison(photo, {"several": heatmap}, disagreement={"rise": spread})
    with pytest.raises(ValueError, match="of the heatmap's shape"):
        plots.comparison(photo, {"several": heatmap}, disagreement={"several": spread[:1]})


def test_pyplot_is_not_touched(tmp_path):
    code = (
        "import sys; import numpy as np; from keras_explain import plots;"
        f"plots.comparison(np.eye(5), {{'a': np.eye(2)}}).savefig({str(tmp_path / 'a.png')!r});"
        "print([m for m in ('matplotlib.pyplot', 'keras', 'tensorflow') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_the_figure_can_be_saved_in_other_formats(photo, tmp_path):
    figure = plots.comparison(photo, {"Grad-CAM": np.eye(4)}, [("tabby", 0.5)])
    assert isinstance(figure, Figure) and isinstance(figure.canvas, FigureCanvasAgg)
    figure.savefig(tmp_path / "a.pdf")
    figure.savefig(tmp_path / "a.svg")
    assert (tmp_path / "a.pdf").stat().st_size > 1000
