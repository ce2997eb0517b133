"""Masks and kernels: designs are balanced, weights are those of the papers."""

import math

import numpy as np
import pytest

from keras_explain.lime import sampling
from keras_explain.lime.sampling import SAMPLERS, Exponential


@pytest.mark.parametrize("name", [*SAMPLERS, "shapley"])
def test_shape_seed_and_global_generator(name):
    sampler = getattr(sampling, name)
    state = np.random.get_state()[1].copy()
    masks = sampler(101, 13, np.random.default_rng(5))
    assert masks.shape == (101, 13) and masks.dtype == bool
    assert np.array_equal(masks, sampler(101, 13, np.random.default_rng(5)))
    assert not np.array_equal(masks, sampler(101, 13, np.random.default_rng(6)))
    assert np.array_equal(np.random.get_state()[1], state)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("num_features", [1, 2, 33])
def test_every_feature_is_in_and_out(name, num_features):
    masks = SAMPLERS[name](400, num_features, np.random.default_rng(0))
    assert not masks.all(axis=0).any()
    if (name, num_features) != ("uniform", 1):  # the one word is always out
        assert masks.any(axis=0).all()


@pytest.mark.parametrize("num_features, prefix", [(4, 8), (20, 64), (33, 128), (20, 512)])
def test_hadamard_is_orthogonal_in_every_block(num_features, prefix):
    masks = sampling.hadamard(512, num_features, np.random.default_rng(1))
    signs = np.where(masks[:prefix], 1, -1)
    assert np.array_equal(signs.T @ signs, prefix * np.eye(num_features))
    assert np.array_equal(masks[::2], ~masks[1::2])


def test_hadamard_keeps_pairs_of_features_out_of_the_weights():
    """A score of pure interactions of two features: folded designs give weights of exactly 0."""
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(30, 30))
    masks = sampling.hadamard(256, 30, rng)
    signs = np.where(masks, 1.0, -1.0)
    scores = np.einsum("ni,ij,nj->n", signs, pairs, signs)
    assert np.abs(signs.T @ scores).max() < 1e-9 * np.abs(scores).sum()
    independent = np.where(sampling.bernoulli(256, 30, rng), 1.0, -1.0)
    scores = np.einsum("ni,ij,nj->n", independent, pairs, independent)
    assert np.abs(independent.T @ scores).max() > 1e-3 * np.abs(scores).sum()


def test_uniform_takes_out_every_number_of_features():
    masks = sampling.uniform(6000, 5, np.random.default_rng(0))
    counts = np.bincount(5 - masks.sum(axis=1), minlength=6) / 6000
    assert counts[0] == 0 and np.allclose(counts[1:], 1 / 5, atol=0.03)


def test_shapley_draws_no_mask_twice_and_each_size_as_often():
    """Twelve features, 40 pairs: sizes 1 to 5 get 40 / 5.5 pairs each, size 6 half as many."""
    masks = sampling.shapley(80, 12, np.random.default_rng(0))
    assert masks.shape == (80, 12) and len(np.unique(masks, axis=0)) == 80
    assert (masks[::2] == ~masks[1::2]).all()
    counts = np.bincount(masks.sum(axis=1), minlength=13)
    assert counts[0] == counts[12] == 0 and counts.sum() == 80
    assert set(counts[[1, 2, 3, 4, 5, 7, 8, 9, 10, 11]]) <= {7, 8} and counts[6] in (6, 8)


def test_shapley_of_few_and_of_thousands_of_features():
    few = sampling.shapley(30, 5, np.random.default_rng(0))
    assert len(np.unique(few, axis=0)) == 30  # all that there are but two
    assert sampling.shapley(61, 5, np.random.default_rng(0)).shape == (61, 5)
    assert sampling.shapley(20, 3000, np.random.default_rng(0)).shape == (20, 3000)


def test_weigh_as_shapley_by_hand():
    """Lundberg and Lee: (S - 1) / (binom(S, k) k (S - k)), of all subsets."""
    changes = 1.0 - sampling.list_subsets(4)
    out = changes.sum(axis=1)
    expected = [0 if k in (0, 4) else 3 / (math.comb(4, int(k)) * k * (4 - k)) for k in out]
    assert np.allclose(sampling.weigh_as_shapley(changes), expected)


def test_list_subsets():
    subsets = sampling.list_subsets(3)
    assert subsets.shape == (8, 3) and len(np.unique(subsets, axis=0)) == 8
    assert subsets[0].all() and not subsets[-1].any()


def test_exponential_by_hand():
    changes = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1.0]])
    assert np.allclose(Exponential(0.5)(changes), [1, math.exp(-0.25 / 0.5), math.exp(-2)])
    cosine = 1 - math.sqrt(3 / 4)
    expected = [1, math.exp(-(cosine**2) / 0.125), math.exp(-8)]
    assert np.allclose(Exponential(distance="cosine")(changes), expected)


@pytest.mark.parametrize("arguments, words", [((0,), "above 0"), ((1, "l1"), "'l1'")])
def test_kernel_errors(arguments, words):
    with pytest.raises(ValueError, match=words):
        Exponential(*arguments)
