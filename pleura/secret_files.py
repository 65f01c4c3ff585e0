"""Files that hold one secret each, as Docker and Kubernetes mount them."""

import re
from pathlib import Path
from typing import Final

_MAX_BYTES: Final = 65_536


class UnusableSecretFile(Exception):
    """A file holds no secret.

    The text quotes neither the path nor the content: by mistake the path may be the secret itself.
    """


def read_secret_file(path: Path) -> str:
    """Read a secret. One newline at the end of the file does not belong to it.

    Raises:
        UnusableSecretFile: The file is missing, not readable, empty, too long, or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UnusableSecretFile(f"the file cannot be read: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise UnusableSecretFile(f"the file has more than {_MAX_BYTES:,} bytes")
    try:
        secret = re.sub(r"\r?\n\Z", "", content.decode())
    except UnicodeDecodeError:
        raise UnusableSecretFile("the file is not UTF-8 text") from None
    if not secret:
        raise UnusableSecretFile("the file is empty")
    return secret
