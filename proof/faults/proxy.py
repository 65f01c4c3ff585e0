"""A TCP proxy before a server, whose behaviour is switched while it runs: a network on a bad day.

It is a process of its own, so that it takes no time from the load; what runs there is
``fault_proxy_process``.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

_ROOT: Final = Path(__file__).parents[2]
Kind = Literal[
    "pass",
    "slow",
    "down",
    "hanging",
    "forgotten",
    "reset",
    "cut",
    "trickle",
    "slow_close",
    "flapping",
    "garbled",
]


@dataclass(frozen=True)
class Fault:
    """How connections are treated from now on; those that exist already too.

    Kinds:
        slow: each direction takes ``ms`` longer.
        down: connections are refused, those that exist are reset.
        hanging: connections are accepted, and nothing passes; when it is over, everything goes on.
        forgotten: as hanging, but for the connections of that time it is never over.
        reset, cut: a connection is reset, or closed, after ``after_bytes`` of answers.
        trickle: one byte at a time, ``ms`` milliseconds each.
        slow_close: the server closes each connection after ``ms``, and the client hears of it ``ms`` later.
        flapping: down for ``ms``, up for ``ms``, and so on.
        garbled: every byte of an answer is another.
    """

    kind: Kind = "pass"
    ms: float = 0.0
    after_bytes: int = 0


@dataclass(frozen=True)
class ProxyTraffic:
    """The first line of an HTTP request that arrived, on the monotonic clock."""

    at_s: float
    line: str


class FaultProxy:
    """A running proxy on ``port``; it passes everything until it is told otherwise."""

    def __init__(self, target_port: int) -> None:
        command = [sys.executable, "-m", "proof.faults.proxy_process", str(target_port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT)
        self._lock = threading.Lock()
        self.port: int = self._read_answer()

    def set_fault(self, fault: Fault) -> None:
        """Behave so from now on."""
        self._send_order({"fault": asdict(fault)})

    def heal(self) -> None:
        """Pass everything again."""
        self.set_fault(Fault())

    @contextmanager
    def apply(self, fault: Fault) -> Iterator[None]:
        """Behave so for a while."""
        self.set_fault(fault)
        try:
            yield
        finally:
            self.heal()

    def read_traffic(self) -> Sequence[ProxyTraffic]:
        """The HTTP requests that have arrived so far, whether they were passed on or not."""
        return [ProxyTraffic(at_s, line) for at_s, line in self._send_order({})]

    def stop(self) -> None:
        """End the process."""
        with self._process:  # closes its standard input, which ends it
            pass

    def _send_order(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin
        with self._lock:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            return self._read_answer()

    def _read_answer(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())
