"""Groups of explanations that look at the same places."""

import numpy as np

MOST = 3000  # explanations of a class that are clustered; the others join the nearest
NEIGHBORS = 5


def group(shares, smallest, seed=0):
    """The groups among the explanations of one class, by density (HDBSCAN).

    The number of groups is found, and explanations that resemble no others belong to none.

    Args:
        shares: (N, cells), as from `pool`.
        smallest: the fewest explanations that are a group.
        seed: of the choice where there are more than `MOST`.

    Returns:
        The number of each explanation's group (N,), -1 for none.
    """
    from sklearn.cluster import HDBSCAN
    from sklearn.neighbors import NearestNeighbors

    count = len(shares)
    if count < 2 * smallest:
        return np.full(count, -1)
    points = np.sqrt(shares)
    chosen = np.arange(count)
    if count > MOST:
        chosen = np.sort(np.random.default_rng(seed).choice(count, MOST, replace=False))
    found = HDBSCAN(min_cluster_size=smallest, min_samples=min(NEIGHBORS, smallest),
                    copy=True).fit_predict(points[chosen])
    if count <= MOST:
        return found
    nearest = NearestNeighbors(n_neighbors=1).fit(points[chosen])
    return found[nearest.kneighbors(points, return_distance=False)[:, 0]]
