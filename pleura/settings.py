"""Base classes of the settings that Pleura's processes read from their environment."""

import os
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

Port = Annotated[int, Field(ge=1, le=65535)]


class InvalidSettings(Exception):
    """A variable of the environment is missing or has a wrong value. The text names it in one line."""


class PleuraSettings(BaseSettings):
    """Variables that begin with ``PLEURA_``. An error never quotes a value, which may be a secret."""

    model_config = SettingsConfigDict(
        env_prefix="PLEURA_", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    @classmethod
    def read(cls, defaults: Mapping[str, str] | None = None) -> Self:
        """Read the environment.

        Args:
            defaults: Values for the variables that the environment does not set, by the variables' names.

        Raises:
            InvalidSettings: A variable is missing or wrong.
        """
        variables = {f"PLEURA_{field.upper()}": field for field in cls.model_fields}
        # pydantic prefers arguments to the environment, so only unset variables may be arguments
        unset = variables.keys() - {name.upper() for name in os.environ}
        values = {variables[name]: value for name, value in (defaults or {}).items() if name in unset}
        try:
            return cls(**values)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False)
            reasons = "; ".join(cls._describe(each["loc"], each["msg"]) for each in wrong)
            raise InvalidSettings(reasons) from None
        except SettingsError as error:  # a value is not JSON; its cause quotes it
            raise InvalidSettings(str(error)) from None

    @classmethod
    def _describe(cls, location: tuple[int | str, ...], message: str) -> str:
        """Name the variable. An error about several variables has no location, and its text names them."""
        if not location:
            return message.removeprefix("Value error, ")
        prefix = "PLEURA_" if location[0] in cls.model_fields else ""
        return f"{prefix}{'__'.join(str(part) for part in location).upper()}: {message}"


class ObjectStoreSettings(PleuraSettings):
    """The object store that holds the radiographs."""

    s3_url: str = Field(pattern=r"^https?://[^/\s]+/?$")
    """Address of the object store."""
    s3_access_key: str = Field(pattern=r"^[\x21-\x7e]+$")
    """Access key of the object store."""
    s3_secret_key: SecretStr
    """Secret key of the object store."""
    s3_region: str = "us-east-1"
    """Region of the object store."""
    s3_bucket: str = "radiographs"
    """Bucket that holds the radiographs."""


class ServiceSettings(PleuraSettings):
    """Settings that every service has: where it listens, how it stops, what it logs."""

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

    def ports(self) -> Mapping[str, int]:
        """Return each port that the service listens on, by the environment variable that sets it."""
        return {"PLEURA_HTTP_PORT": self.http_port, "PLEURA_GRPC_PORT": self.grpc_port}
