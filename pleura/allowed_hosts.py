"""The host names by which a service may be called.

A web page can reach a port of its reader's machine: the page's own host name resolves to 127.0.0.1 for a
moment (DNS rebinding), and the browser takes the answer for one of the page's server. It then sends the
page's host name in ``Host``.
"""

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from pleura.errors import UnknownHost

_ENTRY: Final = re.compile(r"\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_HOST: Final = re.compile(
    r"(?:(?P<name>[\w.-]{1,253})|\[(?P<v6>[0-9A-Fa-f:.]{2,45})\])(?::\d{1,5})?", re.ASCII
)
_CLUSTER: Final = (".svc", ".svc.cluster.local")
"""Names of Kubernetes Services. No server outside of a cluster can have such a name."""


@dataclass(frozen=True)
class AllowedHosts:
    """Names that are allowed besides IP addresses. A name that begins with a dot allows all names below it.

    An IP address is always allowed: a browser sends the name that a page uses, not what the name resolves to.
    """

    names: frozenset[str]
    suffixes: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse names with commas between them, and add those that are always allowed.

        Raises:
            ValueError: An entry is not a host name.
        """
        entries = [entry.strip().lower() for entry in text.split(",") if entry.strip()]
        if not all(_ENTRY.fullmatch(entry) for entry in entries):
            raise ValueError("each entry must be a host name without a port, or a dot and a host name")
        names = {entry for entry in entries if not entry.startswith(".")}
        suffixes = [entry for entry in entries if entry.startswith(".")]
        return cls(frozenset({"localhost", socket.gethostname().lower()} | names), (*_CLUSTER, *suffixes))

    def allows(self, host: str) -> bool:
        """Tell whether a ``Host`` header holds an allowed name or an IP address, with or without a port."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = (match["v6"] or match["name"]).lower().removesuffix(".")
        return name in self.names or name.endswith(self.suffixes) or _is_address(name)

    def require(self, given: Sequence[bytes]) -> None:
        """Require that a request names an allowed host. None at all is allowed: every browser sends one.

        Args:
            given: All ``Host`` headers of the request.

        Raises:
            UnknownHost: The name is not allowed, or there are several.
        """
        if given and not (len(given) == 1 and self.allows(given[0].decode("latin-1"))):
            raise UnknownHost("this server is not known by that host name")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
