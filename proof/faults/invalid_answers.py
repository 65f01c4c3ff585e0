"""Answers of the predictor that are damaged in one place each."""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Change = Callable[[Any], None]


def _change_number(name: str, position: int, value: float) -> Change:
    """Replace a number of an output."""

    def change(response: Any) -> None:
        index = [output.name for output in response.outputs].index(name)
        # KServe keeps tensors as bytes, little-endian, in the order of the outputs.
        raw = bytearray(response.raw_output_contents[index])
        struct.pack_into("<f", raw, 4 * position, value)
        response.raw_output_contents[index] = bytes(raw)

    return change


def _change_shape(name: str, shape: Sequence[int]) -> Change:
    """Give an output another shape, and the matching number of values."""

    def change(response: Any) -> None:
        (index,) = [i for i, output in enumerate(response.outputs) if output.name == name]
        del response.outputs[index].shape[:]
        response.outputs[index].shape.extend(shape)
        size = 4
        for side in shape:
            size *= side
        response.raw_output_contents[index] = response.raw_output_contents[index][:size].ljust(size, b"\0")

    return change


def _change_datatype(response: Any) -> None:
    response.outputs[0].datatype = "FP64"


def _change_digest(text: str) -> Change:
    def change(response: Any) -> None:
        response.parameters["model_digest"].string_param = text

    return change


def _remove_output(response: Any) -> None:
    del response.outputs[0]
    del response.raw_output_contents[0]


def _cut_short(response: Any) -> None:
    response.raw_output_contents[0] = response.raw_output_contents[0][:-1]


def _change_preprocessing(response: Any) -> None:
    response.parameters["preprocessing_version"].string_param = "0"


def _change_version(response: Any) -> None:
    response.model_version = "../1"


# Unchecked, each of these would reach a reader as findings, or would be cached as an answer.
INVALID_ANSWERS: Final[Mapping[str, Change]] = {
    "NaN": _change_number("probability", 3, float("nan")),
    "infinity": _change_number("probability", 0, float("inf")),
    "infinity in a map": _change_number("activation_map", 100, float("-inf")),
    "NaN as typicality": _change_number("typicality", 0, float("nan")),
    "probability 1.5": _change_number("probability", 13, 1.5),
    "probability -0.1": _change_number("probability", 0, -0.1),
    "threshold 2": _change_number("threshold", 5, 2.0),
    "13 outputs": _change_shape("probability", (1, 13)),
    "15 outputs": _change_shape("probability", (1, 15)),
    "13 thresholds": _change_shape("threshold", (13,)),
    "two answers": _change_shape("probability", (2, 14)),
    "no batch": _change_shape("probability", (14,)),
    "small maps": _change_shape("activation_map", (1, 14, 7, 6)),
    "no probabilities": _remove_output,
    "cut short": _cut_short,
    "FP64": _change_datatype,
    "an invalid digest": _change_digest("d" * 63),
    "no digest": _change_digest(""),
    "an invalid version": _change_version,
    "another preprocessing": _change_preprocessing,
}
