"""What a group looks at, given to other examples and taken from its own: do answers change?"""

import numpy as np

PAIRS = 128  # of examples, for each number


def intervene(ask, target, members, mates, others, region, rng):
    """Paste and hide what a group looks at.

    Args:
        ask: from examples (N, ...) to the class of each.
        target: the class of the group.
        members: examples of the group.
        mates: examples of the same class outside the group; may be empty.
        others: examples of other classes; may be empty.
        region: the places that the group looks at, bool, of the examples' shape without channels.
        rng: chooses the pairs.

    Returns:
        A dict of rates, NaN where there are no examples to measure it on:
        paste: others that become `target` when they get the members' content of the region;
        paste_mates: the same with the content of the mates;
        hide: members that leave `target` when their region gets the content of others;
        hide_elsewhere: the same where the region is moved at random.
    """
    mask = region.reshape(region.shape + (1,) * (members.ndim - 1 - region.ndim))

    def rate(hosts, donors, where, comes):
        if not len(hosts) or not len(donors):
            return float("nan")
        hosts = hosts[rng.integers(0, len(hosts), PAIRS)]
        donors = donors[rng.integers(0, len(donors), PAIRS)]
        answers = ask(np.where(where, donors, hosts))
        return float((answers == target).mean() if comes else (answers != target).mean())

    moved = np.stack([np.roll(mask, [rng.integers(n) for n in region.shape],
                              axis=tuple(range(region.ndim))) for _ in range(PAIRS)])
    return {
        "paste": rate(others, members, mask, True),
        "paste_mates": rate(others, mates, mask, True),
        "hide": rate(members, others, mask, False),
        "hide_elsewhere": rate(members, others, moved, False),
    }
