"""Base classes of the settings that Pleura's processes read from their environment."""

import os
import re
import typing
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from pleura.allowed_hosts import AllowedHosts
from pleura.environment import FILE_SUFFIX, PREFIX, describe_wrong_names
from pleura.secret_files import UnusableSecretFile, read_secret_file
from pleura.service_key import SERVICE_KEY_PATTERN, ServiceKeys

Port = Annotated[int, Field(ge=1, le=65535)]


class InvalidSettings(Exception):
    """A variable of the environment is missing or has a wrong value. The text names it in one line."""


def require_match(pattern: str) -> AfterValidator:
    """Make a validator: the whole secret must match. Pydantic's own ``pattern`` does not take secrets."""

    def validate(secret: SecretStr) -> SecretStr:
        if not re.fullmatch(pattern, secret.get_secret_value()):
            raise ValueError(f"must match the pattern {pattern}")
        return secret

    return AfterValidator(validate)


def is_secret(info: FieldInfo) -> bool:
    """Say whether a setting is a secret, which a file may hold."""
    return SecretStr in (info.annotation, *typing.get_args(info.annotation))


class PleuraSettings(BaseSettings):
    """Variables that begin with ``PLEURA_``. An error never quotes a value, which may be a secret.

    Each secret has a second variable, with ``_FILE`` at its end, which names a file that holds the secret.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    @classmethod
    def read(cls, defaults: Mapping[str, str] | None = None) -> Self:
        """Read the environment.

        Args:
            defaults: Values for the variables that the environment does not set, by the variables' names.

        Raises:
            InvalidSettings: A variable is missing or wrong.
        """
        # pydantic reads names without regard to case
        environment = {name.upper(): value for name, value in os.environ.items()}
        if wrong_names := describe_wrong_names(environment, cls.variables()):
            raise InvalidSettings("; ".join(wrong_names))
        from_files = cls._read_secret_files(environment)
        # pydantic prefers arguments to the environment, so only unset variables may be arguments
        from_defaults = {
            field: (defaults or {})[name]
            for field, name in cls._names().items()
            if name in (defaults or {}) and name not in environment and field not in from_files
        }
        try:
            return cls(**from_defaults, **from_files)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False)
            reasons = "; ".join(cls._describe(each["loc"], each["msg"], from_files.keys()) for each in wrong)
            raise InvalidSettings(reasons) from None
        except SettingsError as error:  # a value is not JSON; its cause quotes it
            raise InvalidSettings(str(error)) from None

    @classmethod
    def variables(cls) -> frozenset[str]:
        """Return the name of each variable that is read: settings, members of settings, files of secrets."""
        names, delimiter = set(cls._names().values()), cls.model_config.get("env_nested_delimiter")
        for field, info in cls.model_fields.items():
            name, kind = cls._names()[field], info.annotation
            if is_secret(info):
                names.add(f"{name}{FILE_SUFFIX}")
            if delimiter and isinstance(kind, type) and issubclass(kind, BaseModel):
                names |= {f"{name}{delimiter}{member.upper()}" for member in kind.model_fields}
        return frozenset(names)

    @classmethod
    def _names(cls) -> Mapping[str, str]:
        """Return the name of each setting's variable, by the setting's field."""
        return {field: f"{PREFIX}{field.upper()}" for field in cls.model_fields}

    @classmethod
    def _read_secret_files(cls, environment: Mapping[str, str]) -> Mapping[str, str]:
        """Read the secrets that files hold, by their fields."""
        secrets = {}
        for field, info in cls.model_fields.items():
            name = cls._names()[field]
            file_name = f"{name}{FILE_SUFFIX}"
            if not is_secret(info) or file_name not in environment:
                continue
            if name in environment:
                raise InvalidSettings(f"{file_name} cannot be combined with {name}")
            try:
                secrets[field] = read_secret_file(Path(environment[file_name]))
            except UnusableSecretFile as error:
                raise InvalidSettings(f"{file_name}: {error}") from None
        return secrets

    @classmethod
    def _describe(cls, location: tuple[int | str, ...], message: str, from_files: Set[str]) -> str:
        """Name the variable. An error about several variables has no location, and its text names them."""
        message = message.removeprefix("Value error, ")
        if not location:
            return message
        prefix = PREFIX if location[0] in cls.model_fields else ""
        suffix = FILE_SUFFIX if location[0] in from_files else ""
        return f"{prefix}{'__'.join(str(part) for part in location).upper()}{suffix}: {message}"


class ObjectStoreSettings(PleuraSettings):
    """The object store that holds the radiographs."""

    s3_url: str = Field(pattern=r"^https?://[^/\s]+/?$")
    """Address of the object store."""
    s3_access_key: Annotated[SecretStr, require_match(r"[\x21-\x7e]+")]
    """Access key of the object store."""
    s3_secret_key: SecretStr
    """Secret key of the object store."""
    s3_region: str = "us-east-1"
    """Region of the object store."""
    s3_bucket: str = "radiographs"
    """Bucket that holds the radiographs."""


def _require_hosts(text: str) -> str:
    AllowedHosts.parse(text)
    return text


HostNames = Annotated[str, AfterValidator(_require_hosts)]


class ServiceSettings(PleuraSettings):
    """Settings that every service has: where it listens, who may call it, how it stops, what it logs."""

    host: str = "0.0.0.0"  # noqa: S104  # a service in a pod listens on every address of the pod
    """Address to listen on."""
    http_port: Port = 8080
    """Port of REST."""
    grpc_port: Port = 8081
    """Port of V2 over gRPC."""
    drain_s: float = Field(default=0.0, ge=0.0, le=600.0)
    """Seconds after SIGTERM in which the service reports that it is not ready, and still takes requests."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe level to log."""
    service_key: Annotated[SecretStr, require_match(SERVICE_KEY_PATTERN)] = SecretStr("")
    """Secret by which proxy, transformer and predictor know each other: 32 characters or more, without
    spaces. It is required, unless ``PLEURA_TRUST_NETWORK`` is set. Several keys may stand there, with spaces
    or line breaks between them: the first one is sent, all are accepted."""
    trust_network: bool = False
    """Accept calls without a service key: something else, such as a mesh with mTLS, keeps others out."""
    allowed_hosts: HostNames = ""
    """Host names by which callers without a service key may reach this service, with commas between them.
    ``.name`` allows all names below. IP addresses, ``localhost``, the machine's own name and names that end
    in ``.svc`` or ``.svc.cluster.local`` are always allowed."""

    @model_validator(mode="after")
    def _require_a_key(self) -> Self:
        if not self.service_keys.keys and not self.trust_network:
            raise ValueError(
                "PLEURA_SERVICE_KEY is required, or PLEURA_TRUST_NETWORK=true where the network lets in"
                " services only"
            )
        return self

    @property
    def service_keys(self) -> ServiceKeys:
        """The keys of this service."""
        return ServiceKeys.parse(self.service_key.get_secret_value(), self.trust_network)

    @property
    def hosts(self) -> AllowedHosts:
        """The host names of this service."""
        return AllowedHosts.parse(self.allowed_hosts)

    def ports(self) -> Mapping[str, int]:
        """Return each port that the service listens on, by the environment variable that sets it."""
        return {"PLEURA_HTTP_PORT": self.http_port, "PLEURA_GRPC_PORT": self.grpc_port}
