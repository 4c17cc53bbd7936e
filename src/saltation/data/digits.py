"""Handwritten digits of scikit-learn (1,797 images of 8 x 8 pixels), latency coded: a brighter pixel spikes earlier."""

import numpy as np

from saltation.data.events import TEST, TRAIN, VALIDATION, EventDataset
from saltation.data.latency import check_window, encode_latency
from saltation.extras import need

FULL_SCALE = 16.0


def digits(
    *,
    t_early: float = 0.15,
    t_late: float = 2.0,
    duration: float = 6.0,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> EventDataset:
    """Digits with one spike per lit pixel at t_late - value / 16 * (t_late - t_early), in units of tau_syn.

    A black pixel (value 0) does not spike. 64 channels (row by row), 10 classes.
    validation, test  fractions of all images, stratified by class and drawn with `seed`

    Raises ValueError for times out of order or fractions that leave no training images, MissingPackageError without
    scikit-learn.
    """
    need("digits", "the data set digits")
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    check_window(t_early, t_late, duration)
    if not (0 < validation < 1 and 0 < test < 1 and validation + test < 1):
        raise ValueError(f"validation is {validation}, test {test}; both must be positive and their sum below 1")
    images, labels = load_digits(return_X_y=True)
    times = np.where(images > 0, t_late - images / FULL_SCALE * (t_late - t_early), np.inf)
    split = np.full(len(labels), TRAIN)
    rest, test_samples = train_test_split(np.arange(len(labels)), test_size=test, stratify=labels, random_state=seed)
    _, validation_samples = train_test_split(
        rest, test_size=validation / (1 - test), stratify=labels[rest], random_state=seed
    )
    split[test_samples] = TEST
    split[validation_samples] = VALIDATION
    names = tuple(str(digit) for digit in range(10))
    return encode_latency(times, labels, split, duration, names, "scikit-learn digits")
