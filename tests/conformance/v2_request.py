"""An inference request as a value, and its encodings in REST and gRPC."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

MODEL = "chest-xray"
_NUMPY_TYPES = {"FP32": "<f4", "UINT8": "u1", "INT64": "<i8", "BOOL": "?"}
_TYPED_FIELDS = {
    "BYTES": "bytes_contents",
    "FP32": "fp32_contents",
    "UINT8": "uint_contents",
    "INT64": "int64_contents",
    "BOOL": "bool_contents",
}
Parameters = Mapping[str, str | int | bool]


@dataclass(frozen=True)
class Tensor:
    """An input. Without ``shape``, its shape is the number of its elements."""

    name: str = "image_id"
    elements: tuple[Any, ...] = ("r0.png",)
    datatype: str = "BYTES"
    shape: tuple[int, ...] | None = None
    parameters: Parameters = field(default_factory=dict)

    @property
    def dimensions(self) -> list[int]:
        """The shape that the request states."""
        return [len(self.elements)] if self.shape is None else list(self.shape)

    @property
    def is_text(self) -> bool:
        """Whether JSON can represent every element."""
        return not any(isinstance(element, bytes) for element in self.elements)

    @property
    def has_consistent_shape(self) -> bool:
        """Whether the shape matches the number of elements, as clients require that check it."""
        sizes = self.dimensions
        return all(size >= 0 for size in sizes) and int(np.prod(sizes)) == len(self.elements)

    @property
    def byte_elements(self) -> list[bytes]:
        """The elements of a BYTES tensor as bytes."""
        return [e if isinstance(e, bytes) else str(e).encode() for e in self.elements]

    @property
    def raw(self) -> bytes:
        """The elements in the format of the binary extension."""
        if self.datatype in _NUMPY_TYPES:
            return np.array(self.elements, _NUMPY_TYPES[self.datatype]).tobytes()
        return b"".join(struct.pack("<I", len(e)) + e for e in self.byte_elements)

    @property
    def array(self) -> np.ndarray[Any, Any]:
        """The elements as a NumPy array."""
        if self.datatype in _NUMPY_TYPES:
            return np.array(self.elements, _NUMPY_TYPES[self.datatype]).reshape(self.dimensions)
        array = np.empty(len(self.elements), np.object_)
        array[:] = self.byte_elements
        return array.reshape(self.dimensions)


@dataclass(frozen=True)
class V2Request:
    """The content of a request, independent of its transport."""

    inputs: tuple[Tensor, ...] = (Tensor(),)
    outputs: tuple[str, ...] = ()
    id: str = ""
    version: str = ""
    model: str = MODEL
    parameters: Parameters = field(default_factory=dict)

    @property
    def default_outputs(self) -> tuple[str, ...]:
        """The outputs that the transformer or the predictor returns if the request names none."""
        if any(each.name == "radiograph" for each in self.inputs):
            return ("probability", "threshold", "typicality", "distance", "input_flags")
        return ("probability", "present", "typicality", "threshold")

    @property
    def path(self) -> str:
        """The path of the request in REST."""
        version = f"/versions/{self.version}" if self.version else ""
        return f"/v2/models/{self.model}{version}/infer"

    def _build_document(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        document: dict[str, Any] = {"inputs": inputs}
        if self.id:
            document["id"] = self.id
        if self.outputs:
            document["outputs"] = [{"name": name} for name in self.outputs]
        if self.parameters:
            document["parameters"] = dict(self.parameters)
        return document

    def encode_json(self) -> tuple[bytes, list[tuple[str, str]]]:
        """Encode body and headers of REST JSON."""
        inputs = [_describe(each) | {"data": list(each.elements)} for each in self.inputs]
        return json.dumps(self._build_document(inputs)).encode(), [("content-type", "application/json")]

    def encode_binary(self) -> tuple[bytes, list[tuple[str, str]]]:
        """Encode body and headers of REST with binary inputs and outputs."""
        inputs = []
        for each in self.inputs:
            size = {"binary_data_size": len(each.raw)}
            inputs.append(_describe(each) | {"parameters": {**each.parameters, **size}})
        document = self._build_document(inputs)
        document["parameters"] = {"binary_data_output": True, **self.parameters}
        head = json.dumps(document).encode()
        headers = [
            ("content-type", "application/octet-stream"),
            ("inference-header-content-length", str(len(head))),
        ]
        return head + b"".join(each.raw for each in self.inputs), headers

    def to_message(self, typed: bool = False) -> Any:
        """Build the gRPC message, with typed or raw contents."""
        message = pb.ModelInferRequest(model_name=self.model, model_version=self.version, id=self.id)
        for each in self.inputs:
            tensor = message.inputs.add(name=each.name, datatype=each.datatype, shape=each.dimensions)
            _set_parameters(tensor.parameters, each.parameters)
            if typed and each.datatype in _TYPED_FIELDS:
                values = each.byte_elements if each.datatype == "BYTES" else each.elements
                getattr(tensor.contents, _TYPED_FIELDS[each.datatype]).extend(values)
            if not typed:
                message.raw_input_contents.append(each.raw)
        for name in self.outputs:
            message.outputs.add(name=name)
        _set_parameters(message.parameters, self.parameters)
        return message


def _describe(tensor: Tensor) -> dict[str, Any]:
    description: dict[str, Any] = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": tensor.dimensions,
    }
    return description | ({"parameters": dict(tensor.parameters)} if tensor.parameters else {})


def _set_parameters(field_: Any, parameters: Parameters) -> None:
    for name, value in parameters.items():
        kind = {bool: "bool_param", int: "int64_param", str: "string_param"}[type(value)]
        setattr(field_[name], kind, value)
