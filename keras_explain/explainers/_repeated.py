"""Gradients at many variations of an input, in bounded memory.

The variations run through the program with its BatchNormalization folded, which takes a fifth
less time. The clean pass does not: predictions are the model's own to the last bit.
"""

from keras import ops

from keras_explain import backend
from keras_explain.checks import check_positive
from keras_explain.engine.folding import bind, fold, folds_norms
from keras_explain.explainers._base import Explainer


class RepeatedGradients(Explainer):
    """Abstract: a subclass calls `sums` in its `compute`.

    Args:
        model: see `Explainer`.
        batch_size: variations that are differentiated at a time.
        **options: see `Explainer`.
    """

    def __init__(self, model, *, batch_size=32, **options):
        super().__init__(model, **options)
        batch_size = check_positive("batch_size", batch_size)
        self.batch_size = batch_size
        self.explain_gradients()
        program = fold(self.question.program)
        kept = {v for step in program.steps for v in step.outputs}.union(program.inputs)
        self.folded = program if folds_norms(program) and kept.issuperset(self.cut) else None

    def split(self, values):
        """The tensors at `self.cut`, and two heads as `split_at` gives them.

        The first answers as the model does, the second is cheap to run many times.
        """
        points, head = self.question.split_at(values, self.cut)
        if self.folded is None:
            return points, head, head
        with backend.no_gradient():
            program = bind(self.folded)
        return points, head, self.question.split_at(values, self.cut, program)[1]

    def sums(self, points, head, chosen, count, vary, terms, lists=1):
        """Add up what `terms` makes of the gradients at `count` variations of each example.

        A step takes some variations of one example, or all of several, so that what an example
        gets does not depend on its neighbors in the batch.

        Args:
            points, head: as `split_at` gives them.
            chosen: one-hot float32 of shape (N, classes), the explained class.
            count: variations of each example.
            vary: `vary(rows, which)` gives the points of variation `which` of example `rows`,
                both int32 of shape (B,).
            terms: `terms(gradients, rows, which)`, float32 tensors of the points' shapes: one
                list of them, or `lists` lists in a row.
            lists: see `terms`.

        Returns:
            The sums, float32 of shape (N, ...), as many as `terms` returns.
        """
        groups = -(-count // self.batch_size)
        size = -(-count // groups)
        total = ops.shape(points[0])[0]
        images = _smaller(max(1, self.batch_size // count), total)
        pairs = ops.arange(images * size, dtype="int32")
        rows_of, which_of = pairs // size, pairs % size

        def step(i, *sums):
            rows = ops.minimum(i // groups * images + ops.arange(images, dtype="int32"), total - 1)
            every_row = ops.take(rows, rows_of, axis=0)
            which = i % groups * size + which_of
            counts = ops.cast(which < count, "float32")
            which = ops.minimum(which, count - 1)
            _, _, pull = backend.vjp(
                lambda varied: head(varied, every_row), vary(every_row, which),
                self.model.variables,
            )
            gradients = self.question.pull_back(pull, ops.take(chosen, every_row, axis=0))
            gradients = [ops.cast(g, "float32") for g in gradients]
            after = []
            for before, term in zip(sums, terms(gradients, every_row, which), strict=True):
                term = term * ops.reshape(counts, (-1, *[1] * (len(term.shape) - 1)))
                term = ops.reshape(term, (-1, size, *ops.shape(term)[1:]))
                term = ops.sum(term, axis=1)
                if groups > 1:
                    term = term + ops.take(before, rows, axis=0)
                after.append(ops.scatter_update(before, rows[:, None], term))
            return (i + 1, *after)

        zeros = [ops.zeros_like(p, dtype="float32") for p in points]
        _, *sums = backend.while_loop(
            lambda i, *_: i < -(-total // images) * groups,
            step,
            (ops.convert_to_tensor(0, "int32"), *zeros * lists),
        )
        return sums

    def run_layers_alone(self):
        had, self.folded = self.folded is not None, None
        return had

    def get_config(self):
        return {**super().get_config(), "batch_size": self.batch_size}


def _smaller(count, total):
    """The smaller one of an int and a size: an int, a tensor, or unknown in a JAX export."""
    if isinstance(total, int):
        return min(count, total)
    return ops.minimum(count, total) if ops.is_tensor(total) else count
