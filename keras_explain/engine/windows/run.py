"""Carry out a plan: clean activations once per image, then windows for many positions."""

import numpy as np
from keras import ops

from keras_explain import backend
from keras_explain.engine.chunks import even, in_chunks
from keras_explain.engine.windows.patch import Patch
from keras_explain.engine.windows.positions import Positions

# bfloat16 is trusted up to this error, as a share of the drops' standard deviation. It stands
# for a rank correlation of about 0.99.
TRUSTED = 0.14
PROBES = 16


def drops(plan, program, values, fills, score, batch_size, exact=None, search=None):
    """The score lost at every position of every image.

    Args:
        program: the plan's program, bound in the caller's graph.
        values: the model's inputs, one batch.
        fills: `hiding.Fills`, what stands in the patch.
        score: `score(outputs, image) -> (B,)`, from the program's outputs and the image index.
        exact: a more exact program to check `program` against, image by image. It takes over,
            with a warning, where the two disagree.
        search: `search(evaluate)` gives the drops of one image; None: every position is
            evaluated.

    Returns:
        float32 of shape (N, fills * positions): the clean score minus the score.
    """
    count, chunk = int(np.prod(plan.counts)), plan.positions_at_a_time(batch_size)
    total = fills.count * count

    def find(evaluate):
        if search is None:
            return evaluate(ops.arange(total, dtype="int32"))
        return ops.concatenate([search(lambda p, first=i * count: evaluate(first + p))
                                for i in range(fills.count)])

    def one_image(image):
        inputs = [_one(v, image) for v in values]
        patch = Patch(plan, fills, image)

        def by(program):
            clean = _Image(plan, program, inputs, patch, lambda o: score(o, image))
            return lambda positions: by_chunks(clean.drops, positions, chunk, plan.counts[-1])

        fast = by(program)
        row = find(fast)
        if exact is None:
            return row
        probes = ops.take(ops.argsort(row), _spread(total), axis=0)
        truth = by(exact)(probes)
        found = fast(probes) if search else ops.take(row, probes, axis=0)
        error = ops.sqrt(ops.mean(ops.square(found - truth)))
        wrong = ops.logical_not(error <= TRUSTED * ops.std(truth))
        backend.warn_if(wrong, "bfloat16 moved the occlusion map of an image too far; it"
                               ' was computed again in float32. Use precision="float32".')
        return ops.cond(wrong, lambda: find(by(exact)), lambda: row)

    return image_by_image(one_image, ops.shape(values[0])[0], total)


def image_by_image(one_image, images, count):
    """`one_image(image)`, float32 (count,), for one image after the other: (images, count)."""
    def step(image, found):
        row = one_image(image)
        return image + 1, ops.scatter_update(found, ops.reshape(image, (1, 1)), row[None])

    start = ops.convert_to_tensor(0, "int32"), ops.zeros((images, count), "float32")
    return backend.while_loop(lambda image, found: image < images, step, start)[1]


def by_chunks(drops, positions, limit, unit=1):
    """`drops(positions)`, int32 (B,) to float32 (B,), of at most `limit` positions at a time.

    Where they fit, of a multiple of `unit` positions.
    """
    count = positions.shape[0]
    size = even(count, limit, unit)
    return in_chunks(lambda p: drops(ops.take(positions, p, axis=0)), count, size)


class _Image:
    """One image, its clean activations kept."""

    def __init__(self, plan, program, inputs, patch, score):
        self.plan, self.program, self.patch, self.score = plan, program, patch, score
        kept = plan.kept
        tensors, outputs = program.with_outputs((kept, program.outputs))(inputs)
        self.base = dict(zip(kept, tensors, strict=True))
        self.clean = score(outputs)

    def drops(self, positions):
        """float32 of shape (B,) for the positions int32 (B,), all at once."""
        windows = Positions(self.plan, self.base, self.patch, positions, positions.shape[0])
        return self.clean - self.score(windows.outputs(self.program))


def _one(x, image):
    return ops.take(x, ops.reshape(image, (1,)), axis=0)


def _spread(count):
    """Indices at even distances, from the first to the last."""
    return np.linspace(0, count - 1, min(PROBES, count)).round().astype("int32")
