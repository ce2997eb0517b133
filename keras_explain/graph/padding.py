"""Which moments of an input are data, and which are padding that the model masks."""

from keras_explain.graph.masks import carry_masks, get_mask


def find_padding(program, value):
    """A function from the model's inputs to bool (N, T), False at padding; None without masks.

    What counts is the first Keras mask that is made of the input, as `Masking` and
    `Embedding(mask_zero=True)` make one.
    """
    shape = value.spec.shape
    if len(shape) < 2 or value.spec.dtype == "string":
        return None
    masks = carry_masks(program.steps)
    reached = {value}
    for step in program.steps if masks else ():
        if not reached.intersection(step.reads):
            continue
        reached.update(step.outputs)
        for output in step.outputs:
            if output in masks and tuple(masks[output].shape[1:]) == tuple(shape[1:2]):
                return _Mask(program.with_outputs([output]))
    return None


class _Mask:
    """The Keras mask that a program's only output carries; it can be copied."""

    def __init__(self, program):
        self.program = program

    def __call__(self, values):
        return get_mask(self.program(values)[0])
