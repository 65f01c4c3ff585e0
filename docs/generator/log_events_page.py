"""The page of all log events, from the calls that write them."""

import ast
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from docs.generator.source_code import UnexplainedName, parse_modules, read_meanings, write_table

_LEVELS: Final = ("debug", "info", "warning", "error", "critical", "exception")
_INTRODUCTION: Final = """\
# Log events

Each process writes one JSON object a line to standard output.
Each line has `event`, `level`, `logger`, `service` and `timestamp`.
A line that belongs to a request has `request_id` and `trace_id` too.
The field `exc_info` becomes a traceback without local variables.

An event with *act* has an entry in the [runbook](../operate.md#runbook).
"""


@dataclass
class LogEvent:
    """One event of the log, from all places that write it."""

    levels: set[str] = field(default_factory=set)
    packages: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)


def _is_log_call(call: ast.Call) -> bool:
    method = call.func
    return (
        isinstance(method, ast.Attribute)
        and method.attr in _LEVELS
        and isinstance(method.value, ast.Name)
        and method.value.id in ("log", "logger")
    )


def _read_names(call: ast.Call, module: str) -> Sequence[str]:
    """Read the name of the event, or the two names of a conditional expression."""
    first = call.args[0] if call.args else None
    branches = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
    names = [branch.value for branch in branches if isinstance(branch, ast.Constant)]
    if len(names) < len(branches):
        raise UnexplainedName(f"{module}, line {call.lineno}: a log event must be a plain string")
    return [str(name) for name in names]


def find_log_events() -> Mapping[str, LogEvent]:
    """Find each event that the code logs."""
    events: dict[str, LogEvent] = defaultdict(LogEvent)
    for module, tree in parse_modules():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_log_call(node)):
            for name in _read_names(call, module):
                event = events[name]
                event.levels.add(call.func.attr)  # type: ignore[attr-defined]  # _is_log_call has looked
                event.packages.add(module.partition(".")[0])
                event.fields |= {keyword.arg or "..." for keyword in call.keywords}
    return events


def _describe_event(name: str, event: LogEvent, meaning: Mapping[str, Any]) -> Sequence[str]:
    fields = ", ".join(f"`{each}`" for each in sorted(event.fields))
    act = f"[act](../operate.md#{name})" if meaning.get("act") else ""
    levels, packages = ", ".join(sorted(event.levels)), ", ".join(sorted(event.packages))
    return f"`{name}`", levels, packages, fields, meaning["meaning"], act


def write_log_events_page() -> str:
    """Write the page."""
    events = find_log_events()
    meanings = read_meanings("event", events)
    rows = [_describe_event(name, event, meanings[name]) for name, event in sorted(events.items())]
    table = write_table(("event", "level", "package", "fields", "meaning", ""), rows)
    return f"{_INTRODUCTION}\n{table}\n"
