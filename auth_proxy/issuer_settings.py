"""The form of the settings that name the trusted issuers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, AnyHttpUrl, BaseModel, ConfigDict, Field, model_validator

from auth_proxy.allow_list import SCOPES
from auth_proxy.tokens.key_set import SUPPORTED_ALGORITHMS
from auth_proxy.tokens.key_sources import build_tls

_MAX_FILE_BYTES: Final = 2**20
_ALGORITHM: Final = f"(?:{'|'.join(sorted(SUPPORTED_ALGORITHMS))})"
_CLAIM: Final = r"[A-Za-z0-9:/._#-]{1,128}"
ALGORITHMS_PATTERN: Final = f"^{_ALGORITHM}(?:,{_ALGORITHM})*$"
CLAIMS_PATTERN: Final = f"^{_CLAIM}(?:,{_CLAIM}){{0,7}}$"
AudienceClaim = Literal["aud", "client_id"]
_Text = Annotated[str, Field(min_length=1, max_length=512)]


def _require_known_scopes(words: Mapping[str, str | list[str]]) -> Mapping[str, str | list[str]]:
    if not all(scope in SCOPES for scopes in words.values() for scope in as_sequence(scopes)):
        raise ValueError(f"a word must mean scopes of this list: {', '.join(sorted(SCOPES))}")
    return words


ScopeMap = Annotated[dict[_Text, str | list[str]], AfterValidator(_require_known_scopes)]
"""The issuer's words, each with one scope or a list of scopes."""


class IssuerEntry(BaseModel):
    """One issuer of ``PLEURA_ISSUERS``. What it leaves out has the value of the setting of the same name."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    issuer: _Text
    audience: _Text | Annotated[list[_Text], Field(min_length=1, max_length=64)] | None = None
    audience_claim: AudienceClaim | None = None
    jwks_url: AnyHttpUrl | None = None
    algorithms: Annotated[list[str], Field(min_length=1)] | None = None
    scope_claims: Annotated[list[_Text], Field(min_length=1, max_length=8)] | None = None
    scope_map: ScopeMap | None = None

    @model_validator(mode="after")
    def _require_sound_values(self) -> Self:
        if self.algorithms is not None and not SUPPORTED_ALGORITHMS.issuperset(self.algorithms):
            raise ValueError(
                f"the algorithms must be of this list: {', '.join(sorted(SUPPORTED_ALGORITHMS))}"
            )
        if self.jwks_url is None and not self.issuer.startswith(("https://", "http://")):
            raise ValueError("an issuer that is not a URL needs a jwks_url")
        return self


def _require_different(entries: tuple[IssuerEntry, ...]) -> tuple[IssuerEntry, ...]:
    if len({entry.name for entry in entries}) + len({entry.issuer for entry in entries}) < 2 * len(entries):
        raise ValueError("two issuers have the same name or the same issuer")
    return entries


IssuerEntries = Annotated[tuple[IssuerEntry, ...], Field(max_length=16), AfterValidator(_require_different)]


def read_issuer_entries(value: object) -> object:
    """Read the entries of ``PLEURA_ISSUERS`` from JSON, or from the file of that name.

    The type of the setting then requires a list.

    Raises:
        ValueError: The text is neither a JSON list nor the path of a file with one.
    """
    if not isinstance(value, str) or not value.strip():
        return value or ()
    try:
        text = value if value.lstrip().startswith("[") else _read_file(Path(value))
        entries = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError("the value is neither a JSON list nor the path of a file with one") from error
    return entries


def _read_file(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.read(_MAX_FILE_BYTES)


def require_certificates(path: Path | None) -> Path | None:
    """Require that a file, if one is named, holds certificates.

    Raises:
        ValueError: The file cannot be read, or holds no certificate.
    """
    try:
        build_tls(path)
    except OSError as error:
        raise ValueError("the file, or that of SSL_CERT_FILE, holds no certificate in PEM") from error
    return path


def as_sequence(value: str | Sequence[str]) -> Sequence[str]:
    """Return one text as a sequence of one, and a sequence as it is."""
    return (value,) if isinstance(value, str) else value
