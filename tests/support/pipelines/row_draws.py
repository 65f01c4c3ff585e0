"""A plain bootstrap over patients, row by row: the second implementation that tests compare ours with."""

import numpy as np


def draw_rows(patients: np.ndarray, rounds: int, seed: int) -> list[np.ndarray]:
    """Draw row indices by drawing patients with replacement; a patient's radiographs stay together."""
    rng = np.random.default_rng(seed)
    _, group = np.unique(patients, return_inverse=True)
    rows = [np.flatnonzero(group == number) for number in range(group.max() + 1)]
    return [np.concatenate([rows[g] for g in rng.integers(len(rows), size=len(rows))]) for _ in range(rounds)]
