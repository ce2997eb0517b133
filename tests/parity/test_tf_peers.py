"""The same numbers as tf-keras-vis (0.8.7) and Xplique (2.0.2) on TensorFlow, where they are right.

Where they are not, the test says how, and computes what they do instead. Methods that draw random
numbers, and maps that they enlarge (SciPy's `zoom` with aligned corners, bicubic after the ReLU),
cannot be compared number by number.
"""

import keras
import numpy as np
import pytest
from keras import layers

import keras_explain as kx

if keras.backend.backend() != "tensorflow":
    pytest.skip("tf-keras-vis and Xplique explain TensorFlow models", allow_module_level=True)

CLASS = 2
IMAGES = np.random.default_rng(1).normal(size=(3, 16, 12, 3)).astype("float32")
ONE_HOT = np.eye(4, dtype="float32")[[CLASS] * 3]


def network(second="relu", pool=True, first="relu"):
    inputs = keras.Input((16, 12, 3))
    x = layers.Conv2D(6, 3, activation=first, padding="same", name="conv1")(inputs)
    x = layers.MaxPooling2D(2)(x) if pool else x
    x = layers.Conv2D(8, 3, activation=second, name="conv2")(x)
    model = keras.Model(inputs, layers.Dense(4, name="top")(layers.Flatten()(x)))
    rng = np.random.default_rng(0)
    for v in model.trainable_variables:
        fan = np.prod(v.shape[:-1]) if len(v.shape) > 1 else 25
        v.assign(rng.normal(size=v.shape) * np.sqrt(2 / fan))
    return model


@pytest.fixture(scope="module")
def model():
    return network()


def explain(builder, model, **options):
    return builder(model, target=CLASS, **options).predict(IMAGES, verbose=0)["heatmap"]


def close(found, theirs, share=1e-4):
    theirs = np.asarray(theirs, "float64").reshape(found.shape)
    assert np.ptp(theirs) > 1e-3
    assert np.abs(found - theirs).max() < share * np.ptp(theirs)


def features_and_gradients(model, layer):
    """By a plain tape."""
    import tensorflow as tf

    both = keras.Model(model.inputs[0], [model.get_layer(layer).output, model.outputs[0]])
    with tf.GradientTape() as tape:
        features, logits = both(IMAGES)
        score = logits[:, CLASS]
    return features.numpy(), tape.gradient(score, features).numpy(), score.numpy()


class TestTfKerasVis:
    @pytest.fixture(autouse=True)
    def _installed(self):
        pytest.importorskip("tf_keras_vis")

    @staticmethod
    def score(outputs):
        return outputs[:, CLASS]

    @pytest.mark.parametrize("layer", ["conv1", "conv2"])
    def test_grad_cam(self, model, layer):
        from tf_keras_vis.gradcam import Gradcam

        theirs = Gradcam(model)(self.score, IMAGES, penultimate_layer=layer, expand_cam=False,
                                normalize_cam=False)
        close(explain(kx.grad_cam, model, layer=layer, resize=False), theirs)

    @pytest.mark.parametrize("layer", ["conv1", "conv2"])
    def test_layer_cam(self, model, layer):
        from tf_keras_vis.layercam import Layercam

        theirs = Layercam(model)(self.score, IMAGES, penultimate_layer=layer, expand_cam=False,
                                 normalize_cam=False)
        close(explain(kx.layer_cam, model, layer=layer, resize=False), theirs)

    def test_grad_cam_plus_plus(self, model):
        """Theirs has the factor exp(score), which the paper's maps carry and every drawing
        removes, and divides each channel's alphas by their sum, which is in the authors' code
        but not in the paper. Both are undone here."""
        from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus

        theirs = GradcamPlusPlus(model)(self.score, IMAGES, penultimate_layer="conv1",
                                        expand_cam=False, normalize_cam=False)
        features, grads, score = features_and_gradients(model, "conv1")

        def paper(normalized):
            total = features.sum(axis=(1, 2), keepdims=True)
            alpha = np.divide(1.0, 2.0 + total * grads, where=grads != 0, out=0 * grads)
            if normalized:
                alpha = alpha / alpha.sum(axis=(1, 2), keepdims=True)
            weights = (alpha * np.maximum(grads, 0)).sum(axis=(1, 2), keepdims=True)
            return np.maximum((weights * features).sum(axis=-1), 0)

        close(paper(normalized=True), theirs / np.exp(score)[:, None, None], share=1e-3)
        found = explain(kx.grad_cam_plus_plus, model, layer="conv1", resize=False)
        close(found, paper(False), 1e-3)

    def test_score_cam(self):
        """The paper's weights are a softmax of the logits over the channels. Theirs are the
        probability of the class (a softmax over the classes) for each channel, as in the
        authors' code; so they barely differ between channels of a confident model."""
        from tf_keras_vis.scorecam import Scorecam

        model = network(pool=False)
        theirs = Scorecam(model)(self.score, IMAGES, penultimate_layer="conv1", expand_cam=False,
                                 normalize_cam=False)
        features = features_and_gradients(model, "conv1")[0]
        low = features.min(axis=(1, 2), keepdims=True)
        masks = (features - low) / np.maximum(np.ptp(features, axis=(1, 2), keepdims=True), 1e-7)
        logits = np.stack([model.predict(IMAGES * masks[..., k : k + 1], verbose=0)
                           for k in range(6)], axis=1)
        odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
        theirs_by_hand = (odds / odds.sum(axis=-1, keepdims=True))[:, :, CLASS]
        papers = np.exp(logits[:, :, CLASS])
        papers = papers / papers.sum(axis=1, keepdims=True)
        found = explain(kx.score_cam, model, layer="conv1", resize=False)
        close(np.einsum("nyxk,nk->nyx", features, theirs_by_hand), theirs)
        close(found, np.einsum("nyxk,nk->nyx", features, papers))

    def test_saliency(self, model):
        from tf_keras_vis.saliency import Saliency

        theirs = Saliency(model)(self.score, IMAGES, normalize_map=False)
        close(explain(kx.saliency, model), theirs)

    def test_guided_backprop_where_relu_is_fused(self, model):
        """Their modifier looks at `layer.activation` of the outer layers only: with a ReLU layer
        it changes nothing, and the "guided" map is the plain gradient."""
        from tf_keras_vis.saliency import Saliency
        from tf_keras_vis.utils.model_modifiers import GuidedBackpropagation

        def theirs(model):
            return Saliency(model, model_modifier=GuidedBackpropagation())(
                self.score, IMAGES, normalize_map=False)

        close(explain(kx.guided_backprop, model), theirs(model))
        layered = keras.Sequential([
            keras.Input((16, 12, 3)), layers.Conv2D(6, 3, padding="same"), layers.ReLU(),
            layers.MaxPooling2D(2), layers.Conv2D(8, 3), layers.ReLU(), layers.Flatten(),
            layers.Dense(4)])
        layered.set_weights(model.get_weights())
        layered = keras.Model(layered.inputs[0], layered.outputs[0])
        close(explain(kx.guided_backprop, layered), explain(kx.guided_backprop, model))
        close(explain(kx.saliency, model), theirs(layered))


