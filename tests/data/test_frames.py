"""Tables of every library are read as columns and built again as they were."""

import datetime
import decimal
import pickle

import numpy as np
import pytest

from keras_explain.data.frames import read_frame

DAYS = np.arange("2020-01-30", "2020-02-05", dtype="datetime64[D]")
COLUMNS = {
    "days": DAYS,
    "seconds": DAYS.astype("datetime64[s]"),
    "nanoseconds": DAYS.astype("datetime64[ns]"),
    "spans": DAYS - DAYS[0],
    "small": np.arange(6, dtype="int8"),
    "fractions": np.linspace(0, 1, 6).astype("float32"),
    "flags": np.arange(6) > 3,
    "texts": np.array(list("abcabc"), object),
    "dates": np.array(DAYS.tolist(), object),
    "moments": np.array([datetime.datetime(2020, 1, i + 1, 12) for i in range(6)], object),
    "prices": np.array([decimal.Decimal("0.1") * i for i in range(6)], object),
    "mixed": np.array([1, "a", 2.5, 1, "a", b"x"], object),
}


def rebuild(data, names=None):
    frame = pickle.loads(pickle.dumps(read_frame(data, names)))  # explainers are pickled
    return frame, frame.assemble([column.values for column in frame.columns])


def test_a_dict_of_columns():
    frame, made = rebuild(COLUMNS)
    for name, column in COLUMNS.items():
        assert made[name].dtype == column.dtype and list(made[name]) == list(column), name
        assert [type(v) for v in made[name]] == [type(v) for v in column], name
    numbers = {c for c, column in zip(frame.names, frame.columns, strict=True)
               if column.values.dtype.kind in "biuf"}
    assert numbers == set(COLUMNS) - {"texts", "mixed"}
    _, made = rebuild({"a": np.ones((4, 1)), "b": np.ones(4)})
    assert made["a"].shape == (4, 1) and made["b"].shape == (4,)


@pytest.mark.parametrize("dtype", ["datetime64[D]", "datetime64[ns]", "timedelta64[h]", "int8",
                                   "float32", "bool", "object", "U3"])
def test_arrays(dtype):
    array = np.arange(12).reshape(6, 2).astype(dtype)
    _, made = rebuild(array)
    assert made.dtype == array.dtype and (made == array).all()


def test_sparse_matrices():
    sparse = pytest.importorskip("scipy.sparse")
    for kind in (sparse.csr_matrix, sparse.csc_array):
        matrix = kind(np.diag([1.0, 2.0, 3.0]))
        frame, made = rebuild(matrix, ["a", "b", "c"])
        assert type(made) is kind and (made.toarray() == matrix.toarray()).all()
        assert frame.names == ("a", "b", "c")


def test_pandas_keeps_every_dtype():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(COLUMNS)
    moments = pd.Series(pd.to_datetime(DAYS))
    frame[7] = moments.dt.tz_localize("Europe/Berlin").astype("datetime64[us, Europe/Berlin]")
    frame["month"] = moments.dt.to_period("M")
    frame["cut"] = pd.cut(frame["fractions"], 3)
    frame["grade"] = pd.Categorical([3, 1, 2, 3, 1, 2], ordered=True)
    for name, values in {"Int64": [1, 2, 3], "boolean": [True, False, True],
                         "string": ["a", "b", "c"], "Float64": [0.5, 1.5, 2.0]}.items():
        frame[name] = pd.array(values * 2, dtype=name)
    for data in (frame, frame.iloc[::-1]):  # whatever the index
        read, made = rebuild(data)
        pd.testing.assert_frame_equal(made, data.reset_index(drop=True))
    assert set(read.categorical) == {"cut", "grade"}
    row = dict(zip(read.names, read.columns, strict=True))
    for name, text in (("7", "2020-01-31"), ("month", "2020-01"), ("dates", "2020-01-31")):
        position = read.names.index(name)
        for given in (frame.iloc[1, position], text):
            assert row[name].encode(given) == row[name].values[4]
    assert row["7"].show(row["7"].values[0]) == "2020-02-04 00:00:00+01:00"
    assert row["spans"].show(row["spans"].values[0]) == "5 days"


def test_polars_keeps_every_dtype():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({n: COLUMNS[n] for n in ("days", "small", "fractions", "flags", "texts")})
    frame = frame.with_columns(
        pl.col("days").cast(pl.Date), pl.col("texts").cast(pl.Categorical).alias("kind"),
        pl.col("days").cast(pl.Datetime("us")).dt.replace_time_zone("Europe/Berlin").alias("zoned"),
        pl.col("texts").cast(pl.Enum(["a", "b", "c"])).alias("grade"))
    for data in (frame, frame.lazy()):
        read, made = rebuild(data)
        assert made.schema == frame.schema and made.equals(frame)
        assert set(read.categorical) == {"kind", "grade"}


@pytest.mark.parametrize("error, data, words", [
    (TypeError, np.ones(3), r"received ndarray of shape \(3,\)"),
    (TypeError, {}, "received dict"),
    (TypeError, {"a": np.ones(2) * 1j}, "received complex128"),
    (TypeError, {"a": np.array([[1], [2, 3]], object)}, "received list. Give each"),
    (ValueError, {"a": np.ones((2, 2))}, r"'a' to be one value.*\(2, 2\)"),
    (ValueError, {"a": np.ones(2), "b": np.ones(3)}, r"lengths \[2, 3\]"),
    (ValueError, {"0": np.ones(2), 0: np.ones(2)}, "2 different names"),
])
def test_what_is_no_table(error, data, words):
    with pytest.raises(error, match=words):
        read_frame(data)
