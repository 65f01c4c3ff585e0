"""Find the address of the Pleura that a command asks, and a token for it."""

from pathlib import Path

from pleura.console.output import CommandFailed


def find_service(state: Path, url: str | None, token: str | None) -> tuple[str, str]:
    """Return address and token: from the options, else from the environment, else from the local stack.

    Raises:
        CommandFailed: No stack runs, and the options do not name both.
    """
    from pleura.console.settings import read_settings
    from pleura.local.access import make_token
    from pleura.local.state_folder import StateFolder

    settings = read_settings()
    url = url or settings.url
    token = token or (settings.token.get_secret_value() if settings.token else None)
    if url and token:
        return url, token
    record = StateFolder(state).read()
    if record is None:
        raise CommandFailed(f"no stack runs in {state}: start one with pleura up, or give --url and --token")
    return url or record.address, token or make_token(state, record.issuer)
