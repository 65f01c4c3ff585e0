"""Pictures that show no chest film are read from a folder by kind and split."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.data.label_files import InvalidLabels
from pipelines.data.not_chest import read_not_chest
from pleura.errors import UnreadableRadiograph


def write_folder(folder: Path, *rows: str, header: str = "path,kind,split,licence,origin") -> Path:
    cv2.imwrite(str(folder / "hand.png"), np.random.default_rng(0).integers(0, 256, (60, 40), np.uint8))
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "images.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def test_pictures_are_read_by_kind_and_split(tmp_path: Path) -> None:
    """Only those of the split, as the network reads them."""
    rows = ("hand.png,hand,train,CC0,", "hand.png,hand,train,CC0,", "hand.png,leg,test,CC0,")
    folder = write_folder(tmp_path, *rows)
    found = read_not_chest(folder, "train")
    assert {kind: each.shape for kind, each in found.items()} == {"hand": (2, 224, 224)}
    assert list(read_not_chest(folder, "test")) == ["leg"]
    assert read_not_chest(folder, "val") == {}


def test_a_missing_column_and_a_broken_picture_are_named(tmp_path: Path) -> None:
    """A user can correct what the error names."""
    folder = write_folder(tmp_path, "broken.png,hand,train,CC0,")
    with pytest.raises(UnreadableRadiograph, match=r"broken\.png"):
        read_not_chest(folder, "train")
    with pytest.raises(InvalidLabels, match="no column licence"):
        read_not_chest(write_folder(tmp_path, header="path,kind,split"), "train")
