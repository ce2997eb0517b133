"""LIME for tables: numbers, categories, one-hot groups, NumPy and pandas."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_explain.lime import LimeTabularExplainer, Predictor, Table

RNG = np.random.default_rng(0)
DATA = np.column_stack([
    RNG.normal(size=400),  # size
    RNG.uniform(18, 80, 400),  # age
    RNG.integers(0, 3, 400),  # color, a code
    np.full(400, 7.0),  # constant
    *np.eye(3)[RNG.integers(0, 3, 400)].T,  # shape, one-hot
])
NAMES = ["size", "age", "color", "constant", "round", "square", "flat"]
TABLE = Table(
    DATA,
    NAMES,
    categorical={"color": ["red", "green", "blue"]},
    groups={"shape": ["round", "square", "flat"]},
)
ROW = np.array([0.1, 70.0, 1, 7, 0, 1, 0])


def score(rows):
    """Made of conditions that coincide with the row's bins and categories."""
    old = rows[:, 1] > np.quantile(DATA[:, 1], 0.75)
    green, square = rows[:, 2] == 1, rows[:, 5] == 1
    return 0.1 + 0.4 * old + 0.2 * green - 0.05 * square


@pytest.mark.parametrize("surrogate", [None, "highest_weights", "forward_selection", "ridge"])
def test_conditions_are_recovered(surrogate):
    explanation = LimeTabularExplainer(score, TABLE, surrogate=surrogate).explain(ROW, target=[1])
    assert explanation.subject.columns == ("size", "age", "color", "constant", "shape")
    assert np.allclose(explanation.weights[0], [0, 0.4, 0.2, 0, -0.05], atol=2e-3)
    assert explanation.features[1].startswith("age > 6") and explanation.fidelity[0] > 0.999
    assert explanation.features[2:] == ("color = green", "constant = 7", "shape = square")
    assert explanation.subject.values == (0.1, 70.0, "green", 7.0, "square")


def test_a_constant_column_has_weight_zero_and_is_not_touched():
    seen = []

    def spy(rows):
        seen.append(rows)
        return score(rows)

    explanation = LimeTabularExplainer(spy, TABLE).explain(ROW, target=[1], samples=100)
    assert explanation.weights[0, 3] == 0 and not (np.concatenate(seen)[:, 3] - 7).any()


def test_rows_stay_possible():
    """One-hot columns are never two at once, values are values that occur."""
    seen = []

    def spy(rows):
        seen.append(rows)
        return score(rows)

    LimeTabularExplainer(spy, TABLE).explain(ROW, samples=300)
    rows = np.concatenate(seen)[1:]
    assert (rows[:, 4:].sum(axis=1) == 1).all()
    assert set(rows[:, 2]) == {0, 1, 2}
    assert np.isin(rows[:, 0], [*DATA[:, 0], 0.1]).all()
    same_bin = rows[:, 0][rows[:, 0] != 0.1]  # taken out: never from the row's own quartile
    edges = np.quantile(DATA[:, 0], [0.25, 0.5, 0.75])
    assert not (np.searchsorted(edges, same_bin) == np.searchsorted(edges, 0.1)).any()


@pytest.mark.parametrize("sampler", ["hadamard", "bernoulli", "sobol"])
def test_continuous_features_have_slopes_per_standard_deviation(sampler):
    slopes = np.array([2.0, -0.1])
    table = Table(DATA[:, :2], NAMES[:2], bins=None)
    predict = Predictor(lambda rows: rows @ slopes + 3, binary=False)
    explainer = LimeTabularExplainer(predict, table, sampler=sampler)
    explanation = explainer.explain([0.1, 70.0], samples=200)
    assert np.allclose(explanation.weights[0], slopes * DATA[:, :2].std(axis=0), rtol=1e-3)
    assert np.isclose(explanation.local_prediction[0], 3 + 0.2 - 7, atol=1e-6)
    assert explanation.features == ("size", "age")


def test_continuous_and_categorical_together():
    table = Table(DATA[:, :3], NAMES[:3], ["color"], bins=None)
    predict = Predictor(lambda rows: rows[:, 0] - 2.0 * (rows[:, 2] == 1), binary=False)
    explanation = LimeTabularExplainer(predict, table).explain([0.5, 20, 1], samples=500)
    assert np.allclose(explanation.weights[0], [DATA[:, 0].std(), 0, -2], atol=0.01)
    assert explanation.features == ("size", "age", "color = 1")


