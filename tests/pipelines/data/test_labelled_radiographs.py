"""A model is trained on the labels of the data set, with radiographs prepared as in the service."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.data.decode import decode_radiograph
from pipelines.data.label_files import InvalidLabels
from pipelines.data.labelled_radiographs import load_records, read_split
from pipelines.data.manifest import DatasetFile
from pipelines.data.radiograph_cache import RadiographCache
from pleura.errors import UnreadableRadiograph
from pleura.findings import FINDINGS
from pleura.local.dependencies import Server
from pleura.object_bucket import ChangedObject, NoSuchObject
from pleura.radiograph.reader import read_radiograph
from pleura.radiograph.tensor import to_tensor
from tests.support.pipelines.datasets import picture, record_of, row_of, store_of, write_folder


class _Counting:
    """Holds files in memory and counts the reads."""

    def __init__(self, *files: bytes) -> None:
        self.asked, self._files = 0, {hashlib.sha256(file).hexdigest(): file for file in files}

    def read(self, record: DatasetFile) -> bytes:
        self.asked += 1
        return self._files[record.sha256]


def test_samples_are_prepared_as_the_service_prepares_them(
    samples: Path, seaweed: Server, tmp_path: Path
) -> None:
    """DICOM, PNG and JPEG through the store and the cache give the tensors of the service."""
    store = store_of(seaweed)
    files = [path.read_bytes() for path in sorted(samples.glob("nih_*"))]
    records = [record_of(file, age=None) for file in files]
    for file in files:
        store.add(file)
    seen = load_records(records, RadiographCache(tmp_path, store.read).read)
    for tensor, file in zip(seen.tensors, files, strict=True):
        np.testing.assert_array_equal(tensor, to_tensor(read_radiograph(file, 10**8).pixels))
    assert list(seen.digests) == [each.sha256 for each in records]
    assert set(seen.views) == {"PA"}
    assert np.isnan(seen.ages).all()


def test_unknown_is_neither_present_nor_absent() -> None:
    """Labels have three values, in the order of the findings. A selection keeps the arrays in step."""
    record = record_of(picture(1), labels={"Hernia": True, "Edema": False})
    seen = load_records([record, record_of(picture(2))], _Counting(picture(1), picture(2)).read)
    assert seen.labels[0, FINDINGS.index("Hernia")] == 1
    assert seen.labels[0, FINDINGS.index("Edema")] == 0
    assert np.isnan(seen.labels[0]).sum() == 12
    part = seen.select(np.array([False, True]))
    assert len(part) == 1
    assert part.patients[0] == seen.patients[1]
    np.testing.assert_array_equal(part.tensors[0], seen.tensors[1])


def test_an_empty_split_is_empty() -> None:
    """Nothing is read, and the arrays have their shapes."""
    seen = load_records([], _Counting().read)
    assert seen.tensors.shape == (0, 224, 224)
    assert seen.labels.shape == (0, 14)


def test_a_cached_file_is_not_fetched_again(tmp_path: Path) -> None:
    """A damaged file in the cache is fetched again and replaced."""
    source, record = _Counting(picture(1)), record_of(picture(1))
    cache = RadiographCache(tmp_path / "new", source.read)
    assert cache.read(record) == cache.read(record) == picture(1)
    assert source.asked == 1
    (kept,) = (path for path in (tmp_path / "new").rglob("*") if path.is_file())
    kept.write_bytes(picture(1)[:50])
    assert cache.read(record) == cache.read(record) == picture(1)
    assert source.asked == 2


def test_an_unreadable_file_is_named_by_its_digest() -> None:
    """The loading stops, and the error names the file."""
    record = record_of(b"no radiograph")
    with pytest.raises(UnreadableRadiograph, match=record.sha256[:12]):
        load_records([record], _Counting(b"no radiograph").read)


def test_a_missing_file_leaves_nothing_behind(tmp_path: Path, seaweed: Server) -> None:
    """The cache holds neither a part of the file nor an empty file."""
    with pytest.raises(NoSuchObject):
        RadiographCache(tmp_path, store_of(seaweed).read).read(record_of(picture(1)))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_file_with_another_digest_is_not_cached(tmp_path: Path, seaweed: Server) -> None:
    """The digest of a fetched file is checked."""
    store = store_of(seaweed)
    key = store.add(picture(2))
    with pytest.raises(ChangedObject):
        RadiographCache(tmp_path, store.read).read(record_of(picture(1), key=key))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_webp_is_decoded_completely_or_refused(samples: Path) -> None:
    """A lossless file gives its pixels. A truncated or damaged file is refused."""
    pixels = decode_radiograph((samples / "nih_00000362_001.png").read_bytes())
    file = bytes(cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, 101])[1])
    np.testing.assert_array_equal(decode_radiograph(file), pixels)
    for damaged in (file[:-100], file[:16] + bytes(len(file) - 16)):
        with pytest.raises(UnreadableRadiograph, match="the WebP"):
            decode_radiograph(damaged)


def test_a_folder_is_read_by_split(tmp_path: Path) -> None:
    """``read_split`` gives the rows of the split with all columns of the label file."""
    folder = write_folder(tmp_path, [row_of("a.png", Hernia=""), row_of("b.png", "test", sex="", age="")])
    train, test = read_split(folder, "train"), read_split(folder, "test")
    np.testing.assert_array_equal(train.tensors[0], to_tensor(decode_radiograph(picture(0))))
    assert np.isnan(train.labels[0, FINDINGS.index("Hernia")])
    assert (train.sexes[0], train.ages[0], train.views[0]) == ("F", 40, "PA")
    assert train.digests[0] == hashlib.sha256(picture(0)).hexdigest()
    assert (test.sexes[0], list(test.paths)) == ("", ["b.png"])
    assert np.isnan(test.ages[0])
    (folder / "b.png").write_bytes(b"x")
    with pytest.raises(UnreadableRadiograph, match=r"b\.png is not a readable radiograph"):
        read_split(folder, "test")


def test_a_label_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """The error names a missing column, or the cell that is not a number."""
    folder = write_folder(tmp_path, [row_of("a.png", age="old")])
    with pytest.raises(InvalidLabels, match=r"age of a\.png is not a number"):
        read_split(folder, "train")
    assert read_split(folder, "val").labels.shape == (0, len(FINDINGS))
    labels = folder / "labels.csv"
    labels.write_text(labels.read_text().replace("Hernia", "Hernie"))
    with pytest.raises(InvalidLabels, match="there is no column Hernia"):
        read_split(folder, "train")
