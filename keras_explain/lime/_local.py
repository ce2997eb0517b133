"""What images, texts and tables share: draw masks, ask the model, fit a surrogate per class."""

import dataclasses
import warnings
from typing import NamedTuple

import numpy as np

from keras_explain.engine.windows.run import TRUSTED
from keras_explain.lime import sampling
from keras_explain.lime._request import check_int
from keras_explain.lime._samples import Samples, stability, warn_of_weakness
from keras_explain.lime.surrogate import SURROGATES, Ridge, ShapleyRegression
from keras_explain.progress import Progress

_EQUAL_CHANCES = ("hadamard", "bernoulli", "sobol")  # every mask is as likely as every other


@dataclasses.dataclass(frozen=True)
class Problem:
    """One input, seen as features that can be taken out.

    Args:
        names: the features' names, `(S,)`.
        scores: `(masks (n, S), start) -> (n, classes)`, the scores of samples from `start` on.
        features: `masks (N, S) -> (N, S)` float, what the surrogate sees; `None` for the masks.
        origin: `(S,)`, the features of the input itself; `None` for ones.
        repeatable: whether a mask always gives the same score.
        what: the word for a feature.
        rough: as `scores`, faster and less exact: used where the first batch shows that it will do.
    """

    names: tuple
    scores: object
    features: object = None
    origin: np.ndarray = None
    repeatable: bool = True
    what: str = "feature"
    rough: object = None


class Result(NamedTuple):
    """Fields of an `Explanation`; arrays have one row or number per explained class."""

    classes: tuple
    prediction: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    local_prediction: np.ndarray
    fidelity: np.ndarray
    held_out_fidelity: np.ndarray
    stability: np.ndarray
    rules: tuple
    num_samples: int
    converged: bool | None