def test_keras_model_and_several_classes():
    inputs = keras.Input((7,))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(inputs))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=(7, 3)) / 10, np.zeros(3)])
    explainer = LimeTabularExplainer(model, TABLE, class_names=["a", "b", "c"])
    explanation = explainer.explain(ROW, top=3, samples=300)
    expected = model.predict(ROW[None], verbose=0)[0]
    assert np.allclose(explanation.prediction, np.sort(expected)[::-1], atol=1e-6)
    assert np.allclose(explanation.weights.sum(axis=0), 0, atol=1e-3)  # probabilities sum to 1


def test_seed_and_batch_size():
    explain = lambda size, seed: LimeTabularExplainer(score, TABLE, batch_size=size).explain(  # noqa: E731
        ROW, target=[1], samples=200, seed=seed
    )
    assert np.array_equal(explain(512, 0).weights, explain(33, 0).weights)
    assert explain(512, 0).to_json() == explain(512, 0).to_json()
    assert explain(512, 1).to_json() != explain(512, 0).to_json()


def test_tree_on_a_table():
    both = lambda rows: 0.9 * ((rows[:, 1] > 66) & (rows[:, 2] == 1))  # noqa: E731
    explainer = LimeTabularExplainer(both, TABLE, surrogate="decision_tree")
    explanation = explainer.explain(ROW, target=[1], num_features=4)
    assert {f.name.split()[0] for f in explanation.top(2)} == {"age", "color"}
    assert "color = green" in explanation.rules[0] and explanation.fidelity[0] > 0.9
    with pytest.raises(ValueError, match="bins=None"):
        LimeTabularExplainer(score, Table(DATA, bins=None), surrogate="decision_tree")


def test_values_that_the_table_does_not_have():
    explanation = LimeTabularExplainer(score, TABLE).explain([99, 999, 5, 7, 1, 1, 0], target=[1])
    assert np.isfinite(explanation.weights).all()
    assert explanation.features[0].startswith("size > 0.")


def test_pandas():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({
        "age": DATA[:, 1].round().astype(int),
        "color": pd.Categorical(np.array(["red", "green", "blue"])[DATA[:, 2].astype(int)]),
        "city": np.array(["Lima", "Oslo"])[RNG.integers(0, 2, 400)],
        "vip": RNG.integers(0, 2, 400).astype(bool),
    })
    seen = []

    def predict(rows):
        seen.append(rows)
        return 0.1 + 0.5 * (rows["color"] == "red") + 0.3 * rows["vip"] + 0.0 * rows["age"]

    row = frame[(frame["color"] == "red") & frame["vip"]].iloc[0]
    explainer = LimeTabularExplainer(predict, frame)
    for given in (row, row.to_frame().T, dict(row), row.tolist()):
        explanation = explainer.explain(given, target=[1], samples=200)
        assert np.allclose(explanation.weights[0], [0, 0.5, 0, 0.3], atol=2e-3)
    assert explanation.features[1] == "color = red" and explanation.features[3] == "vip = True"
    assert type(explanation).from_json(explanation.to_json()).subject.values[1] == "red"
    for rows in seen:
        assert (rows.dtypes.drop("age") == frame.dtypes.drop("age")).all()
    broken = frame.copy()
    broken.loc[3, "city"] = None
    with pytest.raises(ValueError, match=r"no missing values.*\['city'\]"):
        LimeTabularExplainer(predict, broken)
    with pytest.raises(ValueError, match="columns of text"):
        inputs = keras.Input((4,))
        LimeTabularExplainer(keras.Model(inputs, layers.Dense(1)(inputs)), frame)


def test_objects_in_numpy():
    data = np.array([["a", 1.5], ["b", 2.5], ["a", 3.5], ["c", 0.5]] * 10, dtype=object)
    seen = []

    def predict(rows):
        seen.append(rows)
        return np.array([0.1 + 0.6 * (row[0] == "a") for row in rows])

    explainer = LimeTabularExplainer(predict, Table(data, ["kind", "x"]))
    explanation = explainer.explain(["a", 1.0], target=[1])
    assert np.allclose(explanation.weights[0], [0.6, 0], atol=2e-3)
    assert seen[0].dtype == object and isinstance(seen[0][0, 1], float)


