"""The outputs and parameters of a V2 response."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import orjson

from pleura.radiograph.observations import observations_to_json
from pleura.serving.v2_tensors import Array
from transformer.answer import Answer
from transformer.journal.journal import JournalResult
from transformer.outcome import Reading

_ARRAYS: Final[Mapping[str, Callable[[Sequence[Answer]], Array]]] = {
    "probability": lambda answers: np.stack([answer.probability for answer in answers]),
    "present": lambda answers: np.stack([answer.present for answer in answers]),
    "typicality": lambda answers: np.array([answer.typicality for answer in answers], np.float32),
    "threshold": lambda answers: answers[0].threshold,
    "activation_map": lambda answers: np.stack([answer.activation_map for answer in answers]),
}


def make_arrays(readings: Sequence[Reading], names: Sequence[str]) -> dict[str, Array]:
    """Make the outputs that the request names, in their order."""
    answers = [reading.answer for reading in readings]
    return {name: _ARRAYS[name](answers) for name in names}


def make_parameters(
    readings: Sequence[Reading], journal_result: JournalResult
) -> dict[str, str | bool | int]:
    """Make the parameters of the response. V2 has no lists in parameters: the warnings are a JSON text."""
    warnings = [
        {"element": position, **warning}
        for position, reading in enumerate(readings)
        for warning in observations_to_json(reading.judgement.warned)
    ]
    answer = readings[0].answer
    return {
        "model_digest": answer.revision.digest,
        "preprocessing_version": answer.preprocessing_version,
        "cached": all(reading.cached for reading in readings),
        "journal": journal_result,
        "warnings": orjson.dumps(warnings).decode(),
    }
