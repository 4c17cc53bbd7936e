"""Which samples train, validate and are tested, where the recording does not say."""

import numpy as np

from saltation.data.events import TEST, TRAIN, VALIDATION

TESTED, VALIDATING = 0.2, 0.1  # fractions of all samples or, by groups, of the groups
FEWEST_GROUPS = 3


def draw_split(labels: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, str]:
    """(S,) codes, and what was done. By whole groups, the last in order being tested, where there are enough of them
    and the rest has every class; else at random, class by class, always the same.
    """
    if groups is not None:
        order = np.unique(groups)
        count = max(1, round(TESTED * len(order)))
        validating = max(1, round(VALIDATING * len(order)))
        if len(order) >= max(FEWEST_GROUPS, count + validating + 1):
            tested, chosen = order[-count:], order[-count - validating : -count]
            split = np.where(np.isin(groups, tested), TEST, np.where(np.isin(groups, chosen), VALIDATION, TRAIN))
            if len(np.unique(labels[split == TRAIN])) == len(np.unique(labels)):
                words = [", ".join(map(str, part.tolist())) for part in (tested, chosen)]
                return split, f"split by group: {words[0]} tested, {words[1]} for validation, {len(order)} in all"
    rng = np.random.default_rng(0)
    split = np.full(len(labels), TRAIN)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        split[members[: min(round(TESTED * len(members)), len(members) - 1)]] = TEST
    return split, f"split at random, class by class: {np.mean(split == TEST):.0%} are tested"
