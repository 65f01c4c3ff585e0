"""What a neighbour can do to a running stack: another user of the machine, or a web page in its browser."""

import json
import os
import stat
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import grpc
import httpx
import numpy as np
import psycopg2
import redis
import urllib3

from pleura.contract import MAP_SIZE, PREPROCESSING_VERSION
from pleura.findings import FINDINGS
from pleura.local.samples import choose_sample, find_samples
from proof.lab.report import ClaimRow
from proof.lab.running_stack import RunningStack, start_stack
from transformer.answer import Answer, Revision
from transformer.cache.answer_cache import cache_key
from transformer.cache.entry import CachedAnswer, write_entry

HOSTILE: Final = {
    "DEBUG": "true",
    "VOLUME": "x",
    "WEED_JWT_SIGNING_KEY": "x",
    "PGOPTIONS": "-c search_path=x",
}
"""Variables that SeaweedFS and PostgreSQL would take from the shell."""
_EVIL: Final = {"Origin": "https://evil.example", "Host": "evil.example"}
_STATEMENTS: Final = (
    "SELECT pg_read_file('/etc/passwd')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/pleura_probe'",
    "SELECT lo_import('/etc/passwd')",
    "SELECT passwd FROM pg_shadow",
    "CREATE ROLE another SUPERUSER",
    "SET ROLE postgres",
)


def start_attacked_stack(folder: Path, bundle: Path) -> RunningStack:
    """Start a stack from a hostile shell, on a state folder that others may read."""
    (folder / "state").mkdir(parents=True, mode=0o755)
    return start_stack(folder, bundle, environment=HOSTILE)


def attack_as_neighbour(stack: RunningStack) -> list[ClaimRow]:
    """Run every attack of this module."""
    return [
        _claim_none("calls that an inner port of SeaweedFS answers, by HTTP", _call_inner_http(stack)),
        _claim_none("calls that an inner port of SeaweedFS answers, by gRPC", _call_inner_grpc(stack)),
        _claim_none("statements that reach a file, a program or a superuser", _run_statements(stack)),
        _claim_none("forged cache entries that change an answer, or cause a 5xx", _forge_entries(stack)),
        _claim_none("replies of Valkey without its password", _ask_valkey(stack)),
        _claim_none("files of the state folder that another user can reach", _find_open_files(stack)),
        _claim_none("parts that see a hostile variable of the shell", _find_variables(stack)),
    ]


def _claim_none(claim: str, result: tuple[int, list[str]]) -> ClaimRow:
    tried, found = result
    return ClaimRow(f"of {tried} {claim}", "0", ", ".join(found[:5]) or "0", tried > 0 and not found)


def _inner_ports(stack: RunningStack) -> Mapping[str, int]:
    ports: dict[str, int] = json.loads((stack.state.path / "seaweed" / "ports.json").read_text())
    return ports


def _sample() -> str:
    sample = choose_sample(find_samples())
    assert sample
    return sample.name


def _call_inner_http(stack: RunningStack) -> tuple[int, list[str]]:
    film = f"/buckets/radiographs/{_sample()}"
    form = {"file": ("film.png", b"another film", "image/png")}
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", film, {"headers": _EVIL}),
        ("PUT", film, {"body": b"another film"}),
        ("POST", "/buckets/radiographs/", {"fields": form, "headers": _EVIL}),
        ("DELETE", film, {"headers": _EVIL}),
        ("GET", "/dir/assign", {}),
        ("GET", "/col/delete?collection=none", {}),
    ]
    ports = {name: port for name, port in _inner_ports(stack).items() if not name.endswith("grpc")}
    found = []
    trusted = str(stack.state.path / "seaweed" / "inner.crt")
    for name, port in ports.items():
        for scheme in ("http", "https"):
            for method, path, options in calls:
                with urllib3.PoolManager(timeout=3.0, retries=False, ca_certs=trusted) as http:
                    try:
                        answer = http.request(method, f"{scheme}://127.0.0.1:{port}{path}", **options)
                    except urllib3.exceptions.HTTPError:
                        continue
                # what Go answers to a request without TLS
                if answer.status != 400 or b"HTTPS server" not in answer.data:
                    found.append(f"{name} {scheme} {method} {answer.status}")
    return len(ports) * 2 * len(calls), found


