"""Parity with lime 0.2.0.1: the same superpixels come out on top.

Run it where lime is: `pip install --no-deps lime==0.2.0.1 tqdm`. Any backend: the models are plain
functions.
"""

import numpy as np
import pytest

from keras_explain.lime import LimeImageExplainer, LimeTabularExplainer, LimeTextExplainer, Table

lime_image = pytest.importorskip("lime.lime_image")


def lime_kernel(changes):
    """`lime`'s image kernel: cosine distance, width 0.25, under a root."""
    distance = 1 - np.sqrt(1 - changes.mean(axis=1))
    return np.sqrt(np.exp(-np.square(distance / 0.25)))


def network(seed=0):
    """A smooth non-linear score of a picture, three classes."""
    rng = np.random.default_rng(seed)
    filters, out = rng.normal(size=(48, 16)) / 2, rng.normal(size=(16, 3))

    def predict(images):
        x = np.asarray(images, np.float32)[:, :32, :32].reshape(-1, 4, 8, 4, 8, 3)
        pooled = x.mean(axis=(2, 4)).reshape(len(x), 48)
        scores = np.exp(np.tanh(pooled @ filters) @ out)
        return scores / scores.sum(axis=1, keepdims=True)

    return predict


@pytest.mark.parametrize("seed", range(3))
def test_top_five_superpixels_agree(seed):
    image = np.random.default_rng(seed).uniform(0, 1, (32, 32, 3))
    segments = (np.arange(32)[:, None] // 8) * 4 + np.arange(32) // 8
    predict = network(seed)
    theirs = lime_image.LimeImageExplainer(random_state=seed).explain_instance(
        image, predict, top_labels=1, hide_color=0, num_samples=4000, batch_size=500,
        segmentation_fn=lambda _: segments,
    )
    label = theirs.top_labels[0]
    expected = dict(theirs.local_exp[label])
    explainer = LimeImageExplainer(predict, segments=segments, baseline=0.0, kernel=lime_kernel)
    ours = explainer.explain(image, samples=4000)
    assert ours.classes == (label,)
    theirs_top = {f for f, _ in theirs.local_exp[label][:5]}
    assert {f.index for f in ours.top(5)} == theirs_top
    table = [expected[i] for i in range(16)]
    assert np.corrcoef(ours.weights[0], table)[0, 1] > 0.995
    assert np.allclose(ours.weights[0], table, atol=0.12 * np.abs(table).max())


def test_same_masks_same_numbers():
    """Given lime's own masks, kernel and ridge penalty, the coefficients are lime's."""
    from keras_explain.lime.surrogate import Regression, Ridge

    rng = np.random.default_rng(0)
    base = lime_image.lime_base.LimeBase(lambda d: np.sqrt(np.exp(-np.square(d / 0.25))))
    masks = rng.integers(0, 2, (300, 12))
    masks[0] = 1
    scores = rng.random((300, 2)) + masks @ rng.normal(size=(12, 2))
    distances = 1 - np.sqrt(masks.mean(axis=1))
    intercept, weights, fidelity, local = base.explain_instance_with_data(
        masks, scores, distances, 1, 12, feature_selection="none"
    )
    kernel = lime_kernel(1 - masks)
    problem = Regression(masks.astype(float), scores[:, 1], kernel / kernel.mean(), ("x",) * 12)
    penalty = 1 / kernel.mean() / (np.trace(problem.gram) / 12)
    fit = Ridge(alpha=penalty)(problem)
    assert np.allclose(fit.weights, [dict(weights)[i] for i in range(12)], atol=1e-9)
    assert np.isclose(fit.intercept, intercept) and np.isclose(fit(masks[:1])[0], local[0])


def test_texts_agree():
    lime_text = pytest.importorskip("lime.lime_text")
    values = {"good": 2.0, "bad": -2.5, "film": 0.4, "dull": -1.0, "plot": 0.2, "fine": 0.8}
    text = "a good film with a bad and dull plot but a fine cast and one good scene"

    def predict(texts):
        total = np.array([sum(values.get(w, 0) for w in set(t.split())) for t in texts])
        return np.stack([1 / (1 + np.exp(total)), 1 / (1 + np.exp(-total))], axis=1)

    theirs = lime_text.LimeTextExplainer(random_state=0).explain_instance(
        text, predict, num_features=6, num_samples=4000
    )
    explainer = LimeTextExplainer(predict, sampler="uniform")
    ours = explainer.explain(text, target=[1], num_features=6, samples=4000)
    expected = dict(theirs.as_list())
    found = {f.name: f.weight for f in ours.top(6)}
    assert set(list(found)[:4]) == set(list(expected)[:4]) == {"bad", "good", "dull", "fine"}
    for word in ("bad", "good", "dull", "fine"):
        assert np.isclose(found[word], expected[word], atol=0.03)


def test_tables_agree():
    """Where the score depends on quartiles and categories alone, both estimate the same numbers."""
    lime_tabular = pytest.importorskip("lime.lime_tabular")
    rng = np.random.default_rng(0)
    data = rng.normal(size=(2000, 6))
    data[:, 5] = rng.choice(3, 2000, p=[0.5, 0.3, 0.2])
    edges = np.quantile(data[:, :5], [0.25, 0.5, 0.75], axis=0)
    effects = rng.normal(size=(6, 4))

    def predict(rows):
        rows = np.asarray(rows, float)
        parts = [np.searchsorted(edges[:, j], rows[:, j]) for j in range(5)]
        parts.append(rows[:, 5].astype(int))
        score = sum(effects[j, part] for j, part in enumerate(parts)) / 20 + 0.5
        return np.stack([1 - score, score], axis=1)

    kinds = [f"kind {i}" for i in range(3)]
    theirs = lime_tabular.LimeTabularExplainer(
        data, categorical_features=[5], categorical_names={5: kinds}, random_state=0
    )
    table = Table(data, names=[*"abcde", "kind"], categorical={"kind": kinds})
    ours = LimeTabularExplainer(predict, table)
    for row in data[:3]:
        expected = theirs.explain_instance(row, predict, num_features=6, num_samples=8000)
        expected = dict(expected.as_map()[1])
        explanation = ours.explain(row, target=[1], samples=8000)
        wanted = [expected[j] for j in range(6)]
        assert np.corrcoef(explanation.weights[0], wanted)[0, 1] > 0.99
        assert np.allclose(explanation.weights[0], wanted, atol=0.01)
        top = sorted(expected, key=lambda j: -abs(expected[j]))
        assert [feature.index for feature in explanation.top(3)] == top[:3]