@pytest.mark.parametrize(
    "error, arguments, words",
    [
        (TypeError, {"data": DATA[0]}, r"received ndarray of shape \(7,\)"),
        (TypeError, {"data": "train.csv"}, "table"),
        (ValueError, {"names": NAMES[:3]}, "7 different names"),
        (ValueError, {"names": ["a"] * 7}, "7 different names"),
        (ValueError, {"categorical": ["hue"]}, "received 'hue'. Columns are"),
        (ValueError, {"groups": {"g": [4, 5], "h": [5, 6]}}, "'square' twice"),
        (ValueError, {"bins": 1}, "bins.*received 1"),
        (ValueError, {"data": np.where(DATA == 7, np.nan, DATA)}, r"\['constant'\] of `data`"),
    ],
)
def test_table_errors(error, arguments, words):
    with pytest.raises(error, match=words):
        Table(**{"data": DATA, "names": NAMES, **arguments})


@pytest.mark.parametrize(
    "row, words",
    [
        (ROW[:3], r"one row of 7 values \(size, age"),
        (DATA[:2], "one by one"),
        (np.full(7, np.nan), r"\['size'.*of the row"),
        ([None] * 7, "of the row"),
        (["a", 1, 1, 1, 1, 1, 1], "a number for column 'size'"),
        ({"size": 1}, "7 values"),
    ],
)
def test_row_errors(row, words):
    with pytest.raises(ValueError, match=words):
        LimeTabularExplainer(score, TABLE).explain(row)


def test_model_of_other_width():
    inputs = keras.Input((3,))
    with pytest.raises(ValueError, match="Expected data with 3 columns.*received 7"):
        LimeTabularExplainer(keras.Model(inputs, layers.Dense(1)(inputs)), DATA)


def test_a_table_where_nothing_varies():
    explanation = LimeTabularExplainer(score, np.ones((5, 7))).explain(np.ones(7), target=[1])
    assert explanation.weights.shape == (1, 7) and not explanation.weights.any()