class _Plan(NamedTuple):
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

    def __init__(self, sampler, kernel, surrogate, batch_size, *, distance, default_surrogate):
        self.batch_size = check_int("batch_size", batch_size, 1, "32 suits most models")
        kernels = {"exponential": sampling.Exponential(distance=distance), "shapley": None}
        self._kernel = _named("kernel", kernel, kernels)
        self.is_shapley = self._kernel is None
        if self.is_shapley and (sampler is not None or surrogate is not None):
            raise ValueError(
                "Expected kernel='shapley' without sampler= and surrogate=, because KernelSHAP "
                f"prescribes both, received sampler={sampler!r} and surrogate={surrogate!r}."
            )
        self._may_enumerate = sampler is None or sampler in _EQUAL_CHANCES
        self._sampler = _named("sampler", sampler or "hadamard", sampling.SAMPLERS)
        self.surrogate = _named("surrogate", surrogate or default_surrogate, SURROGATES)
        if self.is_shapley:
            self._sampler, self.surrogate = sampling.shapley, ShapleyRegression()

    @property
    def is_sparse(self):
        """Whether a number of features means something."""
        return not isinstance(self.surrogate, (Ridge, ShapleyRegression))

    def check(self, request):
        """Refuse a number of features where it would do nothing."""
        if request.num_features is not None and not self.is_sparse:
            raise ValueError(
                f"Expected num_features=None with {type(self.surrogate).__name__}, which gives "
                f"every feature a weight, received {request.num_features}. Read the largest with "
                "explanation.top(k), or use surrogate='highest_weights'."
            )

    def explain(self, problem, request):
        """The `Result` of a `Problem` for a `Request`."""
        plan = self._plan(problem, request)
        total = len(plan.masks)
        progress = Progress(total, f"{len(problem.names)} {problem.what}s", request.verbose)
        scores, ask, next_look = None, problem.scores, 2 * self.batch_size
        converged = plan.exact if request.tolerance else None
        for start in range(0, total, self.batch_size):
            masks = plan.masks[start : start + self.batch_size]
            received = ask(masks, start)
            if scores is None:
                columns = received.shape[1]
                classes = request.choose(received[0])
                scores = np.empty((total, len(classes)))
                if problem.rough is not None and len(masks) < total:
                    ask = _checked_rough(problem, masks, received, classes)
            _check_columns(received, columns)
            done = start + len(received)
            scores[start:done] = received[:, classes]
            progress.advance(len(received))
            if request.tolerance and not plan.exact and done >= next_look:
                next_look = done + done // 4
                samples = self._samples(problem, plan, scores[:done], request)
                converged = bool(samples.error() <= request.tolerance)
                if converged:
                    break
        progress.close(f", converged after {done} of {total} samples" if converged else "")
        samples = self._samples(problem, plan, scores[:done], request)
        result = _fit(samples, classes, problem.origin, converged)
        if problem.names:
            warn_of_weakness(samples, result, problem.what)
        return result

    def _plan(self, problem, request):
        size, total = len(problem.names), request.num_samples
        ends = np.array([[True] * size, [False] * size])[: 1 + self.is_shapley]
        if size == 0:
            return _Plan(ends[:1], 1, True)
        if problem.repeatable and self._may_enumerate and size < 31 and 2**size <= total:
            return _Plan(sampling.every_subset(size), 0, True)
        masks = ends[:0]
        if size > 1 or not self.is_shapley:
            count = total - len(ends)
            masks = self._sampler(count, size, np.random.default_rng([request.seed, 0]))
            if masks.shape != (count, size) or masks.dtype != bool:
                raise ValueError(
                    f"Expected the sampler to return booleans of shape {(count, size)}, received "
                    f"{masks.dtype} of shape {masks.shape}."
                )
        return _Plan(np.concatenate([ends, masks]), len(ends), len(masks) == 0)

    def _samples(self, problem, plan, scores, request):
        masks = plan.masks[: len(scores)]
        features = masks.astype(float) if problem.features is None else problem.features(masks)
        kernel = self._kernel
        if self.is_shapley:
            kernel = sampling.shapley_weights if plan.exact else sampling.inner_weights
        changes = np.abs(features - (1.0 if problem.origin is None else problem.origin))
        weights = kernel(changes) if problem.names else np.ones(len(scores))
        if np.shape(weights) != (len(scores),) or not np.isfinite(weights).all():
            raise ValueError(
                f"Expected the kernel to return {len(scores)} finite weights, received shape "
                f"{np.shape(weights)}. It takes the table of changes, 0 for a feature as it is and "
                "1 for one that is out."
            )
        return Samples(
            features,
            scores,
            weights,
            problem.names,
            self.surrogate,
            request.num_features,
            plan.fixed,
            plan.exact,
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
        agreement = np.array([stability(one.weights, two.weights) for (one, _), (two, _) in halves])
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
        num_samples=len(samples.scores),
        converged=converged,
    )


def _checked_rough(problem, masks, exact, classes):
    """`problem.rough` if it gives nearly the exact scores of the first batch, else the exact."""
    exact = exact[:, classes]
    error = problem.rough(masks, 0)[:, classes] - exact
    noise = 1e-6 * np.abs(exact).max(axis=0)  # of a class whose score is constant
    if (error.std(axis=0) <= TRUSTED * exact.std(axis=0) + noise).all():
        return problem.rough
    warnings.warn(
        "LIME: scores in bfloat16 differ too much from exact ones; this explanation is computed "
        "in float32",
        stacklevel=4,
    )
    return problem.scores


def _check_columns(received, columns):
    if received.shape[1] != columns:
        raise ValueError(
            f"Expected {columns} scores per input, as for the first batch, received "
            f"{received.shape[1]}. If the model returns one number that is no probability, pass "
            "Predictor(model, binary=False)."
        )


def _named(argument, value, known):
    if isinstance(value, str) and value in known:
        return known[value]
    if callable(value):
        return value
    raise ValueError(
        f"Expected {argument} to be one of {sorted(known)} or a callable, received {value!r}."
    )
