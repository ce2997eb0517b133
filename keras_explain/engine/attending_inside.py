"""Attention weights inside of layers that are one step: seen and taken out while they run."""

import dataclasses

from keras_explain.engine.attending import FUSED, WeightsOf, weigh
from keras_explain.engine.holding.inside import record, replay
from keras_explain.graph import steps as kinds
from keras_explain.graph.program import Program
from keras_explain.graph.steps import Step, Value


@dataclasses.dataclass
class Inside:
    """A program as it looks with the steps inside of its layers.

    Args:
        program: to look at, not to run.
        places: {Value inside: the step of the layer and the number of the operation}.
        names: {id of the step of a layer: the classes of its operations}.
        unsure: Values inside of which it is not known what they are made of.
    """

    program: Program
    places: dict
    names: dict
    unsure: set


def look_inside(program, trial):
    """The `Inside` of a program; `trial` gets the numbers of the Values there."""
    steps, found = [], Inside(program, {}, {}, set())
    for step in program.steps:
        seen = record(trial, step)
        if seen is None:
            steps.append(step)
            continue
        inner, outputs, unsure = seen
        found.names[id(step)] = [type(one.fn) for one in inner]
        found.unsure.update(v for one in unsure for v in one.outputs)
        for number, one in enumerate(inner):
            if kinds.kind(one.fn) == FUSED:
                one, weights = _unfuse(one, trial)
                steps.append(weights)
                found.places[weights.outputs[0]] = step, number
            elif len(one.outputs) == 1:
                found.places[one.outputs[0]] = step, number
            steps.append(one)
        steps += [Step(IdentityOf(), (made,), {}, [value]) for made, value in zip(
            outputs, step.outputs, strict=True) if made not in (None, value)]
    found.program = Program(program.inputs, steps, program.outputs, program.calls)
    return found


def _unfuse(step, trial):
    numbers = [trial.numbers[v] if isinstance(v, Value) else v for v in step.args]
    given = {name: trial.numbers[v] if isinstance(v, Value) else v
             for name, v in step.kwargs.items()}
    fn, spec = WeightsOf(step.fn), step.outputs[0].spec
    made = fn(*numbers, **given)
    weights = Value(type(spec)((spec.shape[0], *made.shape[1:]), spec.dtype))
    trial.numbers[weights] = made
    return (Step(weigh, (weights, step.args[2]), {}, step.outputs, step.path),
            Step(fn, step.args, step.kwargs, [weights], step.path))


def take_out(program, values, inside):
    """The program in which the weights `values`, found inside of layers, are made by steps.

    A layer that holds some becomes two steps: one gives them, the other is the layer that takes
    them in the place of its own.
    """
    wanted = {}
    for value in values:
        if value in inside.places:
            step, number = inside.places[value]
            wanted.setdefault(id(step), []).append((number, value))
    steps = []
    for step in program.steps:
        if id(step) not in wanted:
            steps.append(step)
            continue
        numbers, made = zip(*wanted[id(step)], strict=True)
        names = inside.names[id(step)]
        steps.append(Step(_Giving(step.fn, numbers, names), step.args, step.kwargs, list(made),
                          step.path))
        steps.append(dataclasses.replace(
            step, fn=_Taking(step.fn, numbers, names), args=(made, *step.args)))
    return Program(program.inputs, steps, program.outputs, program.calls)


class IdentityOf:
    """The same under another Value."""

    def __call__(self, x):
        return x


class _Giving:
    """The weights that a layer makes as the operations of these numbers."""

    def __init__(self, fn, numbers, names):
        self.fn, self.numbers, self.names = fn, numbers, names

    def __call__(self, *args, **kwargs):
        found = {}

        def give(number):
            def run(fn, args, kwargs):
                if kinds.kind(fn) != FUSED:
                    found[number] = fn(*args, **kwargs)
                    return found[number]
                found[number] = WeightsOf(fn)(*args, **kwargs)
                return weigh(found[number], args[2])
            return run

        replay(self.fn, {n: give(n) for n in self.numbers}, self.names, args, kwargs)
        return [found[n] for n in self.numbers]


class _Taking:
    """A layer that takes its weights, in the place of those that it makes."""

    def __init__(self, fn, numbers, names):
        self.fn, self.numbers, self.names = fn, numbers, names

    def __call__(self, weights, *args, **kwargs):
        def take(made):
            return lambda fn, args, kwargs: weigh(made, args[2]) if (
                kinds.kind(fn) == FUSED) else made

        return replay(self.fn, {n: take(w) for n, w in zip(self.numbers, weights, strict=True)},
                      self.names, args, kwargs)
