import by_hand
import keras
import numpy as np
import pytest
from noise_by_hand import reference

import keras_explain as kx

SAMPLES, NOISE, SEED = 3, 0.2, 11


def gradients(image):
    """Central differences at the noisy copies, for the clean image's class."""
    _, twin = by_hand.network()
    index, width = twin.top_class(image), NOISE * np.ptp(image)
    return np.stack([
        by_hand.gradient(lambda x: twin.logits(x)[index],
                         image + width * reference(image.shape, k, SEED))
        for k in range(SAMPLES)])


FORMS = {
    ("mean", False): lambda g: np.abs(g.mean(axis=0)).max(axis=-1),
    ("mean", True): lambda g: g.mean(axis=0).sum(axis=-1),
    ("squared", False): lambda g: (g**2).mean(axis=0).max(axis=-1),
    ("variance", False): lambda g: g.var(axis=0).max(axis=-1),
}


@pytest.mark.parametrize("batch_size", [2, 3, 8])
@pytest.mark.parametrize("form, signed", FORMS)
def test_is_the_average_over_noisy_copies(form, signed, batch_size):
    batch = by_hand.images(3)
    options = {"samples": SAMPLES, "noise": NOISE, "seed": SEED, "batch_size": batch_size}
    found = by_hand.explain(kx.smooth_grad, batch, form=form, signed=signed, **options)
    wanted = np.stack([FORMS[form, signed](gradients(image)) for image in batch])
    by_hand.close(found, wanted, share=1e-3)


def test_noise_is_each_images_own_whatever_the_batch():
    batch = by_hand.images(5)
    model, _ = by_hand.network()
    explained = kx.smooth_grad(model, samples=4)
    together = explained.predict(batch, verbose=0)["heatmap"]
    for i in (0, 3, 4):
        alone = explained.predict(batch[i : i + 1], verbose=0)["heatmap"]
        np.testing.assert_allclose(alone[0], together[i], atol=1e-5 * together.max())
    other = kx.smooth_grad(model, samples=4, seed=1).predict(batch, verbose=0)["heatmap"]
    assert np.abs(other - together).max() > 1e-2 * together.max()


def test_touches_no_global_generator():
    keras.utils.set_random_seed(3)
    wanted = np.asarray(keras.ops.convert_to_numpy(keras.random.normal((4,)))), np.random.rand()
    keras.utils.set_random_seed(3)
    by_hand.explain(kx.smooth_grad, by_hand.images(), samples=2)
    found = np.asarray(keras.ops.convert_to_numpy(keras.random.normal((4,)))), np.random.rand()
    np.testing.assert_array_equal(found[0], wanted[0])
    assert found[1] == wanted[1]


@pytest.mark.parametrize("options, words", [
    ({"form": "median"}, "Expected `form` to be one of"),
    ({"samples": 0}, "Expected `samples` to be an integer of at least 1"),
    ({"noise": -1.0}, "Expected `noise` of at least 0"),
    ({"form": "squared", "signed": True}, 'Expected form="mean" with signed=True'),
])
def test_errors(options, words):
    with pytest.raises(ValueError, match=words):
        kx.smooth_grad(by_hand.network()[0], **options)
