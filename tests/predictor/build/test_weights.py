"""Reading weights: an invalid array is refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictor.build.weights import InvalidSource, read_weights
from proof.lab.bundles import make_head_arrays, save_weights


def write(folder: Path, **changed: Any) -> Path:
    arrays: dict[str, Any] = make_head_arrays(8) | {"stem_conv/kernel": np.ones((7, 7, 1, 64), np.float16)}
    arrays |= {name.replace("__", "/"): array for name, array in changed.items()}
    save_weights(folder, {name: array for name, array in arrays.items() if array is not None})
    return folder


def test_the_head_is_separated_from_the_network(tmp_path: Path) -> None:
    """All other arrays belong to the network, and all arrays become float32."""
    weights = read_weights(write(tmp_path))
    assert set(weights.network) == {"stem_conv/kernel"}
    assert weights.network["stem_conv/kernel"].dtype == np.float32
    assert weights.head.typicality.quantiles.shape == (101,)
    assert weights.head.input_check is not None


def test_weights_of_an_earlier_version_have_no_input_check(tmp_path: Path) -> None:
    """They are read as before."""
    absent = {"input_check__kernel": None, "input_check__bias": None}
    assert read_weights(write(tmp_path, **absent)).head.input_check is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"head__bias": None}, "lack 'head/bias'"),
        ({"head__bias": np.ones(13)}, r"'head/bias' has the shape \[13\]"),
        ({"head__kernel": np.full((8, 14), np.nan)}, "'head/kernel' holds values that are not finite"),
        ({"typicality__quantiles": np.zeros(101)}, "do not increase"),
        ({"typicality__variances": np.zeros(4)}, "not positive"),
        ({"typicality__components": np.zeros((7, 4))}, "'typicality/components'"),
        ({"input_check__bias": None}, "lack 'input_check/bias'"),
        ({"input_check__kernel": np.zeros((8, 4))}, r"'input_check/kernel' has the shape \[8, 4\]"),
    ],
)
def test_wrong_weights_are_refused_by_name(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    """An array that is missing, has a wrong shape or invalid values is named."""
    with pytest.raises(InvalidSource, match=message):
        read_weights(write(tmp_path, **changed))


def test_a_file_that_is_not_an_archive_is_refused(tmp_path: Path) -> None:
    """Anything but an ``npz`` file is refused."""
    (tmp_path / "weights.npz").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(InvalidSource, match="cannot be read"):
        read_weights(tmp_path)
