"""Files of PyTorch are read as PyTorch reads them. Files that would run or allocate something are refused."""

import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.imported.state import find_arrays
from pipelines.imported.torch_file import read_checkpoint, read_file
from pipelines.imported.unpickle import InertObject, UnreadableCheckpoint, UnsafeCheckpoint
from proof.lab.torch_writer import (
    Global,
    Made,
    PickledCall,
    legacy_file,
    module,
    pickled,
    state_dict,
    storage,
    tensor,
    zip_file,
)

HERE = Path(__file__).parents[2] / "data" / "imported"
WHOLE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
SMALL: dict[str, np.ndarray[Any, Any]] = {
    "whole": WHOLE,
    "transposed": WHOLE.transpose(2, 0, 1),
    "part": WHOLE[1, 1:, ::2],
    "half": np.array([0.5, -2.0], np.float16),
    "double": np.array([[0.1]]),
    "bfloat16": np.array([1.5, -3.0, 256.0], np.float32),
    "count": np.array(7),
    "parameter": np.ones((2, 2), np.float32),
    "empty": np.zeros((0, 3), np.float32),
}
ONE = {"a": np.ones(4, np.float32)}


def read(data: bytes) -> dict[str, Any]:
    return find_arrays(read_checkpoint(data))


@pytest.mark.parametrize("file", ["small.pt", "small_legacy.pt"])
def test_files_of_pytorch_are_read_exactly(file: str) -> None:
    """Types, strides, offsets and shared storages are right, in both formats of PyTorch."""
    state = read((HERE / file).read_bytes())
    assert state.keys() == SMALL.keys()
    for name, expected in SMALL.items():
        np.testing.assert_array_equal(state[name], expected)
        assert state[name].dtype == expected.dtype


def test_a_whole_module_in_a_training_checkpoint_is_read() -> None:
    """Its classes are not imported. Its arrays have the names of PyTorch's state dict."""
    state = read((HERE / "module_legacy.pt").read_bytes())
    numbers = {name: float(array.flat[0]) for name, array in state.items()}
    assert numbers == {
        "module.0.weight": 0.5,
        "module.1.weight": 1.5,
        "module.1.bias": 2.5,
        "module.1.running_mean": 0.0,
        "module.1.running_var": 1.0,
        "module.1.num_batches_tracked": 0.0,
    }


@pytest.mark.parametrize("write", [zip_file, legacy_file])
def test_files_of_the_test_writer_are_read(write: Any) -> None:
    """A state dict and a module of the same arrays give the same, wrapped or not."""
    counts: np.ndarray[Any, Any] = np.array([2, 3], np.int64)
    arrays = {"features.conv0.weight": WHOLE, "features.norm0.running_var": counts}
    for content in (state_dict(arrays), module(arrays), {"epoch": 1, "state_dict": state_dict(arrays)}):
        state = read(write(content, arrays))
        assert state.keys() == arrays.keys()
        np.testing.assert_array_equal(state["features.conv0.weight"], WHOLE)


class _Runs:
    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> Any:
        return exec, (f"open({str(self._marker)!r}, 'w').close()",)


@pytest.mark.parametrize("protocol", range(5))
def test_a_pickle_that_runs_code_runs_nothing(tmp_path: Path, protocol: int) -> None:
    """Code that Python's own unpickler runs is refused in every protocol, in a zip file and alone."""
    marker = tmp_path / "ran"
    hostile = pickle.dumps({"state_dict": _Runs(marker)}, protocol)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", hostile)
    for data in (file.getvalue(), hostile):
        with pytest.raises(UnreadableCheckpoint):
            read_checkpoint(data)
    assert not marker.exists()
    pickle.loads(hostile)
    assert marker.exists()  # so it was hostile


@pytest.mark.parametrize(
    "called",
    [
        Global("os", "system"),
        Global("posix", "system"),
        Global("builtins", "eval"),
        Global("builtins", "getattr"),
        Global("torch.hub", "load"),
        Global("torch._utils", "_rebuild_tensor_v2.__globals__"),
        Global("copyreg", "_reconstructor"),
        PickledCall(Global("collections", "OrderedDict"), ()),
        "a string",
    ],
)
def test_all_other_calls_are_refused(called: Any) -> None:
    """A file may only call functions that rebuild tensors. The error names the function."""
    for write in (zip_file, legacy_file):
        with pytest.raises(UnsafeCheckpoint, match="would call"):
            read_checkpoint(write({"a": PickledCall(called, ("id",))}, {}))


@pytest.mark.parametrize("operation", [b"i", b"o", b"P", b"\x82", b"\x92", b"S", b"\x97"])
def test_operations_that_torch_save_never_writes_are_refused(operation: bytes) -> None:
    """Old instances, extensions and out-of-band buffers are refused."""
    with pytest.raises(UnreadableCheckpoint):
        read_checkpoint(zip_file(b"(" + operation + b"os\nsystem\n", {}))