@pytest.mark.parametrize("share", [0.75, 0.8, 0.97])
def test_a_column_that_is_mostly_its_largest_value(share):
    """A flag has the weight that it has by construction, whichever value is the common one."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(1000, 2))
    data[:, 0] = np.arange(1000) < 1000 * share
    predict = lambda rows: 0.2 + 0.5 * rows[:, 0] + 0.05 * np.tanh(rows[:, 1])  # noqa: E731
    for flag, weight in ((1.0, 0.5), (0.0, -0.5)):
        found = LimeTabularExplainer(predict, data).explain([flag, 0.3])
        assert abs(found.weights[0, 0] - weight) < 0.02
    for bins in (2, 3, 10):
        part = Table(data, bins=bins).parts[0]
        assert len(np.unique(part.codes)) == 2


def test_a_common_value_in_the_middle_does_not_hide_those_below():
    data = np.repeat([0.0, 5.0, 9.0], [20, 60, 20])[:, None]
    predict = lambda rows: 1.0 * (rows[:, 0] >= 5)  # noqa: E731
    table = Table(np.hstack([data, np.random.default_rng(0).normal(size=(100, 1))]))
    assert [table.code(table.parts[0], [v, 0.0]) for v in (0.0, 5.0, 9.0)] == [0, 1, 2]
    found = LimeTabularExplainer(predict, table).explain([5.0, 0.0])
    assert abs(found.weights[0, 0] - 0.5) < 0.1  # of those that differ one half is below


def test_codes_and_their_names():
    rows = np.array([[1.0, 0], [2, 1], [3, 0]])
    names = ["nurse", "smith", "teacher"]
    with pytest.raises(ValueError, match=r"codes \[0, 1, 2\] for the names.*the codes \[3.0\]"):
        Table(rows, ["job", "x"], {"job": names})
    table = Table(rows, ["job", "x"], {"job": dict(enumerate(names, 1))})
    assert [table.value(table.parts[0], [v, 0]) for v in (1.0, 2.0, 3.0)] == names
    table = Table(rows - [1, 0], ["job", "x"], {"job": names})
    assert [table.describe(table.parts[0], [v, 0]) for v in (0, 2)] == ["job = nurse",
                                                                        "job = teacher"]


def test_dates_missing_strings_and_numbered_columns_of_pandas():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    when = pd.date_range("2020-01-01", periods=100)
    frame = pd.DataFrame({"when": when.astype("datetime64[ns]"), "x": rng.normal(size=100)})
    late = lambda rows: 0.2 + 0.6 * (rows["when"] > "2020-02-20").to_numpy()  # noqa: E731
    for row in (frame.iloc[90], frame.iloc[[90]], ["2020-03-31", 0.1]):
        found = LimeTabularExplainer(late, frame).explain(row)
        drop = 0.6 * 51 / 75  # of the 75 days in other quarters 51 are not late
        assert abs(found.weights[0, 0] - drop) < 0.03 and abs(found.weights[0, 1]) < 0.03
        assert found.features[0].startswith("when > 2020-03-15")
        assert found.subject.values[0] == "2020-03-31"
        assert type(found).from_json(found.to_json()).features == found.features
    for dtype in ("string", "object"):
        with pytest.raises(ValueError, match=r"missing values.*\['s'\]"):
            Table(pd.DataFrame({"s": pd.array(["a", None] * 9, dtype=dtype)}))
    with pytest.raises(ValueError, match=r"missing values.*\['n'\]"):
        Table(pd.DataFrame({"n": pd.array([1, None, 3], dtype="Int64")}))
    numbered = pd.DataFrame(rng.integers(0, 3, (50, 3)), columns=[7, 0, 2])
    parts = Table(numbered, categorical=[0]).parts
    assert [part.name for part in parts if part.edges is None] == ["0"]


@pytest.mark.parametrize("kernel", ["exponential", "shapley"])
@pytest.mark.parametrize("unit", ["us", "s", "ns"])
def test_a_model_sees_dates_as_the_data_has_them(kernel, unit):
    """Whatever their unit: the model got microseconds for nanoseconds, the year 51969."""
    pd = pytest.importorskip("pandas")
    when = pd.Series(pd.date_range("2020-01-01", periods=100)).astype(f"datetime64[{unit}]")
    for kind in (lambda s: s, lambda s: s.dt.tz_localize("Asia/Tokyo"), lambda s: s - s[0],
                 lambda s: s.dt.to_period("D"), lambda s: s.dt.date):
        frame = pd.DataFrame({"when": kind(when), "x": RNG.normal(size=100)})
        edge, seen = frame["when"][50], []

        def late(rows, edge=edge, seen=seen):
            seen.append(rows)
            return 0.2 + 0.6 * (rows["when"] > edge).to_numpy()

        for row in (frame.iloc[90], list(frame.iloc[90])):
            found = LimeTabularExplainer(late, frame, kernel=kernel).explain(row)
            drop = 0.6 * (51 / 75 if kernel == "exponential" else 51 / 100)
            assert abs(found.weights[0, 0] - drop) < 0.03 and abs(found.weights[0, 1]) < 0.03
        assert all((rows.dtypes == frame.dtypes).all() for rows in seen)
        assert set(pd.concat(seen)["when"]) <= set(frame["when"])


def test_objects_reach_the_model_as_they_are():
    """Intervals became NaN, and numbers among texts became texts."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"cut": pd.cut(np.linspace(0, 1, 90), 3), "mixed": [1, "a", 2.5] * 30})
    seen = []

    def predict(rows):
        seen.append(rows)
        return np.array([0.1 + 0.5 * (v == 1) for v in rows["mixed"]])

    found = LimeTabularExplainer(predict, frame).explain(frame.iloc[0])
    assert np.allclose(found.weights[0], [0, 0.5], atol=0.02)
    rows = pd.concat(seen)
    assert not rows["cut"].isna().any() and set(rows["mixed"]) == {1, "a", 2.5}