def _call_inner_grpc(stack: RunningStack) -> tuple[int, list[str]]:
    ports = {name: port for name, port in _inner_ports(stack).items() if name.endswith("grpc")}
    method = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    found, tried = [], 0
    for name, port in ports.items():
        role = name.partition(".")[0]
        for target in (f"127.0.0.1:{port}", f"unix:/tmp/seaweedfs-{role}-grpc-{port}.sock"):
            tried += 1
            with grpc.insecure_channel(target) as channel:
                try:
                    next(channel.stream_stream(method)(iter([b"\x3a\x00"]), timeout=2.0))
                except grpc.RpcError:
                    continue
            found.append(target)
    return tried, found


def _run_statements(stack: RunningStack) -> tuple[int, list[str]]:
    found = []
    for statement in _STATEMENTS:
        with closing(psycopg2.connect(stack.journal_dsn)) as connection, connection.cursor() as cursor:
            try:
                cursor.execute(statement)
            except psycopg2.errors.InsufficientPrivilege:
                continue
        found.append(statement)
    return len(_STATEMENTS), found


def _forge_entries(stack: RunningStack) -> tuple[int, list[str]]:
    """Write entries with Valkey's password, but without the key of the cache."""
    name = _sample()
    key = cache_key("object", name)
    state = stack.state.path
    port = json.loads((state / "ports.json").read_text())["valkey"]
    expected = _classify(stack, name)
    answer = expected.json()
    forged = _write_forged_entry(key, answer)
    entries = {
        "unsealed": forged,
        "sealed by another": b"PLS1" + bytes(32) + forged,
        "empty": b"",
        "NUL": bytes(99),
    }
    found = []
    with redis.Redis(port=port, password=(state / "valkey" / "password").read_text()) as client:
        for kind, entry in entries.items():
            client.set(key, entry, ex=60)
            outcome = _classify(stack, name)
            if outcome.status_code != 200 or outcome.json()["findings"] != answer["findings"]:
                found.append(f"{kind}: {outcome.status_code}")
        client.delete(key)
        client.lpush(key, "a list")
        if _classify(stack, name).status_code != 200:
            found.append("a list")
        client.delete(key)
    return len(entries) + 1, found


def _write_forged_entry(key: str, answer: Mapping[str, Any]) -> bytes:
    nothing = np.zeros(len(FINDINGS), np.float32)
    model = answer["model"]
    forged = Answer(
        nothing,
        nothing + 1,
        0.5,
        np.zeros((len(FINDINGS), MAP_SIZE, MAP_SIZE), np.float32),
        Revision(model["version"], model["digest"]),
        PREPROCESSING_VERSION,
        "d" * 64,
    )
    return write_entry(key, CachedAnswer(forged, "etag"))


def _classify(stack: RunningStack, name: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {stack.make_token()}"}
    url = f"{stack.record.address}/classify"
    return httpx.post(url, json={"image_id": name}, headers=headers, timeout=30, trust_env=False)


def _ask_valkey(stack: RunningStack) -> tuple[int, list[str]]:
    port = json.loads((stack.state.path / "ports.json").read_text())["valkey"]
    commands = (("KEYS", "*"), ("SET", "a", "b"), ("CONFIG", "GET", "dir"), ("FLUSHALL",), ("INFO",))
    found = []
    with redis.Redis(port=port) as client:
        for command in commands:
            try:
                client.execute_command(*command)
            except redis.AuthenticationError:
                continue
            found.append(command[0])
    return len(commands), found


def _find_open_files(stack: RunningStack) -> tuple[int, list[str]]:
    """Find files that another user can read: those in closed folders cannot be reached."""
    tried, found = 0, []
    for parent, folders, files in os.walk(stack.state.path):
        is_open = Path(parent).stat().st_mode & stat.S_IXOTH
        tried += len(files)
        found += [name for name in files if is_open]
        folders[:] = [name for name in folders if not Path(parent, name).is_symlink()]
    return tried, found


def _find_variables(stack: RunningStack) -> tuple[int, list[str]]:
    found = []
    for name, part in stack.record.parts.items():
        variables = Path(f"/proc/{part.process.pid}/environ").read_bytes().split(b"\0")
        seen = {variable.split(b"=", 1)[0].decode() for variable in variables}
        found += [f"{name}: {variable}" for variable in seen & HOSTILE.keys()]
    return len(stack.record.parts), found
