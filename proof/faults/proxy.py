"""A TCP proxy in front of a server. Its fault can be changed while it runs.

The proxy runs in its own process, ``proof.faults.proxy_process``, so that it takes no time from the load.
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
    """How the proxy treats all connections, also those that are open already.

    Kinds:
        slow: each direction takes ``ms`` longer.
        down: new connections are refused, and open connections are reset.
        hanging: connections are accepted, and no byte passes. After the fault all bytes pass.
        forgotten: like hanging, but the connections of that time stay silent for ever.
        reset, cut: a connection is reset, or closed, after ``after_bytes`` of answers.
        trickle: one byte at a time, ``ms`` milliseconds each.
        slow_close: the server closes each connection after ``ms``. The client sees this ``ms`` later.
        flapping: down for ``ms`` and up for ``ms``, in turn.
        garbled: every byte of an answer is changed.
    """

    kind: Kind = "pass"
    ms: float = 0.0
    after_bytes: int = 0


@dataclass(frozen=True)
class ProxyTraffic:
    """The first line of an HTTP request, and its arrival on the monotonic clock."""

    at_s: float
    line: str


class FaultProxy:
    """A running fault proxy on ``port``. At first it has no fault."""

    def __init__(self, target_port: int) -> None:
        command = [sys.executable, "-m", "proof.faults.proxy_process", str(target_port)]
        # Python finds the module from the root of the repository only.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT)
        self._lock = threading.Lock()
        self.port: int = self._read_answer()

    def set_fault(self, fault: Fault) -> None:
        """Set the fault."""
        self._send_order({"fault": asdict(fault)})

    def heal(self) -> None:
        """Remove the fault."""
        self.set_fault(Fault())

    @contextmanager
    def apply(self, fault: Fault) -> Iterator[None]:
        """Have the fault until the block ends."""
        self.set_fault(fault)
        try:
            yield
        finally:
            self.heal()

    def read_traffic(self) -> Sequence[ProxyTraffic]:
        """Read the HTTP requests that have arrived so far, whether or not they were passed on."""
        return [ProxyTraffic(at_s, line) for at_s, line in self._send_order({})]

    def stop(self) -> None:
        """Stop the process."""
        with self._process:  # the end of the standard input stops the process
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
