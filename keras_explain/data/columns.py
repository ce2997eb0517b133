"""One column of a table as numbers that can be ordered, or as the objects that it holds."""

import datetime
import decimal
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Column(NamedTuple):
    """A column of numbers where it can be one, else of objects.

    Args:
        values: `(n,)` numbers (of dates and durations the nanoseconds), or objects.
        encode: from one value, as the table has it or as text, to a number or object.
        restore: from `(n,)` numbers or objects to values of the column's own kind.
        is_date: whether the numbers stand for dates or durations.
    """

    values: np.ndarray
    encode: Callable[[Any], Any]
    restore: Callable[[np.ndarray], Any]
    is_date: bool = False

    def show(self, value: Any) -> Any:
        """A number, or the date that it stands for as text."""
        if not self.is_date:
            return value
        (shown,) = self.restore(np.array([value]))
        if isinstance(shown, np.timedelta64):
            shown = shown.astype("timedelta64[us]").item()
        text = str(shown.astype("datetime64[s]") if isinstance(shown, np.datetime64) else shown)
        return text.removesuffix("T00:00:00").removesuffix(", 0:00:00")


def read_column(values: Any, series: Any = None) -> Column:
    """The `Column` of `(n,)` values.

    Args:
        values: a NumPy array.
        series: the Series of pandas that it came from, whose dtype may say more.

    Raises:
        TypeError: complex numbers, or lists and arrays in cells.
    """
    values = np.asarray(values)
    dtype = None if series is None else series.dtype
    if dtype is not None and values.dtype.kind == "O" and getattr(dtype, "kind", "") == "M":
        return _read_series(series, _to_universal, _from_universal)
    if dtype is not None and type(dtype).__name__ == "PeriodDtype":
        return _read_series(series, _to_start, _from_start)
    if values.dtype.kind in "mM":
        return _read_dates(values)
    if values.dtype.kind in "biuf":
        return Column(values, _as_it_is, functools.partial(_to_dtype, dtype=values.dtype))
    if values.dtype.kind == "c":
        raise TypeError(
            f"Expected columns of real numbers, texts or dates, received {values.dtype}. Give the"
            " real and the imaginary part a column each."
        )
    return _read_objects(values)


def is_missing(value: Any) -> bool:
    """None, NaN, NaT or pandas' NA, which is neither equal nor unequal to itself."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def _read_dates(values):
    """Dates and durations of NumPy."""
    base = "datetime64[ns]" if values.dtype.kind == "M" else "timedelta64[ns]"
    restore = functools.partial(_restore_dates, base=base, dtype=values.dtype)
    encode = functools.partial(_encode_date, is_date=values.dtype.kind == "M")
    return Column(_to_numbers(values.astype(base)), encode, restore, is_date=True)


def _restore_dates(made, base, dtype):
    return np.asarray(made).astype(np.int64).astype(base).astype(dtype)


def _encode_date(value, is_date):
    if isinstance(value, (int, np.integer)) or is_missing(value):
        return value
    if hasattr(value, "to_numpy"):  # of pandas
        value = value.to_numpy()
    return int((np.datetime64 if is_date else np.timedelta64)(value, "ns").astype(np.int64))


def _to_numbers(dates):
    numbers = dates.astype(np.int64)
    missing = np.isnat(dates)
    return np.where(missing, np.nan, numbers) if missing.any() else numbers


def _read_series(series, change, change_back):
    """Moments that NumPy has no dtype for, as pandas has them, by what stands for them."""
    kind, dtype = type(series), series.dtype
    encode = functools.partial(_encode_in_series, kind=kind, dtype=dtype, change=change)
    restore = functools.partial(_restore_series, kind=kind, dtype=dtype, change=change_back)
    return Column(_to_numbers(change(series)), encode, restore, is_date=True)


def _encode_in_series(value, kind, dtype, change):
    if isinstance(value, (int, np.integer)) or is_missing(value):
        return value
    return int(_to_numbers(change(kind([value]).astype(dtype)))[0])


def _restore_series(made, kind, dtype, change):
    return change(kind(np.asarray(made).astype(np.int64).astype("datetime64[ns]")), dtype)


def _to_universal(series):
    return series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[ns]")


def _from_universal(series, dtype):
    return series.dt.tz_localize("UTC").astype(dtype)


def _to_start(series):
    return series.dt.start_time.to_numpy("datetime64[ns]")


def _from_start(series, dtype):
    return series.dt.to_period(dtype.freq)


def _read_objects(values):
    held = values.tolist()
    kinds = {type(v) for v in held if not is_missing_scalar(v)}
    if held and kinds <= {bool, int, float} and not any(map(is_missing_scalar, held)):
        numbers = np.asarray(held)
        return Column(numbers, _as_it_is, _to_objects)
    if kinds == {decimal.Decimal}:
        numbers = np.array([np.nan if is_missing(v) else float(v) for v in held])
        return Column(numbers, _to_float, _to_decimals)
    if len(kinds) == 1 and issubclass(*kinds, (datetime.date, np.datetime64)) and not any(
            getattr(v, "tzinfo", None) for v in held):
        return _read_date_objects(held, kinds.pop())
    for value in held:
        try:
            hash(value)
        except TypeError:
            raise TypeError(
                f"Expected one value in each cell of `data`, received {type(value).__name__}."
                " Give each of its values a column of its own."
            ) from None
    return Column(_hold([str(v) if type(v) is np.str_ else v for v in held]), _as_it_is, _as_it_is)


def _read_date_objects(held, kind):
    """Dates of Python in a column of objects."""
    is_day = not issubclass(kind, (datetime.datetime, np.datetime64))
    dates = _read_dates(np.array(held, "datetime64[D]" if is_day else "datetime64[us]"))

    restore = functools.partial(
        _restore_objects, restore=dates.restore, is_numpy=kind is np.datetime64)
    return dates._replace(restore=restore)


def _restore_objects(made, restore, is_numpy):
    return _hold(list(restore(made)) if is_numpy else restore(made).tolist())


def _to_objects(made):
    return made.astype(object)


def _to_float(value):
    return value if is_missing(value) else float(value)


def _to_decimals(made):
    return _hold([decimal.Decimal(repr(float(v))) for v in made])


def is_missing_scalar(value):
    """`is_missing`, for what may be an array."""
    return not np.ndim(value) and is_missing(value)


def _hold(values):
    held = np.empty(len(values), object)
    held[:] = values
    return held


def _to_dtype(made, dtype):
    """Numbers in the column's dtype, where that is none of fractions for whole numbers."""
    made = np.asarray(made)
    if made.dtype.kind == "f" and dtype.kind in "biu" and (made != np.floor(made)).any():
        return made
    return made.astype(dtype)


def _as_it_is(value):
    return value


def find_codes(values: np.ndarray) -> np.ndarray:
    """`(n,)` ints, which of the different values each is, in order where they have one."""
    if values.dtype.kind != "O":
        return np.unique(values, return_inverse=True)[1]
    known = list(dict.fromkeys(values.tolist()))
    try:
        known.sort()
    except TypeError:  # of several kinds, or of one without an order: as they come
        pass
    codes = {value: code for code, value in enumerate(known)}
    return np.array([codes[value] for value in values.tolist()], int)


def repeat(value: Any, count: int) -> np.ndarray:
    """`(count,)` times one number or object."""
    return _hold([value] * count) if np.ndim(value) else np.full(count, value)
