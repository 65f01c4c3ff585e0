"""JSON as the standard has it: what two programs may read differently is refused."""

import json
from typing import Any


def parse_strict_json(data: bytes) -> Any:
    """Parse JSON text.

    Raises:
        ValueError: The bytes are not JSON in UTF-8, a member occurs twice, or values are nested too deeply.
    """
    try:
        return json.loads(data.decode(), object_pairs_hook=_require_unique, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("the values are nested too deeply") from error


def _require_unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of two members with one name, one program takes the first, another the last.
    value_by_name = dict(members)
    if len(value_by_name) < len(members):
        raise ValueError("a member occurs twice")
    return value_by_name


def _refuse_constant(name: str) -> None:
    # Python's parser accepts NaN and Infinity, which are not JSON.
    raise ValueError(f"{name} is not JSON")
