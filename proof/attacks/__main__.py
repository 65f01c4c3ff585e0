"""Attacks on tokens, keys, HTTP parsing and object ids: ``python -m proof.attacks BUNDLE``.

The tables are those of the tests; here they are counted and timed, and the issuer is down for ten minutes of
a real clock.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import grpc
import structlog

from auth_proxy.tokens.keys import parse_keys
from auth_proxy.tokens.verification import Trust
from pleura.local import dependencies
from pleura.local.pleura_services import Ports, start_predictor
from proof.attacks import http_cases, http_syntax, object_attack, token_carriers, token_cases
from proof.attacks.forge import Forge, key_document
from proof.attacks.http_attack import converse
from proof.attacks.key_rotation import key_rows
from proof.attacks.object_ids import ODD, REFUSED, REFUSED_TEXTS
from proof.attacks.stage import AttackStage, stage
from proof.attacks.token_attack import TokenVerdict, Verification, by_grpc, by_rest, raw_rest
from proof.lab.report import ClaimRow, print_claims
from proof.lab.transformer import ACCESS_KEY, SECRET_KEY, TransformerParts

MOST_CPU_MS = 5.0
_MISTAKE = frozenset({"400", "413", "INVALID_ARGUMENT"})
_NOT_THERE = frozenset({"404", "NOT_FOUND"})


def at_least(claim: str, bound: int, number: int) -> ClaimRow:
    """A claim that something is so many, or more."""
    return ClaimRow(claim, f">= {bound}", str(number), number >= bound)


def none_of(claim: str, found: Iterable[object]) -> ClaimRow:
    """A claim that something never happens; what did is told."""
    listed = [*found]
    for each in listed[:20]:
        sys.stderr.write(f"{claim}: {each}\n")
    return ClaimRow(claim, "0", str(len(listed)), not listed)


def token_rows(attacked: AttackStage) -> list[ClaimRow]:
    """Play the tokens: verified alone, by REST and by gRPC, and good ones in wrong places."""
    forge = Forge("https://issuer.example", "pleura", 1_800_000_000)
    verification = Verification(
        parse_keys(key_document()), Trust(forge.issuer, forge.audience, 30), forge.now_s
    )
    tokens = {name: make(forge) for name, make in token_cases.REFUSED.items()}
    alone = [name for name, token in tokens.items() if verification.lets_in(token)]
    slowest_ms = max(verification.cpu_ms(token) for token in tokens.values())
    with grpc.insecure_channel(f"127.0.0.1:{attacked.proxy.grpc_port}") as channel:
        played = _played(token_cases.REFUSED, lambda make: by_rest(attacked, make(attacked.forge())), "REST")
        played |= _played(
            token_cases.REFUSED,
            lambda make: by_grpc(attacked, channel, f"Bearer {make(attacked.forge())}"),
            "gRPC",
        )
        good = [
            name
            for name, make in token_cases.ACCEPTED.items()
            if not by_rest(attacked, make(attacked.forge())).is_let_in
            or not by_grpc(attacked, channel, f"Bearer {make(attacked.forge())}").is_let_in
        ]
    places = _played(
        token_carriers.REFUSED, lambda carry: raw_rest(attacked, carry(attacked.forge().good())), "place"
    )
    everything = played | places
    return [
        at_least("bad tokens, each verified alone, by REST and by gRPC", 60, len(tokens)),
        at_least("good tokens and identities in places that do not count", 60, len(places)),
        none_of("of these let in", [*alone, *(name for name, v in everything.items() if v.is_let_in)]),
        none_of(
            "answers of 5xx, gRPC's like, or none at all",
            [name for name, v in everything.items() if v.is_fault],
        ),
        none_of("fetches beyond the issuer's keys", [1] * attacked.strange_fetches),
        ClaimRow(
            "processor time of the slowest verification",
            f"<= {MOST_CPU_MS:.0f} ms",
            f"{slowest_ms:.2f} ms",
            slowest_ms <= MOST_CPU_MS,
        ),
        none_of(f"of {len(token_cases.ACCEPTED)} good tokens refused", good),
    ]


def _played(
    table: Mapping[str, Any], play: Callable[[Any], TokenVerdict], way: str
) -> dict[str, TokenVerdict]:
    return {f"{way}: {name}": play(make) for name, make in table.items()}


def http_rows(attacked: AttackStage) -> list[ClaimRow]:
    """Play the raw requests."""
    tables = {"framing": http_cases.FRAMING, "chunks": http_cases.CHUNKS, **http_syntax.TABLES}
    cases = {f"{table}: {name}": case for table, rows in tables.items() for name, case in rows.items()}
    judged = {name: converse(attacked, case) for name, case in cases.items()}
    return [
        at_least("raw requests, each between two good ones", 100, len(cases)),
        none_of("bypasses", [(name, j.bypasses) for name, j in judged.items() if j.bypasses]),
        none_of(
            "desynchronised answers",
            [(name, j.desynchronised) for name, j in judged.items() if j.desynchronised],
        ),
        none_of("answers of 5xx to them", [(name, j.faults) for name, j in judged.items() if j.faults]),
    ]


def object_rows(folder: Path, attacked: AttackStage, bundle: Path) -> list[ClaimRow]:
    """Play the object ids, before a real object store."""
    postgres = dependencies.start_postgres(folder / "postgres", dependencies.free_port())
    seaweed = dependencies.start_seaweed(folder / "seaweed", dependencies.free_port(), ACCESS_KEY, SECRET_KEY)
    ports = Ports(dependencies.free_port(), dependencies.free_port())
    predictor = start_predictor(folder / "predictor", ports, bundle)
    try:
        parts = TransformerParts(predictor.grpc_address, seaweed.url, "", postgres.url, folder / "spool")
        with object_attack.object_read(folder / "transformer", parts, attacked) as read:
            bad = [read.asked(way) for way in _ways(read, REFUSED, REFUSED_TEXTS)]
            odd = [read.asked(way) for way in _ways(read, [t.encode() for t in ODD.values()], ODD.values())]
            there = read.asked(lambda: read.by_json("r0.png"))
    finally:
        for each in (predictor, seaweed, postgres):
            each.stop()
    calls = [call for _, made in (*bad, *odd) for call in made]
    return [
        at_least("questions by dangerous object ids", 100, len(bad)),
        none_of("calls of the object store for these", [call for _, made in bad for call in made]),
        at_least("questions by odd ids that are in their right", 100, len(odd)),
        none_of("calls outside the bucket", [call for call in calls if object_attack.is_outside(call)]),
        none_of("dangerous ids not called the caller's mistake", _other_than(_MISTAKE, bad)),
        none_of("odd ids not looked for in vain", _other_than(_NOT_THERE, odd)),
        ClaimRow(
            "an ordinary id is read and answered",
            "200, 1 call",
            f"{there[0]}, {len(there[1])} calls",
            there[0] == "200" and len(there[1]) == 1,
        ),
    ]


def _other_than(expected: frozenset[str], asked: Iterable[tuple[str, list[str]]]) -> list[str]:
    return [outcome for outcome, _ in asked if outcome not in expected]


def _ways(
    read: object_attack.ObjectRead, raws: Iterable[bytes], texts: Iterable[str]
) -> list[Callable[[], str]]:
    ways: list[Callable[[], str]] = []
    for raw in raws:
        ways += [lambda raw=raw: read.by_binary(raw), lambda raw=raw: read.by_grpc(raw)]  # type: ignore[misc]
    for text in texts:
        ways += [lambda text=text: read.by_json(text), lambda text=text: read.by_classify(text)]  # type: ignore[misc]
    return ways


def main() -> int:
    """Play everything, and print what was counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--outage-s", type=float, default=600.0, help="seconds for which the issuer is down")
    parser.add_argument("--flood-s", type=float, default=65.0, help="seconds of unknown keys")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as name, stage(Path(name)) as attacked:
        rows = token_rows(attacked) + http_rows(attacked)
        rows += asyncio.run(key_rows(Path(name), attacked, given.flood_s, given.outage_s))
        rows += object_rows(Path(name), attacked, given.bundle)
    return print_claims("Attacks: tokens, keys, HTTP parsing and object ids", rows)


if __name__ == "__main__":
    sys.exit(main())
