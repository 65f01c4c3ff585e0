"""What processes of Pleura read from their environment, and how they say what is wrong there."""

from typing import Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError


class InvalidSettings(Exception):
    """A variable of the environment is missing or has a wrong value; the text names it, in one line."""


class PleuraSettings(BaseSettings):
    """Variables that begin with ``PLEURA_``; what a wrong one holds is never told, for it may be a secret."""

    model_config = SettingsConfigDict(
        env_prefix="PLEURA_", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    @classmethod
    def read(cls) -> Self:
        """Read the environment.

        Raises:
            InvalidSettings: A variable is missing or wrong.
        """
        try:
            return cls()
        except ValidationError as error:
            wrong = "; ".join(
                f"PLEURA_{'__'.join(str(part) for part in each['loc']).upper()}: {each['msg']}"
                for each in error.errors(include_url=False, include_input=False)
            )
            raise InvalidSettings(wrong) from None
        except SettingsError as error:  # what should be JSON is none; the cause would quote it
            raise InvalidSettings(str(error)) from None


class ObjectStoreSettings(PleuraSettings):
    """Where the radiographs are, for whoever reads them."""

    s3_url: str = Field(pattern=r"^https?://[^/\s]+/?$")
    """Where the object store answers."""
    s3_access_key: str = Field(pattern=r"^[\x21-\x7e]+$")
    """Access key of the object store."""
    s3_secret_key: SecretStr
    """Secret key of the object store."""
    s3_region: str = "us-east-1"
    """Region of the object store."""
    s3_bucket: str = "radiographs"
    """Bucket that holds the radiographs."""
