"""The secret by which the services of Pleura know each other: proxy, transformer and predictor hold it."""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from pleura.errors import ServiceKeyRequired

SERVICE_KEY_HEADER: Final = "x-pleura-service-key"
"""Header, or metadata of gRPC, in which a service sends the key to the next one."""
SERVICE_KEY_PATTERN: Final = r"|\s*[\x21-\x7e]{32,}(\s+[\x21-\x7e]{32,})*\s*"
"""One key or several, with white space between them; each has 32 printable characters of ASCII or more."""


@dataclass(frozen=True)
class ServiceKeys:
    """The keys of a service.

    Args:
        keys: Keys that are accepted. The first one is sent to the next service.
        trusts_network: Whether a call without a key is accepted, since the network lets in services only.
    """

    keys: tuple[bytes, ...] = field(repr=False)
    trusts_network: bool = False

    @classmethod
    def parse(cls, text: str, trusts_network: bool = False) -> Self:
        """Parse keys with white space between them."""
        return cls(tuple(key.encode("ascii") for key in text.split()), trusts_network)

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, or metadata, that a call to the next service carries."""
        return {SERVICE_KEY_HEADER: self.keys[0].decode("ascii")} if self.keys else {}

    def accepts(self, given: Sequence[bytes]) -> bool:
        """Tell whether a call holds exactly one key, which is one of ours."""
        # each key is compared, so that the time does not tell which one it was
        matches = [hmac.compare_digest(key, value) for value in given for key in self.keys]
        return len(given) == 1 and any(matches)

    def require(self, given: Sequence[bytes]) -> None:
        """Require that a call comes from a service.

        A wrong key is refused also where the network is trusted: it shows a mistake in the settings.

        Args:
            given: All keys that the call holds.

        Raises:
            ServiceKeyRequired: The key is missing or wrong.
        """
        if not given and not self.trusts_network:
            raise ServiceKeyRequired("this port answers the services of Pleura only")
        self.refuse_wrong(given)

    def refuse_wrong(self, given: Sequence[bytes]) -> None:
        """Refuse a wrong key, and let a call without a key pass.

        Without keys of our own, every key passes: keys may come to the caller first.

        Raises:
            ServiceKeyRequired: The key is wrong.
        """
        if given and self.keys and not self.accepts(given):
            raise ServiceKeyRequired("the service key is wrong")
