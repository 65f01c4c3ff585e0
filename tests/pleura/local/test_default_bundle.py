"""The folder of the bundle that the stack serves by default."""

from pathlib import Path

import pytest

from pleura.local.default_bundle import choose_bundle_folder, name_bundle
from pleura.local.processes import StartFailed


def test_a_given_bundle_is_served(tmp_path: Path) -> None:
    """Otherwise the bundle has a folder of its own among the others."""
    given = tmp_path / "given"
    assert choose_bundle_folder(given, tmp_path / "bundles") == given
    assert choose_bundle_folder(None, tmp_path / "bundles").parent == tmp_path / "bundles"


@pytest.mark.parametrize("changed", ["source/source.json", "source/weights.npz", "code/graph.py"])
def test_another_source_or_other_code_makes_another_bundle(tmp_path: Path, changed: str) -> None:
    """The name follows each file of the source, and the code. Without a file the start is refused."""
    names = ("source/source.json", "source/weights.npz", "code/graph.py", "code/network.py")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    source, code = tmp_path / "source", tmp_path / "code"
    before = name_bundle(source, code)
    assert name_bundle(source, code) == before
    (tmp_path / changed).write_text("changed")
    assert name_bundle(source, code) != before
    (source / "weights.npz").unlink()
    with pytest.raises(StartFailed, match="there is no"):
        name_bundle(source, code)
