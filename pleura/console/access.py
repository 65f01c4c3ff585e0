"""Which Pleura a command asks, and with which token."""

import argparse

from pleura.client import RequestFailed
from pleura.local.access import make_token
from pleura.local.state_folder import StackRecord


def find_service(arguments: argparse.Namespace, recorded: StackRecord | None) -> tuple[str, str]:
    """Take address and token from the flags, else from the local stack.

    Raises:
        AskFailed: No stack runs, and the flags do not name both.
    """
    state, url, token = arguments.state.resolve(), arguments.url, arguments.token
    if url and token:
        return url, token
    if recorded is None:
        raise RequestFailed(f"no stack runs in {state}: start one with pleura up, or give --url and --token")
    return url or recorded.address, token or make_token(state, recorded.issuer)
