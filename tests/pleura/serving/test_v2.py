"""Conversion between V2 bytes and arrays."""

import contextlib
import json

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from kserve import InferInput, InferRequest
from kserve.protocol.infer_type import RequestedOutput

from pleura.contract import TensorSpec
from pleura.errors import InvalidRequest, TooLarge
from pleura.serving.v2 import MAX_JSON_BYTES, make_response, read_request, select_outputs, write_response
from pleura.serving.v2_tensors import NUMPY_TYPES, Array, array_of_input, bytes_of_array, join_bytes

NUMERIC = sorted(set(NUMPY_TYPES) - {"BYTES"})
JSON_ABLE = sorted(set(NUMERIC) - {"FP16", "FP32", "FP64"})


def _body(*inputs: object, **fields: object) -> bytes:
    return json.dumps({"inputs": list(inputs), **fields}).encode()


def _input(**changes: object) -> dict[str, object]:
    return {"name": "x", "shape": [2], "datatype": "INT32", "data": [1, 2]} | changes


@st.composite
def tensors(draw: st.DrawFn, datatypes: list[str]) -> tuple[str, Array]:
    datatype = draw(st.sampled_from(datatypes))
    shape = draw(array_shapes(max_dims=3, max_side=4))
    return datatype, draw(arrays(np.dtype(NUMPY_TYPES[datatype]), shape))


@given(tensors(NUMERIC))
def test_a_binary_tensor_arrives_as_it_was_sent(tensor: tuple[str, Array]) -> None:
    """The binary extension keeps every bit of every datatype."""
    datatype, array = tensor
    raw = bytes_of_array(array)
    item = _input(datatype=datatype, shape=list(array.shape), parameters={"binary_data_size": len(raw)})
    item.pop("data")
    head = _body(item)
    request = read_request(head + raw, len(head), "m", None)
    assert array_of_input(request.inputs[0]).tobytes() == array.tobytes()


@given(tensors(JSON_ABLE))
def test_a_json_tensor_arrives_as_it_was_sent(tensor: tuple[str, Array]) -> None:
    """Nested lists give the same array as flat ones, whatever integer type or boolean they hold."""
    datatype, array = tensor
    for data in (array.tolist(), array.ravel().tolist()):
        item = _input(datatype=datatype, shape=list(array.shape), data=data)
        body = _body(item)
        np.testing.assert_array_equal(array_of_input(read_request(body, None, "m", None).inputs[0]), array)


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_bytes_elements_may_hold_any_bytes(elements: list[bytes]) -> None:
    """A BYTES element carries any file."""
    raw = join_bytes(elements)
    item = _input(datatype="BYTES", shape=[len(elements)], parameters={"binary_data_size": len(raw)})
    item.pop("data")
    head = _body(item)
    request = read_request(head + raw, len(head), "m", None)
    assert array_of_input(request.inputs[0]).tolist() == elements


@given(st.binary(max_size=200), st.none() | st.integers(-5, 300))
def test_any_body_is_a_request_or_invalid(body: bytes, json_length: int | None) -> None:
    """Nothing that a client sends raises anything but InvalidRequest."""
    with contextlib.suppress(InvalidRequest):
        read_request(body, json_length, "m", None)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["name", "shape", "datatype", "data", "parameters"]), json_values))
def test_any_input_is_an_array_or_invalid(item: dict[str, object]) -> None:
    """An input with odd members gives an array or InvalidRequest."""
    try:
        for infer_input in read_request(orjson.dumps({"inputs": [item]}), None, "m", None).inputs:
            array_of_input(infer_input)
    except InvalidRequest:
        pass


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "the body is empty"),
        (b"{", "not JSON"),
        (b"[]", "JSON object"),
        (b"{}", "'inputs'"),
        (_body(_input(shape=[3])), "shape"),
        (_body(_input(shape=[-2])), "shape"),
        (_body(_input(datatype="TEXT")), "datatype"),
        (_body(_input(data=[1.5, 2])), "integers"),
        (_body(_input(data=[1, 2**40])), "fit"),
        (_body(_input(data=["a", "b"])), "numbers"),
        (_body(_input(datatype="BYTES", data=[1, 2])), "strings"),
        (_body(_input(), id=7), "'id'"),
        (_body(_input(), outputs=[{"name": 1}]), "'name'"),
        (_body(_input(parameters={"binary_data_size": 9})), "binary_data_size"),
    ],
)
def test_an_invalid_request_names_its_fault(body: bytes, says: str) -> None:
    """The error of each malformed request names the faulty part."""
    with pytest.raises(InvalidRequest, match=says):
        array_of_input(read_request(body, None, "m", None).inputs[0])


