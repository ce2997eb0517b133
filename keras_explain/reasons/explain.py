"""The question for people who do not know a method's name."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_explain.checks import check_positive
from keras_explain.explainers._options import Target
from keras_explain.progress import Progress, Verbose
from keras_explain.reasons import _checking
from keras_explain.reasons._methods import choose
from keras_explain.reasons._rows import Rows
from keras_explain.reasons.reasons import DisagreementWarning, Reasons
from keras_explain.signatures import Inputs

CHECKED = 8  # inputs that are compared with chance


def explain(
    model: keras.Model, x: Inputs, *, target: Target = None,
    output: str | int | None = None, input: str | int | None = None, baseline: Any = None,
    tokenizer: Callable[..., Any] | None = None, class_names: Sequence[str] | None = None,
    seed: int = 0, batch_size: int = 32, verbose: Verbose = "auto",
) -> Reasons:
    """Say why a model answers as it does, by a method that suits the model and the input.

    It looks at what the model computes, takes the method that measurements favor for this kind of
    input (images, texts, tables, series), and says which and why. A second method, which works
    differently, is asked the same: where the two disagree, that is said, with a warning. And the
    order of the first is compared with orders at random on these very inputs.

    Args:
        model: a built `keras.Model`. It is never changed.
        x: inputs as `model.predict` takes them, a batch of few; texts for models that read tokens,
            with their `tokenizer`; a data frame, a `lime.Table` or an array for tables.
        target: the score to explain, see `keras_explain.grad_cam`. None: each input's top class.
            Detectors need one, such as `keras_explain.targets.Box`.
        output: name or index of the output, for models with several.
        input: name or index of the input to explain, for models with several.
        baseline: what stands in for what is hidden. Tables need it: `baseline=X_train`.
        tokenizer: what makes the integers of texts, see `keras_explain.text.show`.
        class_names: names of the classes.
        seed: of the random orders.
        batch_size: forward passes at a time; it bounds the memory.
        verbose: progress on stderr: "auto" where it is a terminal, 0 never, 1 always.

    Returns:
        `Reasons`.

    Raises:
        TypeError: not a Keras model.
        ValueError: a model with inputs of several kinds, a table without `baseline`, answers at
            many positions without a `target`.

    Example:
        >>> import keras, numpy as np, keras_explain as kx
        >>> model = keras.Sequential([
        ...     keras.Input((16, 16, 1)), keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax")])
        >>> images = np.random.default_rng(0).random((2, 16, 16, 1), dtype="float32")
        >>> reasons = kx.explain(model, images, verbose=0)
        >>> reasons.method, reasons.second in ("grad_cam", "hires_cam"), reasons.heatmaps.shape
        ('occlusion', True, (2, 16, 16))
    """
    options = {"target": target, "output": output, "input": input}
    choice = choose(model, baseline, {k: v for k, v in options.items() if v is not None})
    reasons = ask(choice, x, tokenizer, class_names, batch_size, seed, verbose)
    _warn_of_disagreement(reasons)
    return reasons


def ask(choice, x, tokenizer=None, class_names=None, batch_size=32, seed=0, verbose="auto"):
    """The `Reasons` of the two methods of a `Choice`, see `explain`."""
    check_positive("batch_size", batch_size)
    question = choice.first.explainer.question
    _check_answer(question)
    rows = Rows(choice.kind, question, x, tokenizer)
    progress = Progress(3, "explaining", verbose)
    first, predictions = rows.ask(choice.first, batch_size)
    progress.advance(1)
    second = None if choice.second is None else rows.ask(choice.second, batch_size)[0]
    progress.advance(1)
    side, notes = _checking.find_cell(choice.kind, first.maps.shape), []
    agreement = None if second is None else np.array([
        _checking.compare_maps(a[None], b[None], side)[0]
        for a, b in zip(first.words, second.words, strict=True)])
    chance = None
    try:
        some = tree.map_structure(lambda a: a[:CHECKED], rows.inputs)
        found = _checking.beat_chance(choice, some, first.maps[:CHECKED], side, seed)
        chance = np.full(len(first.maps), np.nan, "float32")
        chance[: len(found)] = found
    except (ValueError, TypeError) as error:
        notes.append(f"Not compared with chance: {error}")
    progress.advance(1)
    progress.close()
    if second is None:
        notes += [f"{name} was not asked: {reason}" for name, reason in choice.refused.items()]
    names = choice.names
    return Reasons(
        choice.kind, names[0], choice.why, names[1] if second is not None else None, x,
        predictions, _name_answers(question, predictions, class_names), first.stack(),
        None if second is None else second.stack(), agreement, chance, first.names,
        (choice.first, choice.second)[: len(names)], tuple(notes))


def _check_answer(question):
    """A score for each position has no top class to explain."""
    if question.target is None and len(question.answer.spec.shape) > 2:
        raise ValueError(
            "Expected `target`, because the model answers at many positions, received None and an"
            f" answer of shape {tuple(question.answer.spec.shape)}. Give"
            " `target=keras_explain.targets.Box(...)` for a detector, `Region(...)` for a"
            " segmentation, `Token(...)` for a language model, or a callable.")


def _name_answers(question, predictions, class_names):
    """Each input's explained answer in words."""
    outputs = tree.flatten(question.program.outputs[1])
    answer = np.asarray(tree.flatten(predictions)[outputs.index(question.answer)], "float32")
    if question.classes is None or answer.ndim != 2 or (question.activation is None
                                                        and answer.shape[1] == 1):
        return tuple(f"{np.ravel(row)[0]:.4g}" for row in answer)
    if answer.shape[1] == 1:
        answer = np.concatenate([1 - answer, answer], axis=1)
    wanted = question.target
    classes = answer.argmax(-1) if wanted is None or callable(wanted) else np.broadcast_to(
        np.asarray(wanted), len(answer))
    names = class_names or [f"class {k}" for k in range(answer.shape[1])]
    return tuple(
        f"{names[k]} {row[k]:.1%}" if question.activation else f"{names[k]} ({row[k]:.3g})"
        for k, row in zip(classes, answer, strict=True))


def _warn_of_disagreement(reasons):
    if reasons.agreement is None:
        return
    wrong = np.flatnonzero(reasons.agreement < _checking.PARTLY)
    if len(wrong):
        warnings.warn(
            f"{reasons.method} and {reasons.second} disagree on {len(wrong)} of {len(reasons)}"
            " inputs (correlation below"
            f" {_checking.PARTLY}). Look at both maps, and compare methods on more inputs with"
            " `keras_explain.compare`.", DisagreementWarning, stacklevel=3)
