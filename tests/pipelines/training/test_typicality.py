"""Typicality by features."""

import numpy as np

from pipelines.training.typicality import fit_typicality


def test_typicality_is_uniform_for_known_and_zero_for_strange_radiographs() -> None:
    """Held-out features of the same kind spread over [0, 1]. Far features get 0, and the centre gets 1."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(300, 1024)) * np.linspace(2, 0.1, 300)[:, None]

    def draw(n: int) -> np.ndarray:
        return rng.normal(size=(n, 300)) @ mixing + rng.normal(0, 0.1, (n, 1024))

    fitted = fit_typicality(draw(1500), draw(400))
    shares = fitted.share_farther(draw(400))
    assert 0.4 < shares.mean() < 0.6
    assert fitted.share_farther(draw(5) + 30 * rng.normal(size=1024)).max() == 0
    assert fitted.share_farther(fitted.mean[None]).tolist() == [1.0]
