"""One target fuzzed in a process of its own, with the memory and time that a decoder worker has.

What happens is written where it outlasts the process: the input at hand into a mapped file, counts and
findings into a folder.
"""

import argparse
import json
import mmap
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(
    include=["pydicom", "transformer", "pleura", "auth_proxy", "starlette", "python_multipart", "jwt"]
):
    from proof.fuzz.mutation import MUTATORS, mutate_bytes
    from proof.fuzz.targets import TARGETS, run_target

_MOST_BYTES: Final = 65_536
_MEMORY_BYTES: Final = 384 * 2**20
_PROCESSOR_S: Final = 5.0
_SLOW_S: Final = 1.0
_REPORT_EVERY: Final = 500
_KEPT_OF_A_KIND: Final = 20


class WatchedTarget:
    """A target that leaves a record of each run."""

    def __init__(self, name: str, folder: Path) -> None:
        self._target, self._folder = TARGETS[name], folder
        self._counts: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()
        self._slowest_s = 0.0
        at_hand = (folder / "at_hand").open("w+b")
        at_hand.truncate(_MOST_BYTES + 4)
        self._at_hand = mmap.mmap(at_hand.fileno(), 0)

    def __call__(self, data: bytes) -> None:
        """Run it once."""
        self._at_hand[: len(data) + 4] = len(data).to_bytes(4, "little") + data
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, _PROCESSOR_S)
        unbounded = _bound_memory()
        try:
            outcome = run_target(self._target, data)
        except Exception as error:  # everything but our own family is what we look for
            outcome = "finding"
            self._keep(error, data)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, unbounded)
            signal.setitimer(signal.ITIMER_PROF, 0.0)
        took = time.process_time() - began
        self._slowest_s = max(self._slowest_s, took)
        self._counts[outcome if took < _SLOW_S else "slow"] += 1
        if took >= _SLOW_S:
            (self._folder / f"slow-{_digest(data)}").write_bytes(data)
        if self._counts.total() % _REPORT_EVERY == 0:
            self.report()

    def report(self) -> None:
        """Write down the counts."""
        counts = {**self._counts, "slowest_s": round(self._slowest_s, 3)}
        (self._folder / "counts.json").write_text(json.dumps(counts))

    def _keep(self, error: Exception, data: bytes) -> None:
        """Keep some inputs for each place where something else than an error of ours was raised."""
        frames = traceback.extract_tb(error.__traceback__)
        where = [f"{frame.filename}:{frame.lineno}" for frame in frames[-3:]]
        kind = f"finding-{type(error).__name__}-{_digest(' '.join(where).encode())}"
        self._kept[kind] += 1
        if self._kept[kind] <= _KEPT_OF_A_KIND:
            name = f"{kind}-{_digest(data)}"
            (self._folder / name).write_bytes(data)
            lines = [f"{type(error).__name__}: {error}", *where]
            (self._folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def _bound_memory() -> tuple[int, int]:
    """Bound the memory of one run; gives the limits from before."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    return before


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:12]


def main() -> None:
    """Fuzz one target until a time."""
    parser = argparse.ArgumentParser(prog="proof.fuzz.worker")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("end", type=float, help="seconds since 1970")
    arguments = parser.parse_args()
    watched = WatchedTarget(arguments.target, arguments.folder)
    mutator = MUTATORS.get(arguments.target, mutate_bytes)

    def mutated(data: bytes, most: int, seed: int) -> bytes:
        return mutator(data, most, seed, atheris.Mutate)[:most]

    options: list[Any] = [
        sys.argv[0],
        str(arguments.folder / "corpus"),
        f"-max_total_time={max(1, round(arguments.end - time.time()))}",
        f"-max_len={_MOST_BYTES}",
        f"-artifact_prefix={arguments.folder}/native-",
        "-print_final_stats=1",
        "-rss_limit_mb=0",
        "-timeout=600",
    ]
    atheris.Setup(options, watched, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
