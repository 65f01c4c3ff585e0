"""How to call the local stack: its bucket, its tokens, and commands to paste."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pleura.local import token_issuer
from pleura.local.samples import choose_sample, find_samples
from pleura.local.stack_options import OtherIssuer
from pleura.local.state_folder import StackRecord

AUDIENCE: Final = "pleura"
BUCKET: Final = "radiographs"
TOKEN_LIFETIME_S: Final = 12 * 3600


def build_issuer_settings(own_url: str, other: OtherIssuer | None) -> Mapping[str, str]:
    """Return the proxy's variables for the stack's own issuer, and for another one.

    The stack's own issuer stays: the commands of this machine use its tokens. With two issuers the name of a
    principal begins with ``local:`` or ``other:``.
    """
    own = {"issuer": own_url, "audience": AUDIENCE, "jwks_url": f"{own_url}/jwks.json"}
    if other is None:
        return {f"PLEURA_{name.upper()}": value for name, value in own.items()}
    claims = {"audience_claim": "aud", "scope_claims": ["scope"], "scope_map": {}}
    issuers = [
        {"name": "local", **own, **claims, "algorithms": ["ES256"]},
        {"name": "other", "issuer": other.url, "audience": other.audience},
    ]
    return {"PLEURA_ISSUERS": json.dumps(issuers)}


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
    """Return the address of the stack, a token as a shell variable, and commands that work as pasted."""
    lines = [
        f"Pleura answers at {record.address} (V2 and /classify), gRPC V2 at {record.grpc_address}",
        "",
        f"export TOKEN={make_token(state, record.issuer)}",
    ]
    curl = f'curl -sS {record.address}/classify -H "Authorization: Bearer $TOKEN"'
    sample = choose_sample(find_samples())
    if sample:
        json = f'{{"image_id": "{sample.name}"}}'
        lines += ["", f"{curl} -H 'Content-Type: application/json' -d '{json}'"]
        lines += ["", f"{curl} -F file=@{shlex.quote(str(sample))}"]
    return "\n".join(lines)
