"""An inference request as a value, and its spellings: REST JSON, REST binary, gRPC raw and typed."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

MODEL = "chest-xray"
_NUMBERS = {"FP32": "<f4", "UINT8": "u1", "INT64": "<i8", "BOOL": "?"}
_TYPED = {
    "BYTES": "bytes_contents",
    "FP32": "fp32_contents",
    "UINT8": "uint_contents",
    "INT64": "int64_contents",
    "BOOL": "bool_contents",
}
Parameters = Mapping[str, str | int | bool]


@dataclass(frozen=True)
class Tensor:
    """An input; its shape is the number of its elements where none is given."""

    name: str = "image_id"
    elements: tuple[Any, ...] = ("r0.png",)
    datatype: str = "BYTES"
    shape: tuple[int, ...] | None = None
    parameters: Parameters = field(default_factory=dict)

    @property
    def dimensions(self) -> list[int]:
        """The shape."""
        return [len(self.elements)] if self.shape is None else list(self.shape)

    @property
    def is_text(self) -> bool:
        """Whether JSON can hold it."""
        return not any(isinstance(element, bytes) for element in self.elements)

    @property
    def is_whole(self) -> bool:
        """Whether a client that looks at the shape would send it."""
        sizes = self.dimensions
        return all(size >= 0 for size in sizes) and int(np.prod(sizes)) == len(self.elements)

    @property
    def octets(self) -> list[bytes]:
        """The elements of BYTES."""
        return [e if isinstance(e, bytes) else str(e).encode() for e in self.elements]

    @property
    def raw(self) -> bytes:
        """The elements as the binary extension has them."""
        if self.datatype in _NUMBERS:
            return np.array(self.elements, _NUMBERS[self.datatype]).tobytes()
        return b"".join(struct.pack("<I", len(e)) + e for e in self.octets)

    @property
    def array(self) -> np.ndarray[Any, Any]:
        """The elements as clients of NumPy have them."""
        if self.datatype in _NUMBERS:
            return np.array(self.elements, _NUMBERS[self.datatype]).reshape(self.dimensions)
        array = np.empty(len(self.elements), np.object_)
        array[:] = self.octets
        return array.reshape(self.dimensions)


@dataclass(frozen=True)
class Question:
    """What is asked, however it is sent."""

    inputs: tuple[Tensor, ...] = (Tensor(),)
    outputs: tuple[str, ...] = ()
    id: str = ""
    version: str = ""
    model: str = MODEL
    parameters: Parameters = field(default_factory=dict)

    @property
    def default_outputs(self) -> tuple[str, ...]:
        """What is answered where no outputs are named, by the transformer or by the predictor."""
        if any(each.name == "radiograph" for each in self.inputs):
            return ("probability", "threshold", "typicality")
        return ("probability", "present", "typicality", "threshold")

    @property
    def path(self) -> str:
        """Where REST asks it."""
        version = f"/versions/{self.version}" if self.version else ""
        return f"/v2/models/{self.model}{version}/infer"

    def _document(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        document: dict[str, Any] = {"inputs": inputs}
        if self.id:
            document["id"] = self.id
        if self.outputs:
            document["outputs"] = [{"name": name} for name in self.outputs]
        if self.parameters:
            document["parameters"] = dict(self.parameters)
        return document

    def as_json(self) -> tuple[bytes, list[tuple[str, str]]]:
        """Body and headers of REST JSON."""
        inputs = [_described(each) | {"data": list(each.elements)} for each in self.inputs]
        return json.dumps(self._document(inputs)).encode(), [("content-type", "application/json")]

    def as_binary(self) -> tuple[bytes, list[tuple[str, str]]]:
        """Body and headers of REST with the binary tensor extension, both ways."""
        inputs = []
        for each in self.inputs:
            size = {"binary_data_size": len(each.raw)}
            inputs.append(_described(each) | {"parameters": {**each.parameters, **size}})
        document = self._document(inputs)
        document["parameters"] = {"binary_data_output": True, **self.parameters}
        head = json.dumps(document).encode()
        headers = [
            ("content-type", "application/octet-stream"),
            ("inference-header-content-length", str(len(head))),
        ]
        return head + b"".join(each.raw for each in self.inputs), headers

    def as_message(self, typed: bool = False) -> Any:
        """The gRPC message, with typed contents or raw ones."""
        message = pb.ModelInferRequest(model_name=self.model, model_version=self.version, id=self.id)
        for each in self.inputs:
            tensor = message.inputs.add(name=each.name, datatype=each.datatype, shape=each.dimensions)
            _set(tensor.parameters, each.parameters)
            if typed and each.datatype in _TYPED:
                values = each.octets if each.datatype == "BYTES" else each.elements
                getattr(tensor.contents, _TYPED[each.datatype]).extend(values)
            if not typed:
                message.raw_input_contents.append(each.raw)
        for name in self.outputs:
            message.outputs.add(name=name)
        _set(message.parameters, self.parameters)
        return message


def _described(tensor: Tensor) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": tensor.dimensions,
    }
    return described | ({"parameters": dict(tensor.parameters)} if tensor.parameters else {})


def _set(field_: Any, parameters: Parameters) -> None:
    for name, value in parameters.items():
        kind = {bool: "bool_param", int: "int64_param", str: "string_param"}[type(value)]
        setattr(field_[name], kind, value)
