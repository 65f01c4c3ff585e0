"""Names of environment variables: which ones no process of Pleura knows, and which ones Kubernetes sets."""

import difflib
import re
from collections.abc import Mapping, MutableMapping, Sequence, Set
from typing import Final

from pleura.known_variables import KNOWN_VARIABLES

PREFIX: Final = "PLEURA_"
FILE_SUFFIX: Final = "_FILE"
_SERVICE_HOST: Final = "_SERVICE_HOST"
# Kubernetes, kubelet's envvars.go: what follows the name of the Service
_LINK: Final = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
_LINK_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://", re.IGNORECASE)


def describe_wrong_names(environment: Mapping[str, str], own: Set[str]) -> Sequence[str]:
    """Describe each variable of Pleura's prefix that no setting has, and each that Kubernetes has replaced.

    The variables of other processes are not wrong: all processes may share one environment.

    Args:
        environment: The variables, by their names in capital letters.
        own: Names of the variables that this process reads.
    """
    known, services = own | KNOWN_VARIABLES, _find_linked_services(environment)
    descriptions = []
    for name in sorted(name for name in environment if name.startswith(PREFIX)):
        if name in own and _is_link(name, services) and _LINK_ADDRESS.match(environment[name]):
            reason = "Kubernetes sets it for a Service; set enableServiceLinks: false in the pod"
            descriptions.append(f"{name}: {reason}")
        elif name not in known and not _is_link(name, services):
            descriptions.append(f"{name}: there is no such setting; the nearest is {_nearest(name, known)}")
    return descriptions


def set_variables(environment: MutableMapping[str, str], changes: Mapping[str, str]) -> None:
    """Set variables for a process to start, and remove those that would give the same secrets otherwise."""
    for name in changes:
        environment.pop(f"{name}{FILE_SUFFIX}", None)
        environment.pop(name.removesuffix(FILE_SUFFIX), None)
    environment.update(changes)


def _find_linked_services(environment: Mapping[str, str]) -> Sequence[str]:
    """Return the names of the Services whose host and port Kubernetes has set: it always sets both."""
    names = [name.removesuffix(_SERVICE_HOST) for name in environment if name.endswith(_SERVICE_HOST)]
    return [name for name in names if f"{name}_SERVICE_PORT" in environment]


def _is_link(name: str, services: Sequence[str]) -> bool:
    return any(
        name.startswith(service) and _LINK.fullmatch(name.removeprefix(service)) for service in services
    )


def _nearest(name: str, known: Set[str]) -> str:
    """Return the known name that is most like ``name``. The common prefix says nothing, and is left out."""
    if name.removesuffix(FILE_SUFFIX) in known:  # a setting that is not a secret
        return name.removesuffix(FILE_SUFFIX)
    word = name.removeprefix(PREFIX)
    words = sorted(each.removeprefix(PREFIX) for each in known)
    return PREFIX + difflib.get_close_matches(word, words, n=1, cutoff=0.0)[0]
