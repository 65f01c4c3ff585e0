"""The base classes of the values in this package, and of values that are stored as JSON."""

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError


class InvalidDocument(Exception):
    """The bytes are not a document of the expected class."""


class Value(BaseModel):
    """An immutable value that refuses unknown fields. Its errors do not quote the input."""

    # docs/decisions/0031: the input may hold a patient's name.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Document(Value):
    """A value that is stored as JSON, always as the same bytes."""

    def to_json(self) -> bytes:
        """Write the value as JSON."""
        return (self.model_dump_json(indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, document: bytes) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            InvalidDocument: The bytes are not such a document. The text names the place and quotes nothing.
        """
        try:
            return cls.model_validate_json(document)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "content"
            raise InvalidDocument(f"not a valid {cls.__name__}: {where}: {first['msg']}") from None
