"""The `keras.Model` that builders return."""

import contextlib
import functools
import threading
import warnings

import keras
import numpy as np
from keras import tree

from keras_explain import backend
from keras_explain.data.batches import can_begin_again, first_batch, gives_batches
from keras_explain.data.preparing import as_arrays, prepares
from keras_explain.explainers._blank import find_causes
from keras_explain.explainers._given import (
    as_numbers,
    check_array,
    check_ids,
    find_tables,
    in_order,
    take_texts,
)
from keras_explain.explainers._one_batch import as_one_batch, predict_one_batch
from keras_explain.explainers._own_answers import check_answers, check_drawn, is_checked
from keras_explain.explainers._prepared import Preparation
from keras_explain.explainers._saved import whole
from keras_explain.graph import targets

MOST_SIZES = 8  # of a model of any size, for which traced functions are kept
_watched = threading.local()  # the models that this thread is running


class BlankHeatmapWarning(UserWarning):
    """A heatmap carries no information: it is zero everywhere."""


@keras.saving.register_keras_serializable("keras_explain")
class ExplainedModel(keras.Model):
    """A Functional model from the user's inputs to {"predictions", "heatmap"}.

    It adds one thing to Keras's own: numbers are looked at on their way in and out, so that
    inputs of a wrong shape, NaN, infinity and classes out of range are an error before anything
    is computed, and a blank heatmap is a warning, never silent. Inside a graph, as in an exported
    model or over a dataset, nobody can be told: there the heatmap of an example with NaN or
    infinity in its inputs is NaN.

    `predict` and `predict_on_batch` take what `predict` of the user's model takes: where that
    prepares its inputs (tasks of keras-hub do), the preparation runs once, and the heatmap lies
    over the raw picture. Calling the explained model skips it, as calling the user's model does.
    """

    prepares_itself = True  # its `predict_on_batch` takes what `predict` takes

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        def predict(x, **options):
            batch = as_one_batch(self, x, batch_size, options["steps"], callbacks)
            if batch is not None:
                return predict_one_batch(self, batch, verbose)
            return super(ExplainedModel, self).predict(
                x, batch_size=batch_size, verbose=verbose, callbacks=callbacks, **options)

        def run(x, steps=steps):
            return self._watch(predict, x, batch_size or 32, steps=steps)

        with backend.same_random_state(), backend.predict_alone():
            return self._with_preparation(run, x, steps)

    def predict_on_batch(self, x):
        with backend.predict_alone():
            return self._with_preparation(
                lambda x, steps=None: self._watch(super(ExplainedModel, self).predict_on_batch, x),
                x)

    def check(self):
        """Before an export: does it answer as the user's model? `predict` asks by itself."""
        if check_drawn(self.explainer):
            self.predict_function = None

    @classmethod
    def from_config(cls, config, custom_objects=None):
        with whole("an explained model"):
            return super().from_config(config, custom_objects)

    def export(self, filepath, format="tf_saved_model", **options):
        self.check()
        if format != "tf_saved_model":
            return super().export(filepath, format, **options)
        with backend.exporting() as needed:
            return super().export(filepath, format, **{**needed, **options})

    def save(self, filepath, *args, **options):
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"Expected a path that ends in .keras, received {str(filepath)!r}: the older"
                " format cannot hold an explained model. Save it as .keras, or export it with"
                " `keras_explain.export`."
            )
        return super().save(filepath, *args, **options)

    def __call__(self, inputs, *args, **kwargs):
        return self._watch(lambda x: super(ExplainedModel, self).__call__(x, *args, **kwargs),
                           inputs)

    def __repr__(self):
        found = [x for x in getattr(self, "layers", ()) if hasattr(x, "question")]
        if not found:
            return super().__repr__()
        layer = getattr(found[0], "layer_path", None)
        where = "" if layer is None else f", layer {layer!r}"
        return f"<{type(found[0]).__name__} of {found[0].question.model.name!r}{where}>"

    @property
    def explainer(self):
        """The layer that computes the heatmap."""
        return next(x for x in self.layers if not isinstance(x, keras.layers.InputLayer))

    def _with_preparation(self, run, x, steps=None):
        model = self.explainer.question.model
        if not prepares(model):
            return run(x)
        if getattr(self, "_preparation", None) is None:
            self._preparation = Preparation(self.explainer)
        x = x if gives_batches(x) else as_arrays(x)
        prepared, frames = self._preparation.prepare_all(x, steps)
        outputs = run(prepared, steps=None)
        if not gives_batches(x):
            self._preparation.check(x, outputs)
        return self._preparation.lay_over(outputs, frames)

    def _watch(self, run, x, rows=None, /, **options):
        here = _watched.__dict__.setdefault("models", set())
        if id(self) in here:  # PyTorch's `predict` calls the model eagerly
            return run(x, **options)
        x = take_texts(x, self.inputs)
        arrays = self._check_inputs(x, rows)
        first = arrays
        here.add(id(self))
        try:
            if not is_checked(self.explainer) and can_begin_again(x):
                first = self._require_finite(first_batch(x))
            if first is not None and check_answers(self.explainer, first):
                self.predict_function = None  # it ran the program of before
            with self._for_sizes(arrays):
                outputs = run(x, **options)
        finally:
            here.discard(id(self))
        self._check_outputs(outputs, arrays)
        return outputs

    @contextlib.contextmanager
    def _for_sizes(self, arrays):
        """Where work is planned by size, `predict` is traced for each, not once for any."""
        if arrays is None or not self.explainer.plans_by_size:
            yield
            return
        kept, key = self.__dict__.setdefault("_traced", {}), tuple(a.shape[1:] for a in arrays)
        self.predict_function = kept.pop(key, None)
        yield
        kept[key] = self.predict_function
        if len(kept) > MOST_SIZES:
            kept.pop(next(iter(kept)), None)

    def _require_finite(self, x):
        """A batch of a data set, if nothing is wrong with it: what is shows in its own maps."""
        try:
            return self._check_inputs(x, None)
        except ValueError:
            return None

    # On the way in ----------------------------------------------------------------------------

    @functools.cached_property
    def _tables(self):
        return find_tables(self.explainer.question.program)

    def _check_inputs(self, x, rows):
        """The arrays in the order of the model's inputs, where they are known."""
        arrays = [as_numbers(leaf) for leaf in in_order(x, self.inputs)]
        if len(arrays) != len(self.inputs) or any(a is None for a in arrays):
            return None  # inside a trace, a dataset, or another structure: Keras speaks of that
        for spec, array in zip(self.inputs, arrays, strict=True):
            check_array(spec, array)
        question, count = self.explainer.question, len(arrays[0])
        check_ids(*self._tables, arrays)
        if question.takes_target:
            names = [spec.name for spec in self.inputs]
            targets.check_request(arrays[names.index("target")], count, question.classes)
        if isinstance(question.target, tuple):
            targets.check_count(question.target, min(count, rows or count))
        there = question.has_target(arrays)
        if there is not None and not (there := keras.ops.convert_to_numpy(there)).all():
            what, why = question.target.missing
            raise ValueError(
                f"Expected {what} in which there is a {question.target}, received"
                f" {int((~there).sum())} of {count} {why}")
        return arrays

    # On the way out ---------------------------------------------------------------------------

    def _check_outputs(self, outputs, arrays):
        if not isinstance(outputs, dict) or "heatmap" not in outputs:
            return
        heatmaps = [as_numbers(x) for x in tree.flatten(outputs["heatmap"])]
        answers = [as_numbers(x) for x in tree.flatten(outputs["predictions"])]
        if any(x is None for x in heatmaps + answers):
            return  # inside a trace: there are no numbers yet
        if arrays is not None:
            self._check_shapes(heatmaps, len(arrays[0]))
        if not all(np.isfinite(x).all() for x in answers + heatmaps if x.dtype.kind == "f"):
            _warn(f"{self._what()}: its predictions or its heatmaps are not finite, so they mean"
                  " nothing. Look for NaN and very large numbers in the inputs and weights; a mean"
                  " over words has no value where all of them are hidden.")
        blank = [~h.reshape(len(h), -1).any(axis=1) for h in heatmaps]
        if any(b.any() for b in blank):
            _warn(self._blank_message(blank, answers, arrays))

    def _check_shapes(self, heatmaps, count):
        """A map for each example, of the size that was declared when the model was built."""
        specs = tree.flatten(self.output["heatmap"])
        for key, spec, found in zip(tree.flatten(self.explainer.keys), specs, heatmaps,
                                    strict=True):
            wanted = (count, *spec.shape[1:])
            if len(wanted) != found.ndim or any(
                    n not in (None, m) for n, m in zip(wanted, found.shape, strict=True)):
                raise ValueError(
                    f"Expected a heatmap of shape {wanted} for {count} examples ({key!r}),"
                    f" received {found.shape}: the model folds other axes into the batch before"
                    f" {self.explainer.place or 'its answer'!r}. Name a layer after they are"
                    " unfolded with `layer=`, or use `saliency` or `occlusion`."
                )

    def _blank_message(self, blank, answers, arrays):
        keys = tree.flatten(self.explainer.keys)
        which = [str(k) for k, b in zip(keys, blank, strict=True) if b.any()]
        rows = np.any(blank, axis=0)
        among = f" ({', '.join(which)})" if len(keys) > 1 else ""
        return (
            f"{self._what(rows, answers)} gives a blank heatmap{among} for {int(rows.sum())} of"
            f" {len(rows)} examples. {find_causes(self.explainer, arrays, rows)}"
        )

    def _what(self, rows=None, answers=()):
        """Method, layer and class, as "GradCAM of 'model' (layer: 'conv', class: 3)"."""
        question = self.explainer.question
        target, place = question.target, self.explainer.place
        if isinstance(target, tuple) and rows is not None:
            target = sorted({c for c, blank in zip(target, rows, strict=True) if blank})
        elif target is None and rows is not None and len(answers) == 1:
            axis = question.class_axis if answers[0].ndim > 1 else -1
            if answers[0].ndim == 2 and answers[0].shape[axis] > 1:
                target = f"top, {np.unique(answers[0][rows].argmax(axis)).tolist()}"
        return (
            f"{type(self.explainer).__name__} of {question.model.name!r} ("
            + (f"layer: {place!r}, " if place else "")
            + f"class: {'top' if target is None else target})"
        )


def _warn(message):
    warnings.warn(message, BlankHeatmapWarning, stacklevel=5)
