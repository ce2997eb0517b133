"""Why is a heatmap blank? Told by running the model again on a few of the examples."""

import numpy as np
from keras import ops, tree

from keras_explain.engine import hiding
from keras_explain.graph import targets
from keras_explain.graph.axes import space_axes
from keras_explain.graph.probing import to_float64
from keras_explain.graph.steps import Value

EXAMPLES = 4  # that are looked at
HIDES_NOTHING = ("Hiding changes nothing, because the input is its own baseline, as a picture"
                 " of one color is. Use another `baseline=`.")
UNKNOWN = "No cause was found; another method may show more."


def find_causes(explainer, arrays, rows):
    """What makes maps blank and what to do, as sentences.

    Args:
        explainer: the layer that computed them.
        arrays: the explained model's inputs as a flat list of arrays; None where unknown.
        rows: (N,), which examples have a blank map.
    """
    if arrays is None:
        return "Call the model on arrays instead of a data set to be told the cause."
    rows = np.flatnonzero(rows)[:EXAMPLES]
    try:
        inputs = [ops.convert_to_tensor(np.ascontiguousarray(a[rows])) for a in arrays]
        found = _causes(explainer, inputs, rows)
    except Exception:  # the reason for a warning must not stop what was computed
        return UNKNOWN
    return " ".join(dict.fromkeys(found)) or UNKNOWN


def compare_to_baseline(question, values, baselines):
    """For each example a sentence where hiding parts of it changes nothing, else None."""
    same = np.ones(len(values[0]), bool)
    for value, baseline in zip(question.explained, baselines, strict=True):
        x = values[question.index(value)]
        hidden = hiding.baseline(x, space_axes(question.program, value), baseline)
        same &= np.abs(to_float64(x) - to_float64(hidden)).reshape(len(same), -1).max(axis=1) < 1e-6
    return [HIDES_NOTHING if s else None for s in same]


def _causes(explainer, inputs, rows):
    """One sentence for each example."""
    question, request = explainer.question, None
    if question.takes_target:
        *inputs, request = inputs
    raw, predictions = question.program(inputs)
    scores = question.scores(raw, predictions)
    chosen = _choose(question, scores, request, rows)
    chances = to_float64(ops.sum(scores * chosen, axis=-1))
    own = explainer.blank_causes(inputs, chosen)
    for row, chance in enumerate(chances):
        example = [x[row : row + 1] for x in inputs]
        yield (own[row] or _of_probability(question, chance) or _of_model(explainer, example)
               or UNKNOWN)


def _choose(question, scores, request, rows):
    """The explained classes of the `rows` of a batch, one-hot."""
    if isinstance(question.target, tuple):
        request = ops.convert_to_tensor([question.target[i % len(question.target)] for i in rows],
                                        "int32")
        return targets.one_hot(scores, request)
    return question.choose_class(scores, request)


def _of_probability(question, chance):
    if question.score != "probability" or not question.activation:
        return None
    if min(chance, 1 - chance) > 1e-3:
        return None
    return (f"The probability, {chance:.6g}, is saturated: so close to {round(chance)} that it"
            ' hardly moves. Use score="log_odds".')


def _of_model(explainer, example):
    """The first step that gives the same for other inputs."""
    question = explainer.question
    program, places = question.scored, [question.index(v) for v in question.explained]
    explained = [program.inputs[i] for i in places]
    outputs = set(tree.flatten(program.outputs))
    reached = _find_reached(program, explained)
    if not reached & outputs:
        names = [v.spec.name for v in explained]
        return f"The explained score does not depend on {names}. Explain another input or output."
    others = list(example)
    for i in places:
        others[i] = _make_other(example[i])
    steps = [s for s in program.steps if set(s.outputs) & reached]
    values = [s.outputs[0] for s in steps]
    run = program.with_outputs(values)
    for step, one, two in zip(steps, run(example), run(others), strict=True):
        if _is_same(one, two):
            place = step.path or type(step.fn).__name__
            return (f"The step {place!r} gives the same for every input, so that the score does"
                    " not depend on the input: a dead layer. Look at its weights and inputs, or"
                    " train the model.")
    return None


def _find_reached(program, values):
    """All Values that are computed from `values`, besides those."""
    reached = set(values)
    for step in program.steps:
        if reached.intersection(step.reads):
            reached.update(v for v in step.outputs if isinstance(v, Value))
    return reached


def _make_other(x):
    """Other numbers of the same kind: an example that differs from `x` everywhere."""
    numbers = ops.convert_to_numpy(x)
    rng = np.random.default_rng(0)
    if numbers.dtype.kind == "f" or "float" in str(x.dtype):
        numbers = np.asarray(numbers, "float32")
        spread = max(float(numbers.std()), 0.1 * float(np.abs(numbers).max()), 1e-2)
        numbers = numbers + spread * rng.normal(size=numbers.shape)
    else:
        numbers = rng.permutation(numbers.reshape(-1)).reshape(numbers.shape)
        numbers = np.where(rng.random(numbers.shape) < 0.5, numbers, numbers.min())
    return ops.cast(ops.convert_to_tensor(numbers), x.dtype)


def _is_same(one, two):
    one, two = to_float64(one), to_float64(two)
    return one.shape == two.shape and np.abs(one - two).max() <= 1e-6 * np.abs(one).max()
