"""How the stack of one machine is asked: its bucket, its tokens, and what to type."""

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
    """A bearer token of the stack's own issuer."""
    return token_issuer.issue_token(
        state.resolve() / "issuer",
        subject=subject,
        scopes=scopes or token_issuer.SCOPES,
        lifetime_s=int(lifetime_s),
        audience=AUDIENCE,
        issuer=issuer_url,
    )


def format_usage(recorded: StackRecord, state: Path) -> str:
    """How to ask the stack: its address, a token, and commands that work as pasted."""
    token = make_token(state, recorded.issuer)
    lines = [
        f"Pleura answers at {recorded.address} (V2 and /classify), gRPC V2 at {recorded.grpc_address}",
        "",
        f"token: {token}",
    ]
    ask = f"curl -sS {recorded.address}/classify -H 'Authorization: Bearer {token}'"
    sample = choose_sample(find_samples())
    if sample:
        json = f'{{"image_id": "{sample.name}"}}'
        lines += ["", f"{ask} -H 'Content-Type: application/json' -d '{json}'"]
        lines += ["", f"{ask} -F file=@{shlex.quote(str(sample))}"]
    return "\n".join(lines)
