"""What pydantic's values of this package have in common, and those that are kept as JSON."""

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError


class InvalidDocument(Exception):
    """The bytes are not what they were taken for."""


class Value(BaseModel):
    """A value: nobody changes it, what it does not know it refuses, and no error quotes what it was given."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Document(Value):
    """A value that is kept as JSON, always in the same bytes."""

    def to_json(self) -> bytes:
        """The bytes that are stored."""
        return (self.model_dump_json(indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, document: bytes) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            InvalidDocument: It did not write this; the text names the place that is wrong and quotes nothing.
        """
        try:
            return cls.model_validate_json(document)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "content"
            raise InvalidDocument(f"no {cls.__name__}: {where}: {first['msg']}") from None
