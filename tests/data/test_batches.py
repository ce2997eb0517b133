"""Data of any kind, batch by batch, and the classes that come with it."""

import numpy as np
import pytest

from keras_explain.data.batches import batches, class_indices, labeled_batches


@pytest.mark.parametrize("given, wanted", [
    ([2, 0, 1], [2, 0, 1]),
    (np.array([[2], [0], [1]]), [2, 0, 1]),
    (np.eye(3)[[2, 0, 1]], [2, 0, 1]),
    (np.array([2.0, 0.0, 1.0]), [2, 0, 1]),
    (np.array([True, False]), [1, 0]),
    ([], []),
])
def test_class_indices(given, wanted):
    found = class_indices(given)
    assert found.dtype.kind == "i" or not len(found)
    assert found.tolist() == wanted


def test_names_and_fractions_are_no_class_indices():
    assert class_indices(["cat", "dog"]).tolist() == ["cat", "dog"]
    assert class_indices([0.5, 1.0]).tolist() == [0.5, 1.0]


@pytest.mark.parametrize("y", [["cat", "dog"], [0.5, 1.0], [[0.2], [0.4]]])
def test_labels_that_are_no_classes_are_refused(y):
    with pytest.raises(ValueError, match="Expected `y` to be class indices or one-hot rows"):
        list(labeled_batches(np.zeros((2, 3)), y))


def test_labels_are_needed():
    with pytest.raises(ValueError, match="Expected labels with the data, received none"):
        list(labeled_batches(np.zeros((2, 3))))


@pytest.mark.parametrize("data, shown", [
    (np.zeros((5, 2)), "rows [####################] 5/5"),
    (iter([np.zeros((3, 2)), np.zeros((2, 2))]), "rows: 5"),
])
def test_progress_counts_rows(capfd, data, shown):
    assert sum(len(x) for x, _ in batches(data, batch_size=2, verbose=1, what="rows")) == 5
    assert shown in capfd.readouterr().err


def test_batch_size_is_checked():
    with pytest.raises(ValueError, match="`batch_size` to be an integer of at least 1"):
        list(batches(np.zeros((5, 2)), batch_size=0))


def test_sparse_matrices_become_rows_a_batch_at_a_time():
    sparse = pytest.importorskip("scipy.sparse")
    x = np.random.default_rng(0).random((5, 4)) * (np.arange(4) % 2)
    for kind in (sparse.csr_matrix, sparse.coo_matrix, sparse.csc_array):
        found = [rows for rows, _ in batches(kind(x), batch_size=2)]
        assert [len(rows) for rows in found] == [2, 2, 1]
        np.testing.assert_array_equal(np.concatenate(found), x)
