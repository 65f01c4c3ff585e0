"""A model process that is killed or frozen, and a bundle of which one byte is another."""

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

_UNREADY_S, _BACK_S, _PATIENCE_S = 10.0, 10.0, 20.0
_DEADLINE_S, _GRACE_S = 2.0, 0.1
_WRONG_BUNDLE: Final = 3
_OFFSETS: Final = 200


async def check_frozen_model(lab: FaultLab) -> ClaimRow:
    """The predictor's process is stopped, and goes on later."""

    async def revive() -> None:
        lab.predictor.send(signal.SIGCONT)

    return await _gone(lab, "model process frozen", signal.SIGSTOP, revive)


async def check_killed_model(lab: FaultLab) -> ClaimRow:
    """The predictor's process is killed, and another started in its place."""

    async def revive() -> None:
        await asyncio.to_thread(lab.predictor.start)

    return await _gone(lab, "model process killed", signal.SIGKILL, revive)


async def _gone(
    lab: FaultLab, claim: str, how: signal.Signals, revive: Callable[[], Awaitable[None]]
) -> ClaimRow:
    lab.empty_cache()
    caller, questions = lab.caller(), lab.cycle_image_ids()
    timeout_ms = int(1000 * _DEADLINE_S)
    async with call_steadily(lambda: caller.ask(next(questions), timeout_ms=timeout_ms), PER_S) as load:
        await asyncio.sleep(1.0)
        lab.predictor.send(how)
        unready_s = await asyncio.gather(*(_until(url, False) for url in _readiness(lab)))
        await revive()
        back_s = await asyncio.gather(*(_until(url, True) for url in _readiness(lab)))
        await asyncio.sleep(1.0)
        answered_s = time.monotonic()
        await asyncio.sleep(1.0)
    last = [answer for answer in load.answers if answer.sent_s >= answered_s]
    slowest_s = compute_quantile_ms(load.answers, 1.0) / 1000
    holds = (
        max(unready_s) <= _UNREADY_S
        and max(back_s) <= _BACK_S
        and slowest_s <= _DEADLINE_S + _GRACE_S
        and all(answer.is_ok for answer in last)
    )
    measured = (
        f"transformer unready after {unready_s[0]:.1f} s, proxy {unready_s[1]:.1f} s; ready again after "
        f"{back_s[0]:.1f} s, {back_s[1]:.1f} s; slowest answer {slowest_s:.2f} s"
    )
    return ClaimRow(claim, f"{_UNREADY_S:.0f} s; {_DEADLINE_S + _GRACE_S:.1f} s", measured, holds)


def _readiness(lab: FaultLab) -> tuple[str, str]:
    recorded = lab.stack.record
    return f"{recorded.parts['transformer'].url}/readyz", f"{recorded.address}/readyz"


async def _until(url: str, is_ready: bool) -> float:
    """Ask until the answer is so; give how long that took."""
    began_s = time.monotonic()
    async with httpx.AsyncClient(timeout=3.0, trust_env=False, verify=False) as client:
        while time.monotonic() - began_s < _PATIENCE_S:
            if ((await client.get(url)).status_code == httpx.codes.OK) is is_ready:
                return time.monotonic() - began_s
            await asyncio.sleep(0.1)
    return float("inf")


def check_flipped_bits(folder: Path, bundle: Path) -> list[ClaimRow]:
    """Turn one bit, at many places of every file, and try to load what has become of the bundle."""
    copy = folder / "flipped_byte_rows"
    shutil.copytree(bundle, copy)
    chosen, tried, loaded, wrong = random.Random(0), 0, [], []
    files = sorted(path for path in copy.rglob("*") if path.is_file())
    for path in files:
        whole = path.read_bytes()
        for offset in _offsets(len(whole), chosen):
            path.write_bytes(_flip(whole, offset, chosen.randrange(8)))
            tried += 1
            if _verifies(copy):
                loaded.append(f"{path.relative_to(copy)} at {offset}")
        if said := _started(copy):
            wrong.append(f"{path.relative_to(copy)}: {said}")
        path.write_bytes(whole)
    is_whole = _verifies(copy)
    shutil.rmtree(copy)
    measured = f"{tried} flips in {len(files)} files: {len(loaded)} loaded {' '.join(loaded[:3])}".rstrip()
    started = f"{len(files)} starts, {len(files) - len(wrong)} refused {'; '.join(wrong)}".rstrip()
    return [
        ClaimRow("a bit of the bundle flipped", "0 loaded", measured, not loaded and is_whole),
        ClaimRow("a predictor started on it", f"exit code {_WRONG_BUNDLE}, one line", started, not wrong),
    ]


def _offsets(size: int, chosen: random.Random) -> Sequence[int]:
    """All of a small file, the ends and some places between of a large one."""
    if size <= _OFFSETS:
        return range(size)
    return sorted({0, size - 1, *chosen.sample(range(size), _OFFSETS)})


def _flip(content: bytes, offset: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[offset] ^= 1 << bit
    return bytes(changed)


def _verifies(bundle: Path) -> bool:
    try:
        verify(bundle)
    except InvalidBundle:
        return False
    return True


def _started(bundle: Path) -> str:
    """Start a predictor; empty where it refused as it should."""
    settings = {
        "PLEURA_BUNDLE": str(bundle),
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
        said, _ = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "it started"
    lines = len(said.strip().splitlines())
    is_refused = process.returncode == _WRONG_BUNDLE and lines == 1
    return "" if is_refused else f"exit code {process.returncode}, {lines} lines"
