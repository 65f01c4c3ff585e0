"""The page of all errors, from the classes of the error family."""

import ast
from collections.abc import Mapping, Sequence
from typing import Final, get_args

from docs.generator.source_code import first_sentence, load_classes, read_meanings, write_table
from pleura.errors import PleuraError
from pleura.radiograph.observations import WarningCode
from pleura.serving.grpc_status import GRPC_STATUS
from transformer.refusal_policy import RefusalPolicy

_INTRODUCTION: Final = """\
# Errors

In REST an error is a status with a JSON document:

```json
{"error": "no such version of the model is served", "code": "model_not_found", "request_id": "visit-4711"}
```

- `error` is for people, and may change. It never repeats what the caller sent.
- `code` is for programs. The table lists all codes.
- `request_id` is the id that the caller sent in the header `x-request-id`, or a new one. The log has it.
- Some errors have more members. `reason` says why a radiograph is refused.
- `elements` lists every radiograph that failed, of a request for several:
  `[{"element": 3, "code": "refused_radiograph", "reason": "not_chest", "error": "..."}]`.
  `code` and `reason` of the error itself are those of the first one.

In gRPC an error is a status with a message. The trailing metadata hold the rest:
`pleura-error` the code, `x-request-id` the id, and `pleura-error-details` the other members as JSON.
There the elements have no `error`: the message has the first eight.
gRPC itself answers an unknown method, a message beyond the limit and an expired deadline, without metadata.

The log and the metric `pleura_refusals_total` name an error by its code.
"""
_REASONS: Final = """\
## Reasons of a refusal

The error `refused_radiograph` has a reason of this closed list. The action is the default.
`PLEURA_REFUSAL_POLICY` sets another one: `refuse`, `warn` or `allow`. What refuses always cannot be set:
there is no right picture to answer about. With `warn` the radiograph is answered, and `warnings` tells it.
`GET /model-info` tells the actions in force (`refusal_policy`).
"""
_WARNINGS: Final = """\
## Warnings

The `warnings` of an answer have reasons with the action `warn`, and these codes. No policy sets them.
"""


def _has_code(node: ast.ClassDef) -> bool:
    assigned = [target for line in node.body if isinstance(line, ast.Assign) for target in line.targets]
    return any(isinstance(target, ast.Name) and target.id == "code" for target in assigned)


def error_classes() -> Sequence[type[PleuraError]]:
    """Give each class of the error family that has a code of its own, by status and code."""
    classes = [cls for _, cls in load_classes(_has_code) if issubclass(cls, PleuraError)]
    return sorted(classes, key=lambda cls: (cls.status, cls.code))


def _describe_error(cls: type[PleuraError], words: Mapping[str, str]) -> Sequence[str]:
    wait = "" if cls.retry_after_s is None else f"{cls.retry_after_s} s"
    meaning = words.get("meaning") or first_sentence(cls)
    return str(cls.status), GRPC_STATUS[cls.status].name, f"`{cls.code}`", wait, meaning, words["remedy"]


def _write_reasons() -> str:
    policy = RefusalPolicy().describe()
    settable = RefusalPolicy().actions
    meanings = read_meanings("reason", policy)
    rows = [
        (
            f"`{reason}`",
            action if reason in settable else f"{action}, always",
            meanings[reason]["meaning"],
            meanings[reason]["remedy"],
        )
        for reason, action in policy.items()
    ]
    return write_table(("reason", "action", "meaning", "what to do"), rows)


def _write_warnings() -> str:
    meanings = read_meanings("warning", get_args(WarningCode))
    rows = [(f"`{code}`", words["meaning"]) for code, words in meanings.items()]
    return write_table(("code", "meaning"), rows)


def write_errors_page() -> str:
    """Write the page."""
    classes = error_classes()
    meanings = read_meanings("error", (cls.code for cls in classes))
    rows = [_describe_error(cls, meanings[cls.code]) for cls in classes]
    columns = ("status", "gRPC status", "code", "Retry-After", "meaning", "what to do")
    reasons = f"{_REASONS}\n{_write_reasons()}\n\n{_WARNINGS}\n{_write_warnings()}\n"
    return f"{_INTRODUCTION}\n{write_table(columns, rows)}\n\n{reasons}"
