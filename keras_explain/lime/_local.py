"""What images, texts and tables share: draw masks, ask the model, fit a surrogate per class."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keras_explain.checks import check_positive, nearest
from keras_explain.engine.windows.run import TRUSTED
from keras_explain.lime import sampling
from keras_explain.lime._arguments import Arguments
from keras_explain.lime._options import Kernel, Sampler, Surrogate
from keras_explain.lime._reading import choose_reading, find_defined, refuse_undefined
from keras_explain.lime._samples import Samples, estimate_stability, warn_of_weakness
from keras_explain.lime.surrogate import SURROGATES, Ridge, ShapleyRegression
from keras_explain.progress import Progress

_EQUAL_CHANCES = ("hadamard", "bernoulli", "sobol")  # every mask is as likely as every other


@dataclasses.dataclass(frozen=True)
class Problem:
    """One input, seen as features that can be taken out.

    Args:
        names: the features' names, `(S,)`.
        scores: `(masks (K, S), start) -> (K, classes)`, the scores of samples from `start` on.
        features: `masks (N, S) -> (N, S)` float, what the surrogate sees; `None` for the masks.
        origin: `(S,)`, the features of the input itself; `None` for ones.
        repeatable: whether a mask always gives the same score.
        may_be_undefined: whether samples whose score is NaN or infinite are left out, with a
            warning. Else `scores` raises.
        is_ambiguous: whether a single score may be a number or the probability of class 1.
        what: the word for a feature.
        rough: as `scores`, faster and less exact: used where the first batch shows that it will do.
    """

    names: tuple[str, ...]
    scores: Callable[..., np.ndarray]
    features: Callable[..., np.ndarray] | None = None
    origin: np.ndarray | None = None
    repeatable: bool = True
    may_be_undefined: bool = False
    is_ambiguous: bool = False
    what: str = "feature"
    rough: Callable[..., np.ndarray] | None = None


class Result(NamedTuple):
    """Fields of an `Explanation`; arrays have one row or number per explained class."""

    classes: tuple[int, ...]
    prediction: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    local_prediction: np.ndarray
    fidelity: np.ndarray
    held_out_fidelity: np.ndarray
    stability: np.ndarray
    rules: tuple[str, ...]
    samples: int
    converged: bool | None
    disagreement: np.ndarray | None = None


class _Design(NamedTuple):
    masks: np.ndarray
    fixed: int  # rows that every fit uses: the input itself, for Shapley values also nothing
    exact: bool  # all subsets, once each


class LocalModel:
    """How a surrogate is found; the same for every input of an explainer.

    Args:
        sampler: a name in `sampling.SAMPLERS` or a callable; `None` for Hadamard designs.
        kernel: `"exponential"`, a callable such as `Exponential(width=0.5)`, or `"shapley"`.
        surrogate: a name in `surrogate.SURROGATES` or a callable; `None` for `default_surrogate`.
        batch_size: the largest number of inputs that the model sees at once.
        distance: the distance of `"exponential"`.
        default_surrogate: a name.
    """

    def __init__(
        self,
        sampler: Sampler,
        kernel: Kernel,
        surrogate: Surrogate,
        batch_size: int,
        *,
        distance: str,
        default_surrogate: str,
    ) -> None:
        self.batch_size = check_positive("batch_size", batch_size, "32 suits most models.")
        kernels = {"exponential": sampling.Exponential(distance=distance), "shapley": None}
        self._kernel = _look_up("kernel", kernel, kernels)
        self.is_shapley = self._kernel is None
        if self.is_shapley and (sampler is not None or surrogate is not None):
            raise ValueError(
                "Expected `sampler` and `surrogate` to be None with kernel='shapley', because"
                f" KernelSHAP prescribes both, received sampler={sampler!r} and"
                f" surrogate={surrogate!r}. Leave them out."
            )
        self._may_enumerate = sampler is None or (
            isinstance(sampler, str) and sampler in _EQUAL_CHANCES)
        self._sampler = _look_up("sampler", sampler or "hadamard", sampling.SAMPLERS)
        self.surrogate = _look_up("surrogate", surrogate or default_surrogate, SURROGATES)
        if self.is_shapley:
            self._sampler, self.surrogate = sampling.shapley, ShapleyRegression()

    @property
    def is_sparse(self) -> bool:
        """Whether a number of features means something."""
        return not isinstance(self.surrogate, (Ridge, ShapleyRegression))

    def check(self, arguments: Arguments) -> None:
        """Refuse a number of features where it would do nothing."""
        if arguments.num_features is not None and not self.is_sparse:
            raise ValueError(
                f"Expected `num_features` to be None with {type(self.surrogate).__name__}, which"
                f" gives every feature a weight, received {arguments.num_features}. Read the"
                " largest with explanation.top(k), or use surrogate='highest_weights'."
            )

    def explain(self, problem: Problem, arguments: Arguments) -> Result:
        """The `Result` of a `Problem` for the `Arguments` of `explain`."""
        design = self._draw(problem, arguments)
        total = len(design.masks)
        progress = Progress(total, f"{len(problem.names)} {problem.what}s", arguments.verbose)
        scores, ask, next_look = None, problem.scores, 2 * self.batch_size
        converged = design.exact if arguments.tolerance else None
        for start in range(0, total, self.batch_size):
            masks = design.masks[start : start + self.batch_size]
            received = ask(masks, start)
            if scores is None:
                refuse_undefined(received[0], problem.what)
                read = choose_reading(arguments, received, problem.is_ambiguous)
                scores = np.empty((total, len(read.chosen)))
                if problem.rough is not None and len(masks) < total:
                    ask = _check_rough(problem, masks, received, read)
            done = start + len(received)
            scores[start:done] = read(received)
            progress.advance(len(received))
            if arguments.tolerance and not design.exact and done >= next_look:
                next_look = done + done // 4
                samples = self._samples(problem, design, scores[:done], arguments)
                converged = bool(samples.error() <= arguments.tolerance)
                if converged:
                    break
        progress.close(f", converged after {done} of {total} samples" if converged else "")
        samples = self._samples(problem, design, scores[:done], arguments)
        result = _fit(samples, read.classes, problem.origin, converged)
        if problem.names:
            warn_of_weakness(samples, result, problem.what)
        return result

    def _draw(self, problem, arguments):
        size, total = len(problem.names), arguments.samples
        ends = np.array([[True] * size, [False] * size])[: 1 + self.is_shapley]
        if size == 0:
            return _Design(ends[:1], 1, True)
        if problem.repeatable and self._may_enumerate and size < 31 and 2**size <= total:
            return _Design(sampling.list_subsets(size), 0, True)
        masks = ends[:0]
        if size > 1 or not self.is_shapley:
            count = total - len(ends)
            masks = self._sampler(count, size, np.random.default_rng([arguments.seed, 0]))
            if masks.shape != (count, size) or masks.dtype != bool:
                raise ValueError(
                    f"Expected `sampler` to return booleans of shape {(count, size)}, received"
                    f" {masks.dtype} of shape {masks.shape}. True keeps a {problem.what}."
                )
        return _Design(np.concatenate([ends, masks]), len(ends), len(masks) == 0)

    def _samples(self, problem, design, scores, arguments):
        masks, rows = design.masks[: len(scores)], slice(None)
        if problem.may_be_undefined:
            rows = find_defined(scores, self.is_shapley)
        features = masks.astype(float) if problem.features is None else problem.features(masks)
        kernel = self._kernel
        if self.is_shapley:
            kernel = sampling.weigh_as_shapley
        changes = np.abs(features - (1.0 if problem.origin is None else problem.origin))
        weights = kernel(changes) if problem.names else np.ones(len(scores))
        if np.shape(weights) != (len(scores),) or not np.isfinite(weights).all():
            raise ValueError(
                f"Expected `kernel` to return {len(scores)} finite weights, received shape "
                f"{np.shape(weights)}. It takes the table of changes, 0 for a feature as it is and "
                "1 for one that is out."
            )
        return Samples(
            features[rows],
            scores[rows],
            weights[rows],
            problem.names,
            self.surrogate,
            arguments.num_features,
            design.fixed,
            design.exact,
        )


def _fit(samples, classes, origin, converged):
    origin = np.ones(len(samples.names)) if origin is None else origin
    columns = range(len(classes))
    fits = [samples.fit(column) for column in columns]
    fidelity = np.array([samples.fidelity(column, fits[column]) for column in columns])
    held_out, agreement = fidelity, np.ones(len(classes))
    if not samples.exact:
        halves = [samples.halves(column) for column in columns]
        held_out = np.array([samples.held_out_fidelity(c, halves[c]) for c in columns])
        agreement = np.array(
            [estimate_stability(one.weights, two.weights) for (one, _), (two, _) in halves])
    return Result(
        classes=tuple(int(c) for c in classes),
        prediction=samples.scores[0].copy(),
        weights=np.stack([fit.weights for fit in fits]),
        intercept=np.array([fit.intercept for fit in fits]),
        local_prediction=np.array([fit(origin[None])[0] for fit in fits]),
        fidelity=fidelity,
        held_out_fidelity=held_out,
        stability=agreement,
        rules=tuple(fit.rules for fit in fits),
        samples=len(samples.scores),
        converged=converged,
    )


def _check_rough(problem, masks, exact, read):
    """`problem.rough` if it gives nearly the exact scores of the first batch, else the exact."""
    exact = read(exact)
    error = read(problem.rough(masks, 0)) - exact
    noise = 1e-6 * np.abs(exact).max(axis=0)  # of a class whose score is constant
    if (error.std(axis=0) <= TRUSTED * exact.std(axis=0) + noise).all():
        return problem.rough
    warnings.warn(
        "LIME: scores in bfloat16 differ too much from exact ones. This explanation is computed "
        "in float32.",
        stacklevel=4,
    )
    return problem.scores


def _look_up(argument, value, known):
    if isinstance(value, str) and value in known:
        return known[value]
    if callable(value):
        return value
    near = nearest(value, known)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"Expected `{argument}` to be one of {sorted(known)} or a callable, received"
        f" {value!r}.{hint}"
    )