class TestXplique:
    @pytest.fixture(autouse=True)
    def _installed(self):
        pytest.importorskip("xplique")

    def theirs(self, name, model, **options):
        import xplique.attributions as methods

        return np.asarray(getattr(methods, name)(model, **options)(IMAGES, ONE_HOT))

    def test_saliency(self, model):
        close(explain(kx.saliency, model), self.theirs("Saliency", model, reducer="max"))

    def test_gradient_x_input(self, model):
        close(explain(kx.gradient_x_input, model),
              self.theirs("GradientInput", model, reducer="sum"))

    def test_integrated_gradients(self):
        """Theirs is a trapezoid rule: at 200 points on a smooth network the same."""
        model = network("tanh", pool=False, first="tanh")
        found = explain(kx.integrated_gradients, model, steps=200, baseline=0.3)
        theirs = self.theirs("IntegratedGradients", model, reducer="sum", steps=200,
                             baseline_value=0.3)
        close(found, theirs)

    def test_guided_backprop(self, model):
        close(explain(kx.guided_backprop, model, signed=True),
              self.theirs("GuidedBackprop", model, reducer="sum"))

    def test_guided_backprop_through_relu6(self):
        """ReLU6 is flat above 6. Xplique's guided gradient passes there all the same
        (commons/model_override.py gates with `inputs > 0` alone)."""
        model = keras.Sequential([
            keras.Input((16, 12, 3)), layers.Conv2D(1, 1, use_bias=False), layers.ReLU(6.0),
            layers.Flatten(), layers.Dense(4)])
        model.set_weights([np.full((1, 1, 3, 1), 100.0), np.ones((192, 4)), np.zeros(4)])
        model = keras.Model(model.inputs[0], model.outputs[0])
        through = 100 * IMAGES.sum(axis=-1)
        found = explain(kx.guided_backprop, model)
        assert ((found > 0) == ((through > 0) & (through < 6))).all()
        theirs = self.theirs("GuidedBackprop", model, reducer="max").reshape(found.shape)
        assert ((theirs > 0) == (through > 0)).all()

    def test_occlusion_without_overlap(self, model):
        """With overlap theirs is the sum over the patches that cover a pixel, not the mean, so
        the middle of an image gets more than its border."""
        found = explain(kx.occlusion, model, patch_size=4, stride=4, baseline=0.5,
                        score="logit")
        close(found, self.theirs("Occlusion", model, patch_size=4, patch_stride=4,
                                 occlusion_value=0.5))
        found = explain(kx.occlusion, model, patch_size=4, stride=2, baseline=0.5,
                        score="logit")
        covered = np.zeros((16, 12))
        for y in range(0, 13, 2):
            for x in range(0, 9, 2):
                covered[y : y + 4, x : x + 4] += 1
        close(found * covered, self.theirs("Occlusion", model, patch_size=4, patch_stride=2,
                                           occlusion_value=0.5))

    def test_grad_cam(self):
        """At a layer of the image's own size, where their bicubic enlargement does nothing."""
        model = network(pool=False)
        close(explain(kx.grad_cam, model, layer="conv1"),
              self.theirs("GradCAM", model, conv_layer="conv1"))

    def test_grad_cam_plus_plus(self):
        """The paper's alpha has the sum of the feature map below; Xplique (grad_cam_pp.py) takes
        its mean. Its weights are means over the map, too, which only scales the picture."""
        model = network(pool=False)
        features, grads, _ = features_and_gradients(model, "conv1")

        def formula(middle):
            total = middle(features, axis=(1, 2), keepdims=True)
            alpha = np.divide(1.0, 2.0 + total * grads, where=grads != 0, out=0 * grads)
            weights = (alpha * np.maximum(grads, 0)).sum(axis=(1, 2), keepdims=True)
            return np.maximum((weights * features).sum(axis=-1), 0)

        theirs = self.theirs("GradCAMPP", model, conv_layer="conv1")
        close(formula(np.mean) / 192, theirs, share=1e-3)
        close(explain(kx.grad_cam_plus_plus, model, layer="conv1"), formula(np.sum), share=1e-3)