@pytest.mark.parametrize(
    "operations",
    [
        b"]" * 200_000 + b"a" * 199_999,
        b")" + b"\x85" * 200_000,
        b"}" + b")" + b"\x85" * 200_000 + b"Ns",
        b"\x8e" + struct.pack("<Q", 1 << 40),
        b"\x8b" + struct.pack("<i", (1 << 31) - 1),
        b"]" + b"q\x00(h\x00h\x00el(" * 100,
        b"cos\nsystem\n}X\x04\x00\x00\x00pathNsb",
        b"cos\nsystem\n)\x81}X\x04\x00\x00\x00pathNsb",
        b"cos\nsystem\n)\x81N}X\x05\x00\x00\x00stateNs\x86b",
        b"(cos\nsystem\no",
        b"cos\nsystem\n)}\x92",
    ],
    ids=[
        *("nested lists", "nested tuples", "nested key", "a terabyte", "a long number", "a list of itself"),
        *("build of a class", "build of an object", "slots of an object", "obj", "newobj_ex"),
    ],
)
def test_hostile_operations_end_in_a_value_or_a_refusal(operations: bytes) -> None:
    """Nothing is called, little memory is used, and this process does not crash."""
    try:
        content = read_checkpoint(zip_file(operations, {})).content
    except UnreadableCheckpoint:
        return
    assert isinstance(content, list | InertObject)


def test_the_class_of_an_object_is_never_imported() -> None:
    """An object of any class is inert. Only its state can be read."""
    content = read_checkpoint(zip_file(Made(Global("antigravity", "fly"), {"args": "id"}), {})).content
    assert content.state == {"args": "id"}


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "length"),
    [
        (0, (5,), (1,), 4),
        (1, (4,), (1,), 4),
        (0, (2, 2), (3, 1), 4),
        (-1, (2,), (1,), 4),
        (0, (2,), (-1,), 4),
        (0, (-2,), (1,), 4),
        (0, (1 << 20, 1 << 20), (0, 0), 4),
        (0, (1 << 62,), (1,), 1 << 62),
        (0, (2,), (1, 1), 4),
        (0, (1,) * 70, (1,) * 70, 4),
        ("0", (2,), (1,), 4),
        (0, (None,), (1,), 4),
        (0, (1000,), (1,), 1000),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(offset: Any, shape: Any, strides: Any, length: Any) -> None:
    """No memory outside the storage is read, and no memory is allocated that the file does not fill."""
    content = {"a": tensor(storage("0", "FloatStorage", length), offset, shape, strides)}
    for write in (zip_file, legacy_file):
        with pytest.raises(UnreadableCheckpoint):
            read(write(content, ONE))


def test_a_compressed_archive_is_refused() -> None:
    """torch.save never compresses. A bomb is refused before it is unpacked."""
    zeros = {"a": np.zeros(10_000_000, np.float32)}
    bomb = zip_file(state_dict(zeros), zeros, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    with pytest.raises(UnreadableCheckpoint, match="compressed"):
        read_checkpoint(bomb)


def test_entries_that_overlap_are_refused() -> None:
    """Entries cannot multiply the bytes of a file."""
    large = {"a": np.ones(10_000, np.float32)}
    data = zip_file(state_dict(large), large)
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    directory, tail = data[start:end], bytearray(data[end:])
    name = directory.index(b"archive/data/0")
    entry = directory[name - 46 : name + len(b"archive/data/0")]
    copies = [entry.replace(b"data/0", b"data/" + bytes([48 + i])) for i in range(1, 75)]
    tail[8:16] = struct.pack("<HHI", 3 + 74, 3 + 74, len(directory) + 74 * len(entry))
    with pytest.raises(UnreadableCheckpoint, match="overlap"):
        read_checkpoint(data[:start] + directory + b"".join(copies) + bytes(tail))


def test_a_storage_named_like_a_path_reads_no_file(tmp_path: Path) -> None:
    """A key is looked up among the entries of the archive only."""
    (tmp_path / "secret").write_bytes(bytes(16))
    for key in ("../../version", str(tmp_path / "secret")):
        content = {"a": tensor(storage(key, "FloatStorage", 4), 0, (4,), (1,))}
        with pytest.raises(UnreadableCheckpoint, match="damaged"):
            read(zip_file(content, ONE))


def test_modules_that_contain_each_other_are_refused() -> None:
    """The depth and the number of modules are limited."""
    # A module whose only child is itself: memoised (q\x01) and fetched (h\x01) as its own child.
    loop = b"cm\nM\n)\x81q\x01}(" + b"X\x08\x00\x00\x00_modules" + b"}(X\x01\x00\x00\x00ah\x01u" + b"ub"
    with pytest.raises(UnreadableCheckpoint, match="contain each other"):
        read(zip_file(loop, {}))


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04", b"\x80\x02.", pickled({"a": 1}), b"ustar" * 200, zip_file({"epoch": 1}, {})],
    ids=["nothing", "zip", "pickle", "plain", "tar", "no network"],
)
def test_other_files_are_refused(data: bytes) -> None:
    """A file that is not a checkpoint of a network is refused."""
    with pytest.raises(UnreadableCheckpoint):
        read(data)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The error has the reason of the operating system."""
    with pytest.raises(UnreadableCheckpoint, match="No such file"):
        read_file(tmp_path / "none.pt")


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["small.pt", "small_legacy.pt", "module_legacy.pt"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
    st.none() | st.floats(0, 1),
)
def test_a_damaged_file_is_read_or_refused(
    file: str, changes: list[tuple[float, int]], cut: float | None
) -> None:
    """Any damage gives arrays or this one exception."""
    data = bytearray((HERE / file).read_bytes())
    for place, value in changes:
        data[int(place * len(data))] = value
    if cut is not None:
        del data[int(cut * len(data)) :]
    try:
        state = read(bytes(data))
    except UnreadableCheckpoint:
        return
    assert all(isinstance(array, np.ndarray) for array in state.values())
