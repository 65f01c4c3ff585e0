"""Claims about a predictor process that is killed or frozen, and a bundle with one flipped bit."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import httpx

from pleura.bundle import InvalidBundle, verify
from pleura.local.processes import HOST, free_port
from proof.faults.lab import FaultLab
from proof.faults.matrix import PER_S
from proof.lab.load import call_steadily, compute_quantile_ms
from proof.lab.report import ClaimRow
from proof.lab.service_key import KEY_ONLY

# A balancer asks for readiness every few seconds; longer than this and callers notice.
_UNREADY_S, _READY_S, _TIMEOUT_S = 10.0, 10.0, 20.0
_DEADLINE_S, _GRACE_S = 2.0, 0.1
_WRONG_BUNDLE: Final = 3
_OFFSETS: Final = 200


async def check_frozen_model(lab: FaultLab) -> ClaimRow:
    """Check that readiness follows when the predictor's process is frozen and continues later."""

    async def revive() -> None:
        lab.predictor.send_signal(signal.SIGCONT)

    return await _interrupt_predictor(lab, "model process frozen", signal.SIGSTOP, revive)


async def check_killed_model(lab: FaultLab) -> ClaimRow:
    """Check that readiness follows when the predictor's process is killed and replaced."""

    async def revive() -> None:
        await asyncio.to_thread(lab.predictor.start)

    return await _interrupt_predictor(lab, "model process killed", signal.SIGKILL, revive)


async def _interrupt_predictor(
    lab: FaultLab, claim: str, number: signal.Signals, revive: Callable[[], Awaitable[None]]
) -> ClaimRow:
    lab.empty_cache()
    ids = lab.cycle_image_ids()
    timeout_ms = int(1000 * _DEADLINE_S)
    async with (
        lab.make_caller() as caller,
        call_steadily(lambda: caller.send_id(next(ids), timeout_ms=timeout_ms), PER_S) as load,
    ):
        await asyncio.sleep(1.0)
        lab.predictor.send_signal(number)
        unready_s = await asyncio.gather(
            *(_wait_for_readiness(url, False) for url in _build_readiness_urls(lab))
        )
        await revive()
        ready_s = await asyncio.gather(
            *(_wait_for_readiness(url, True) for url in _build_readiness_urls(lab))
        )
        await asyncio.sleep(1.0)
        # Only the last second must be perfect: until then a request may still meet the old process.
        last_second_s = time.monotonic()
        await asyncio.sleep(1.0)
    last = [answer for answer in load.answers if answer.sent_s >= last_second_s]
    slowest_s = compute_quantile_ms(load.answers, 1.0) / 1000
    holds = (
        max(unready_s) <= _UNREADY_S
        and max(ready_s) <= _READY_S
        and slowest_s <= _DEADLINE_S + _GRACE_S
        and all(answer.is_ok for answer in last)
    )
    measured = (
        f"transformer unready after {unready_s[0]:.1f} s, proxy {unready_s[1]:.1f} s; ready again after "
        f"{ready_s[0]:.1f} s, {ready_s[1]:.1f} s; slowest answer {slowest_s:.2f} s"
    )
    return ClaimRow(claim, f"{_UNREADY_S:.0f} s; {_DEADLINE_S + _GRACE_S:.1f} s", measured, holds)


def _build_readiness_urls(lab: FaultLab) -> tuple[str, str]:
    record = lab.stack.record
    return f"{record.parts['transformer'].url}/readyz", f"{record.address}/readyz"


async def _wait_for_readiness(url: str, is_ready: bool) -> float:
    """Poll a readiness URL until it has the wanted state, and return how long that took."""
    began_s = time.monotonic()
    async with httpx.AsyncClient(timeout=3.0, trust_env=False, verify=False) as client:
        while time.monotonic() - began_s < _TIMEOUT_S:
            if ((await client.get(url)).status_code == httpx.codes.OK) is is_ready:
                return time.monotonic() - began_s
            await asyncio.sleep(0.1)
    return float("inf")


def check_flipped_bits(folder: Path, bundle: Path) -> list[ClaimRow]:
    """Check that no bundle loads after one bit of any of its files is flipped."""
    copy = folder / "flipped_byte_rows"
    shutil.copytree(bundle, copy)
    rng, flips, loaded, wrong = random.Random(0), 0, [], []
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    for path in files:
        content = path.read_bytes()
        # docs/decisions/0042: a flipped byte in bundle.json
        # could once load, so each byte of a small file is tried.
        for offset in _choose_offsets(len(content), rng):
            path.write_bytes(_flip(content, offset, rng.randrange(8)))
            flips += 1
            if _is_valid(copy):
                loaded.append(f"{path.relative_to(copy)} at {offset}")
        if problem := _start_predictor(copy):
            wrong.append(f"{path.relative_to(copy)}: {problem}")
        path.write_bytes(content)
    # If the undamaged copy did not load either, all refusals would show nothing.
    is_restored = _is_valid(copy)
    shutil.rmtree(copy)
    measured = f"{flips} flips in {len(files)} files: {len(loaded)} loaded {' '.join(loaded[:3])}".rstrip()
    started = f"{len(files)} starts, {len(files) - len(wrong)} refused {'; '.join(wrong)}".rstrip()
    return [
        ClaimRow("a bundle with one flipped bit", "0 loaded", measured, not loaded and is_restored),
        ClaimRow(
            "a predictor started on such a bundle", f"exit code {_WRONG_BUNDLE}, one line", started, not wrong
        ),
    ]


def _choose_offsets(size: int, rng: random.Random) -> Sequence[int]:
    """Choose all offsets of a small file, or the ends and some others of a large file."""
    if size <= _OFFSETS:
        return range(size)
    # First and last byte always: formats have their lengths and ends there.
    return sorted({0, size - 1, *rng.sample(range(size), _OFFSETS)})


def _flip(content: bytes, offset: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[offset] ^= 1 << bit
    return bytes(changed)


def _is_valid(bundle: Path) -> bool:
    try:
        verify(bundle)
    except InvalidBundle:
        return False
    return True


def _start_predictor(bundle: Path) -> str:
    """Start a predictor on a damaged bundle. Return what went wrong, or an empty text."""
    settings = {
        "PLEURA_BUNDLE": str(bundle),
        **KEY_ONLY,
        "PLEURA_HOST": HOST,
        "PLEURA_HTTP_PORT": str(free_port()),
        "PLEURA_GRPC_PORT": str(free_port()),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "predictor"],
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "it started"
    lines = len(output.strip().splitlines())
    is_refused = process.returncode == _WRONG_BUNDLE and lines == 1
    return "" if is_refused else f"exit code {process.returncode}, {lines} lines"
