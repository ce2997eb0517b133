"""Coefficient maps, confusion matrices, galleries, rankings: what they show, in which colors."""

import numpy as np
import pytest

from keras_explain import plots
from keras_explain.error_analysis import ErrorAnalysis, ErrorHeatmaps, analyze_errors
from keras_explain.linear import Agreement
from keras_explain.linear.mean_gradient import MeanGradient


@pytest.fixture
def analysis():
    scores = np.eye(3)[[0, 1, 2, 1, 1, 0]] * 0.7 + 0.1
    return analyze_errors(lambda x: x, scores, [0, 1, 2, 2, 2, 1], class_names=["$a", "b", "c"])


def pictures(figure):
    return [axes for axes in figure.axes if axes.images and not hasattr(axes, "_colorbar")]


def drawn(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


def test_coefficients_have_one_scale_for_a_row_with_zero_in_the_middle():
    maps = np.zeros((2, 3, 5))
    maps[0, 0, 0], maps[1, 2, 4] = 4.0, -1.0
    figure = plots.coefficient_maps({"softmax": maps, "means": np.ones((2, 3, 5))}, ["$x", "y"])
    shown = pictures(figure)
    assert len(shown) == 4
    assert [axes.images[0].get_clim() for axes in shown] == [(-4, 4)] * 2 + [(0, 1)] * 2
    assert [axes.get_title() for axes in shown] == ["$x", "y", "", ""]
    assert [shown[0].get_ylabel(), shown[2].get_ylabel()] == ["softmax", "means"]
    np.testing.assert_array_equal(shown[1].images[0].get_array(), maps[1])
    colors = shown[0].images[0].to_rgba([4.0, 0.0, -4.0], bytes=True)[:, :3].tolist()
    assert colors == [[103, 0, 31], [247, 246, 246], [5, 48, 97]]
    drawn(figure)


def test_rows_may_have_fewer_classes():
    figure = plots.coefficient_maps({"a": np.ones((3, 2, 2)), "b": -np.ones((1, 2, 2))})
    assert len(pictures(figure)) == 4


def test_the_confusion_matrix_shows_counts_and_accuracy(analysis):
    figure = plots.confusion_matrix({"train": analysis, "test": analysis}, title="title")
    axes = pictures(figure)
    titles = [a.get_title() for a in axes]
    assert titles == ["train: 50.00 % of 6 right", "test: 50.00 % of 6 right"]
    found = {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text()
             for t in axes[0].texts}
    assert found == {(0, 0): "1", (1, 0): "1", (1, 1): "1", (2, 1): "2", (2, 2): "1"}
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["$a", "b", "c"]
    drawn(figure)


def test_many_classes_have_no_numbers():
    count = 40
    everything = ErrorAnalysis(np.arange(count), np.arange(count), np.eye(count),
                               [str(i) for i in range(count)])
    assert not plots.confusion_matrix({"test": everything}).axes[0].texts


def test_the_gallery_shows_all_images_in_one_range():
    images = np.stack([np.zeros((4, 6)), np.ones((4, 6)), np.full((4, 6), 0.5)])
    figure = plots.gallery(images, ["a", "b", "$c"], columns=2)
    shown = pictures(figure)
    assert [int(axes.images[0].get_array()[0, 0, 0]) for axes in shown] == [0, 255, 128]
    assert [axes.get_title() for axes in shown] == ["a", "b", "$c"]


def test_mistakes_show_truth_answer_probability_and_reason(analysis):
    rows = analysis.misclassified
    maps = ErrorHeatmaps(np.zeros((3, 4, 4)), np.ones((3, 4, 4)))
    figure = plots.error_gallery(np.zeros((3, 4, 4)), analysis, maps)
    titles = [axes.get_title() for axes in pictures(figure)]
    assert titles[:4] == ["is c\nsays b  80 %", "for c", "for b", "b minus c"]
    assert len(titles) == 12 and len(rows) == 3
    overlay = pictures(figure)[3].images[0].get_array()[0, 0]
    assert overlay[0] > overlay[2] + 40  # red: for the mistake
    alone = plots.error_gallery(np.zeros((1, 4, 4)), analysis, rows=[5])
    assert pictures(alone)[0].get_title() == "is b\nsays $a  80 %"
    drawn(figure)


def test_the_ranking_has_bars_and_errors():
    gradient = MeanGradient(np.array([2.0, -1.0, 0.5]), np.array([0.1, 0.2, np.nan]), np.array(0.0),
                            9, feature_names=["good", "bad", "$"])
    figure = plots.ranking(gradient, 2)
    positive, negative = figure.axes
    assert [t.get_text() for t in positive.get_yticklabels()] == ["good", "$"]
    assert [bar.get_width() for bar in negative.patches] == [-1.0, 0.5]
    drawn(figure)


def test_the_agreement_separates_the_decisions():
    linear = np.array([[1.0], [2.0], [-1.0]], "float32")
    own = np.array([[1.0], [-2.0], [-1.0]], "float32")
    figure = plots.agreement(Agreement(2 / 3, 3, linear, own))
    same, other = figure.axes[0].collections
    assert len(same.get_offsets()) == 2 and other.get_offsets().tolist() == [[2.0, -2.0]]
    assert figure.axes[0].get_title().startswith("agree on 66.7 % of 3")


def test_errors(analysis):
    with pytest.raises(ValueError, match="at least one row of maps, received an empty dict"):
        plots.coefficient_maps({})
    with pytest.raises(ValueError, match=r"\(classes, H, W\), received shape \(3, 4\) for 'a'"):
        plots.coefficient_maps({"a": np.zeros((3, 4))})
    with pytest.raises(ValueError, match="finite maps, received NaN or infinity in 'a'"):
        plots.coefficient_maps({"a": np.full((1, 2, 2), np.nan)})
    with pytest.raises(ValueError, match="Expected 3 class names, received 1"):
        plots.coefficient_maps({"a": np.zeros((3, 2, 2))}, ["x"])
    with pytest.raises(ValueError, match="received ErrorAnalysis"):
        plots.confusion_matrix(analysis)
    with pytest.raises(ValueError, match="at least one image"):
        plots.gallery(np.zeros((0, 2, 2)))
    with pytest.raises(ValueError, match="Expected 2 captions, received 1"):
        plots.gallery(np.zeros((2, 2, 2)), ["a"])
    with pytest.raises(ValueError, match="received 4 and 3"):
        plots.error_gallery(np.zeros((4, 2, 2)), analysis)
    with pytest.raises(ValueError, match="Expected 1 heatmaps, one per image, received 2"):
        plots.error_gallery(np.zeros((1, 2, 2)), analysis,
                            ErrorHeatmaps(np.zeros((2, 2, 2)), np.zeros((2, 2, 2))))