def test_bytes_after_the_inputs_are_refused() -> None:
    """A body that is longer than its inputs is invalid."""
    head = _body(_input())
    with pytest.raises(InvalidRequest, match="longer"):
        read_request(head + b"more", len(head), "m", None)


def _request(*outputs: RequestedOutput, **parameters: bool) -> InferRequest:
    return InferRequest("m", [], "7", parameters=parameters, request_outputs=list(outputs))


def test_outputs_are_binary_on_request() -> None:
    """The request's default and each output's parameter choose between JSON and binary."""
    arrays_ = {"a": np.arange(3, dtype=np.float32), "b": np.array([True, False])}
    request = _request(
        RequestedOutput("a"), RequestedOutput("b", {"binary_data": False}), binary_data_output=True
    )
    content, length = write_response(make_response(request, "1", arrays_), request)
    document = json.loads(content[:length])
    assert document["outputs"][0]["parameters"] == {"binary_data_size": 12}
    assert content[length:] == arrays_["a"].tobytes()
    assert document["outputs"][1]["data"] == [True, False]
    assert (document["id"], document["model_version"]) == ("7", "1")


def test_outputs_are_selected_by_name() -> None:
    """Without a selection the default outputs are returned. An unknown or repeated output is invalid."""
    specs = [TensorSpec("a", "FP32", (-1,)), TensorSpec("b", "FP32", (-1,))]
    assert select_outputs(_request(), specs, ("a",)) == ("a",)
    assert select_outputs(_request(RequestedOutput("b")), specs, ("a",)) == ("b",)
    for names in (["c"], ["a", "a"]):
        with pytest.raises(InvalidRequest):
            select_outputs(_request(*map(RequestedOutput, names)), specs, ("a",))


def test_raw_grpc_contents_are_checked() -> None:
    """Raw contents that end within an element are invalid."""
    for datatype, raw in (("INT32", b"123"), ("BYTES", b"\x05\x00\x00\x00ab"), ("BYTES", b"\x05")):
        infer_input = InferInput("x", [1], datatype)
        infer_input._raw_data = raw
        with pytest.raises(InvalidRequest):
            array_of_input(infer_input)


def test_the_json_part_has_a_limit() -> None:
    """A JSON part that would hold up the event loop is too large. The same bytes as binary data are fine."""
    with pytest.raises(TooLarge, match="binary"):
        read_request(b" " * (MAX_JSON_BYTES + 1), None, "m", None)
    raw = join_bytes([b"x" * (MAX_JSON_BYTES + 1)])
    item = _input(datatype="BYTES", shape=[1], parameters={"binary_data_size": len(raw)})
    item.pop("data")
    head = _body(item)
    assert array_of_input(read_request(head + raw, len(head), "m", None).inputs[0]).size == 1


def test_elements_beyond_the_shape_are_not_read() -> None:
    """Of millions of empty elements under a shape of one, the second is already an error."""
    for data in ([""] * 3, [[""], [""]]):
        with pytest.raises(InvalidRequest, match="more elements"):
            array_of_input(InferInput("x", [1], "BYTES", data=data))
    infer_input = InferInput("x", [1], "BYTES")
    infer_input._raw_data = bytes(4 * 1000)
    with pytest.raises(InvalidRequest, match="more elements"):
        array_of_input(infer_input)
