"""How to call the local stack: its bucket, its tokens, and commands to paste."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pleura.local import token_issuer
from pleura.local.samples import choose_sample, find_samples
from pleura.local.state_folder import StackRecord

AUDIENCE: Final = "pleura"
BUCKET: Final = "radiographs"
TOKEN_LIFETIME_S: Final = 12 * 3600


def make_token(
    state: Path,
    issuer_url: str,
    subject: str = "local",
    scopes: Sequence[str] | None = None,
    lifetime_s: float = TOKEN_LIFETIME_S,
) -> str:
    """Return a bearer token from the stack's own issuer."""
    return token_issuer.issue_token(
        state.resolve() / "issuer",
        subject=subject,
        scopes=scopes or token_issuer.SCOPES,
        lifetime_s=int(lifetime_s),
        audience=AUDIENCE,
        issuer=issuer_url,
    )


def format_usage(record: StackRecord, state: Path) -> str:
    """Return the address of the stack, a token, and commands that work as pasted."""
    token = make_token(state, record.issuer)
    lines = [
        f"Pleura answers at {record.address} (V2 and /classify), gRPC V2 at {record.grpc_address}",
        "",
        f"token: {token}",
    ]
    curl = f"curl -sS {record.address}/classify -H 'Authorization: Bearer {token}'"
    sample = choose_sample(find_samples())
    if sample:
        json = f'{{"image_id": "{sample.name}"}}'
        lines += ["", f"{curl} -H 'Content-Type: application/json' -d '{json}'"]
        lines += ["", f"{curl} -F file=@{shlex.quote(str(sample))}"]
    return "\n".join(lines)