def test_whole_numbers_stay_whole():
    """A row of pandas is of floats where one column is, which a lookup of codes refuses."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"code": RNG.integers(0, 5, 50), "x": RNG.normal(size=50)})
    seen = []
    LimeTabularExplainer(lambda r: seen.append(r) or r["x"].to_numpy(), frame).explain(
        frame.iloc[0], samples=50)
    assert {str(rows.dtypes["code"]) for rows in seen} == {"int64"}


def test_numbers_are_labels_where_labels_are_numbers():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(RNG.integers(0, 3, (50, 3)), columns=[7, 0, 2])
    with pytest.raises(ValueError, match=r"received 1. Columns are \['7', '0', '2'\]"):
        Table(frame, categorical=[1])
    assert [p.name for p in Table(frame, groups={"g": [0, 2]}).parts] == ["7", "g"]


@pytest.mark.parametrize("kind", ["polars", "sparse", "dict"])
def test_other_tables_are_explained_as_arrays_are(kind):
    data = np.round(DATA[:200, :3], 3)
    want = LimeTabularExplainer(lambda rows: rows[:, 1] / 100, data).explain(data[0])
    if kind == "polars":
        table = pytest.importorskip("polars").DataFrame(dict(zip("abc", data.T, strict=True)))
        row, predict = table[0], lambda rows: rows["b"].to_numpy() / 100
    elif kind == "sparse":
        table = pytest.importorskip("scipy.sparse").csr_array(data)
        row, predict = table[[0]], lambda rows: rows.tocsc()[:, [1]].toarray()[:, 0] / 100
    else:
        table = dict(zip("abc", data.T, strict=True))
        row, predict = {n: column[0] for n, column in table.items()}, lambda rows: rows["b"] / 100
    found = LimeTabularExplainer(predict, table).explain(row)
    assert np.allclose(found.weights, want.weights, atol=1e-6)
    assert found.subject.columns == (tuple("012") if kind == "sparse" else tuple("abc"))


def test_names_of_classes_that_do_not_fit():
    """Of a regressor, on a predictor of one's own, in a set or a text, or the same one twice."""
    from sklearn.linear_model import LinearRegression

    regressor = LinearRegression().fit(DATA, DATA[:, 0])
    with pytest.raises(ValueError, match="`class_names` for 1 scores.*received 2 names"):
        LimeTabularExplainer(regressor.predict, DATA, class_names=["no", "yes"]).explain(ROW)
    inside = lambda rows: 0.5 + 0.1 * np.tanh(rows[:, 0])  # noqa: E731
    number = LimeTabularExplainer(Predictor(inside), DATA, class_names=["price"]).explain(ROW)
    assert number.class_names == ("price",) and number.classes == (0,)
    two = LimeTabularExplainer(Predictor(inside), DATA, class_names=["no", "yes"])
    assert two.explain(ROW).class_names == ("yes",)
    for names, words in ((["a", "a"], "different `class_names`"), ("no", "received 'no'"),
                         ({"no", "yes"}, "a list, one name"), ({0: "no", 1: "yes"}, "a list")):
        with pytest.raises((TypeError, ValueError), match=words):
            LimeTabularExplainer(inside, DATA, class_names=names)


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("kernel", ["exponential", "shapley"])
def test_a_model_with_an_input_for_each_column(kernel, as_list):
    """It asked for `preprocess`; the code goes through an embedding, the rest is linear."""
    inputs = {"age": keras.Input((1,), name="age"), "color": keras.Input((), name="color",
                                                                       dtype="int32")}
    embedded = layers.Embedding(3, 1, name="table")
    score = layers.Add()([layers.Dense(1, name="dense")(inputs["age"]), embedded(inputs["color"])])
    model = keras.Model(list(inputs.values()) if as_list else inputs, score)
    model.get_layer("dense").set_weights([np.array([[0.1]]), np.zeros(1)])
    embedded.set_weights([np.array([[0.0], [3.0], [0.0]])])
    frame = {"color": DATA[:, 2].astype(int), "age": DATA[:, 1]}
    table = Table(frame, categorical={"color": ["red", "green", "blue"]})
    found = LimeTabularExplainer(model, table, kernel=kernel).explain({"age": 60, "color": 1})
    share = 1 if kernel == "exponential" else (DATA[:100, 2] != 1).mean()
    assert found.features[0] == "color = green" and abs(found.weights[0, 0] - 3 * share) < 0.3
    assert np.isclose(found.prediction[0], 9.0)
    with pytest.raises(ValueError, match=r"inputs \['age', 'color'\].*received \['0', '1'\]"):
        LimeTabularExplainer(model, DATA[:, :2])
