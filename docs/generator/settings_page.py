"""The page of all settings, from the classes that read the environment."""

import ast
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from docs.generator.source_code import first_sentence, load_classes, write_table
from pleura.environment import FILE_SUFFIX, PREFIX
from pleura.settings import is_secret

_SHARED: Final = ("PleuraSettings", "ObjectStoreSettings")
_BOUNDS: Final = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_TYPES: Final[dict[Any, str]] = {
    SecretStr: "secret",
    Path: "path",
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
}
_INTRODUCTION: Final = """\
# Settings

Each process reads its settings from environment variables when it starts.
A variable that is missing or wrong ends the start with status 2. The last line of the log names it.

A variable `PLEURA_...` that is not on this page ends the start too. The line names the nearest one.
All processes may share one environment: a variable of another process does not matter.
Neither do the variables that Kubernetes sets for a Service, such as `PLEURA_SERVICE_HOST`.

A secret can come from a file: `PLEURA_S3_SECRET_KEY_FILE=/run/secrets/s3` instead of `PLEURA_S3_SECRET_KEY`.
One newline at the end of the file does not belong to the secret. To set both variables is an error.
"""


def _is_settings_class(node: ast.ClassDef) -> bool:
    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
    return node.name not in _SHARED and any(base.endswith("Settings") for base in bases)


def settings_classes() -> Sequence[tuple[str, type[BaseSettings]]]:
    """Give each class that reads the environment, with the name of its module."""
    return [
        (module, cls) for module, cls in load_classes(_is_settings_class) if issubclass(cls, BaseSettings)
    ]


def _describe_bounds(metadata: Sequence[Any]) -> str:
    limits = {name: getattr(item, name) for item in metadata for name in _BOUNDS if hasattr(item, name)}
    if limits.keys() == {"ge", "le"}:
        return f"{limits['ge']:g} to {limits['le']:g}"
    return ", ".join(f"{word} {limits[name]:g}" for name, word in _BOUNDS.items() if name in limits)


def _describe_choices(metadata: Sequence[Any]) -> str:
    pattern = next((found for item in metadata if (found := getattr(item, "pattern", None))), "")
    choices = pattern.removeprefix("^(").removesuffix(")$").split("|")
    return ", ".join(f"`{choice}`" for choice in choices) if all(map(str.isalpha, choices)) else ""


def describe_type(annotation: Any, metadata: Sequence[Any]) -> str:
    """Say in a few words which values a field takes."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if typing.get_origin(annotation) is typing.Annotated:
        extra = [one.metadata if isinstance(one, FieldInfo) else [one] for one in arguments[1:]]
        return describe_type(arguments[0], [*metadata, *(item for items in extra for item in items)])
    if typing.get_origin(annotation) is dict:
        return "JSON"
    if arguments:  # a type or None
        return describe_type(arguments[0], metadata)
    if issubclass(annotation, BaseModel):
        return "JSON"
    return _describe_choices(metadata) or _describe_bounds(metadata) or _TYPES.get(annotation, "URL")


def _describe_default(info: FieldInfo) -> str:
    if info.is_required():
        return "**required**"
    if info.default_factory is dict:
        return "none"
    if info.default_factory is not None:
        return "computed"
    if isinstance(info.default, BaseModel):
        return "in the code"
    value = info.default.get_secret_value() if isinstance(info.default, SecretStr) else info.default
    return "none" if value in (None, "", ()) else f"`{value}`"


def _describe_field(prefix: str, name: str, info: FieldInfo) -> Sequence[str]:
    meaning = " ".join((info.description or "").replace("``", "`").split())
    variable, values = (prefix + name).upper(), describe_type(info.annotation, info.metadata)
    if prefix == PREFIX and is_secret(info):
        values = f"{values}, or `{variable}{FILE_SUFFIX}`"
    return f"`{variable}`", values, _describe_default(info), meaning


def write_settings_page() -> str:
    """Write the page."""
    sections = [_INTRODUCTION]
    for module, cls in settings_classes():
        prefix = cls.model_config.get("env_prefix", "")
        rows = [_describe_field(prefix, name, info) for name, info in sorted(cls.model_fields.items())]
        table = write_table(("variable", "values", "default", "meaning"), rows)
        sections.append(f"## `{module.removesuffix('.settings')}`\n\n{first_sentence(cls)}\n\n{table}\n")
    return "\n".join(sections)
