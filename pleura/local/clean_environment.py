"""The variables that the processes of the stack inherit. They see no other variable of the caller's shell.

A server may take a variable of any name as an option. SeaweedFS, for example, takes ``DEBUG`` as its flag
``-debug``, and then shows its memory to the whole network.
"""

import os
from typing import Final

_ANY_PROGRAM: Final = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE")
# Python itself, which starts each program, may need its libraries from elsewhere
_LOADER: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_PLEURA_PREFIXES: Final = ("PLEURA_", "OTEL_")
_PLEURA: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONPATH")


def inherit_basics() -> dict[str, str]:
    """Return the inherited variables that any program may need."""
    return {name: value for name, value in os.environ.items() if name in _ANY_PROGRAM + _LOADER}


def inherit_settings() -> dict[str, str]:
    """Return the inherited variables that are meant for Pleura's own services."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _PLEURA or name.startswith(_PLEURA_PREFIXES)
    }
