"""Conversion between tensors of the V2 protocol and numpy arrays: datatypes, shapes, BYTES, raw contents."""

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pleura.errors import InvalidRequest
from pleura.serving.kserve_import import InferInput

NUMPY_TYPES: Final[Mapping[str, type[Any]]] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
Array = NDArray[Any]
_KNOWN_INPUTS: Final = frozenset({"image_id", "image", "radiograph"})


def _split_bytes(raw: bytes | memoryview, max_count: int) -> list[bytes]:
    elements: list[bytes] = []
    offset = 0
    while offset < len(raw):
        if len(elements) == max_count:
            raise InvalidRequest("a BYTES tensor has more elements than its shape says")
        if offset + 4 > len(raw):
            raise InvalidRequest("a BYTES tensor ends within a length")
        (length,) = struct.unpack_from("<I", raw, offset)
        offset += 4
        if offset + length > len(raw):
            raise InvalidRequest("a BYTES tensor ends within an element")
        elements.append(bytes(raw[offset : offset + length]))
        offset += length
    return elements


def join_bytes(elements: Sequence[bytes]) -> bytes:
    """Encode BYTES elements for the binary extension and gRPC raw contents."""
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def _make_object_array(elements: Sequence[bytes]) -> Array:
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    return array


def _from_raw(raw: bytes | memoryview, datatype: str, max_count: int) -> Array:
    if datatype == "BYTES":
        return _make_object_array(_split_bytes(raw, max_count))
    dtype = np.dtype(NUMPY_TYPES[datatype])
    if len(raw) % dtype.itemsize:
        raise InvalidRequest(f"{len(raw)} bytes are no whole number of {datatype} elements")
    return np.frombuffer(raw, dtype)


def _flatten(data: list[Any], max_count: int) -> list[Any]:
    flat: list[Any] = []
    # not by recursion: the caller decides how deep the lists are
    stack = [iter(data)]
    while stack:
        for element in stack[-1]:
            if isinstance(element, list):
                stack.append(iter(element))
                break
            if len(flat) == max_count:
                raise InvalidRequest("a tensor has more elements than its shape says")
            flat.append(element)
        else:
            stack.pop()
    return flat


def _from_list(data: list[Any], datatype: str, max_count: int) -> Array:
    flat = _flatten(data, max_count)
    if datatype == "BYTES":
        if not all(isinstance(element, str | bytes) for element in flat):
            raise InvalidRequest("BYTES elements must be strings; send files as binary data, not as base64")
        return _make_object_array([e.encode() if isinstance(e, str) else e for e in flat])
    if not all(isinstance(element, int | float) for element in flat):
        raise InvalidRequest(f"{datatype} elements must be numbers")
    dtype = np.dtype(NUMPY_TYPES[datatype])
    if dtype.kind in "iu" and not all(type(e) is int for e in flat):
        raise InvalidRequest(f"{datatype} elements must be integers")
    try:
        return np.array(flat, dtype)
    except (OverflowError, ValueError, TypeError) as error:
        raise InvalidRequest(f"an element does not fit {datatype}") from error


def quote_name(name: str) -> str:
    """Name an input in an error text; an unknown name is left out, since it may be a patient's name."""
    return f"input {name!r}" if name in _KNOWN_INPUTS else "an input"


def require_datatype(name: str, datatype: str) -> None:
    """Require a datatype of V2 in its exact spelling.

    Raises:
        InvalidRequest: V2 has no such datatype.
    """
    if datatype not in NUMPY_TYPES:
        raise InvalidRequest(f"{quote_name(name)} has an unknown datatype")


def array_of_input(infer_input: InferInput) -> Array:
    """Convert an input to an array of its declared shape.

    Raises:
        InvalidRequest: Unknown datatype, elements of another type, or a shape that does not fit them.
    """
    name, datatype = infer_input.name, infer_input.datatype
    require_datatype(name, datatype)
    if isinstance(infer_input.data, np.ndarray):
        return infer_input.data
    raw = infer_input._raw_data
    shape = tuple(infer_input.shape)
    if any(size < 0 for size in shape):
        raise InvalidRequest(f"the shape {list(shape)} of {quote_name(name)} is negative")
    # known before the elements are read: a body of millions of empty elements holds up all other requests
    count = math.prod(shape)
    flat = _from_list(infer_input.data, datatype, count) if raw is None else _from_raw(raw, datatype, count)
    if count != flat.size:
        raise InvalidRequest(
            f"{quote_name(name)} has {flat.size} elements, its shape {list(shape)} says otherwise"
        )
    return flat.reshape(shape)


def bytes_of_array(array: Array) -> bytes:
    """Encode an array for the binary extension and gRPC raw contents: row-major, little-endian."""
    return join_bytes(array.ravel().tolist()) if array.dtype == np.object_ else array.tobytes()
