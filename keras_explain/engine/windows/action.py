"""What a plan does with one step."""

import dataclasses


@dataclasses.dataclass
class Action:
    """Recompute a window.

    Args:
        window: Spans of the output; None where the output is whole after all.
        reads: for each Value that the step reads, the frame of it that is needed; None for
            the clean value as it is.
        run: `run(tensors, positions, fn) -> output`: the tensors in the order of `reads`, and
            the step's function with its weights bound.
        padding: what stands outside of the map.
    """

    window: tuple | None
    reads: dict
    run: object
    padding: float = 0.0
    share: float = 1.0  # of the whole map's work, where the window does not tell
