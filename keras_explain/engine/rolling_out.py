"""Attention rollout: which input tokens are mixed into which, through all layers."""

from keras import ops

OWN, CROSS, BESIDE, PAST = "own", "cross", "beside", "past"


def find_roles(program, found, source, inputs):
    """What each layer of attention does with the tokens of an input: {Weights: role}.

    `OWN` mixes them with each other, `CROSS` carries them to those of another input, as a decoder
    reads its encoder, `BESIDE` mixes those, and `PAST` brings tokens of another input to them.
    Layers of other inputs alone have no role.

    Args:
        program: the opened program, with the steps inside of its layers.
        found: its `Weights`.
        source: the input that is followed.
        inputs: all that have tokens.
    """
    seen = {}
    for one in found:
        keys = {v for v in inputs if v in (*one.weighed, *program.ancestors(one.weighed))}
        seen[one] = keys, keys | {v for v in inputs if v in program.ancestors([one.value])}
    crossing = {one for one, (keys, both) in seen.items() if keys < both}
    decodes = any(source in seen[one][1] - seen[one][0] for one in crossing)
    roles = {}
    for one, (keys, both) in seen.items():
        if one in crossing and source in both:
            roles[one] = CROSS if source in keys else PAST
        elif one not in crossing and source in keys:
            roles[one] = OWN if decodes or len(keys) == 1 else BESIDE
        elif one not in crossing and keys and any(
                keys & (seen[c][1] - seen[c][0]) and source in seen[c][0] for c in crossing):
            roles[one] = BESIDE
    return roles


def roll_out(layers, roles):
    """How much of each input token is in each token behind all layers: (N, T, T).

    Half of each token is taken to come through attention, the mean over the heads, and half past
    it (Abnar and Zuidema 2020).

    Args:
        layers: float32 of shape (N, heads, T, T), a list from the first layer on.
        roles: of each, see `find_roles`.
    """
    total = carried = None
    for weights, role in zip(layers, roles, strict=True):
        mean = ops.mean(weights, axis=1)
        if role == PAST:
            total = total if total is None else 0.5 * total
        elif role == CROSS:
            come = 0.5 * (mean if total is None else ops.matmul(mean, total))
            carried = come if carried is None else 0.5 * carried + come
        elif role == OWN or carried is not None:
            mixed = 0.5 * mean + 0.5 * ops.eye(ops.shape(mean)[-1], dtype="float32")
            if role == OWN:
                total = mixed if total is None else ops.matmul(mixed, total)
            else:
                carried = ops.matmul(mixed, carried)
    return total if carried is None else carried
