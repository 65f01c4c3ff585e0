"""Fuzz one target in its own process, with the memory and time limits of a decoder worker.

The results survive the death of the process: the current input is in a mapped file, counts and defects are
files in a folder.
"""

import argparse
import json
import mmap
import signal
import sys
import time
import traceback
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import atheris  # type: ignore[import-untyped]

from proof.fuzz.memory import bounded_memory

# Only modules that are first imported in this block guide the fuzzer.
with atheris.instrument_imports(
    include=[
        *("pydicom", "transformer", "pleura", "auth_proxy", "pipelines.imported"),
        *("starlette", "python_multipart", "jwt"),
    ]
):
    from proof.fuzz.mutation import MUTATORS, mutate_bytes
    from proof.fuzz.targets import TARGETS, run_target

_MAX_BYTES: Final = 65_536
_MEMORY_BYTES: Final = 384 * 2**20
_PROCESSOR_S: Final = 5.0
_SLOW_S: Final = 1.0
_REPORT_EVERY: Final = 500
_MAX_INPUTS_PER_DEFECT: Final = 20


class WatchedTarget:
    """A target that records each run."""

    def __init__(self, name: str, folder: Path) -> None:
        self._target, self._folder = TARGETS[name], folder
        self._counts: Counter[str] = Counter()
        self._stored: Counter[str] = Counter()
        self._slowest_s = 0.0
        last_input = (folder / "last_input").open("w+b")
        last_input.truncate(_MAX_BYTES + 4)
        self._last_input = mmap.mmap(last_input.fileno(), 0)

    def __call__(self, data: bytes) -> None:
        """Run the target once."""
        self._last_input[: len(data) + 4] = len(data).to_bytes(4, "little") + data
        began_s = time.process_time()
        # The signal ends this process, as the limit of processor time ends a decoder.
        signal.setitimer(signal.ITIMER_PROF, _PROCESSOR_S)
        try:
            with bounded_memory(_MEMORY_BYTES):
                outcome = run_target(self._target, data)
        except Exception as error:  # any exception outside our own family is a defect
            outcome = "defect"
            self._store_defect(error, data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
        took_s = time.process_time() - began_s
        self._slowest_s = max(self._slowest_s, took_s)
        self._counts[outcome if took_s < _SLOW_S else "slow"] += 1
        if took_s >= _SLOW_S:
            (self._folder / f"slow-{_digest(data)}").write_bytes(data)
        if self._counts.total() % _REPORT_EVERY == 0:
            self.report()

    def report(self) -> None:
        """Write the counts to a file."""
        counts = {**self._counts, "slowest_s": round(self._slowest_s, 3)}
        (self._folder / "counts.json").write_text(json.dumps(counts))

    def _store_defect(self, error: Exception, data: bytes) -> None:
        """Store some inputs for each place that raised an exception outside our own family."""
        # Inputs that fail at the same place are one defect.
        frames = traceback.extract_tb(error.__traceback__)
        where = [f"{frame.filename}:{frame.lineno}" for frame in frames[-3:]]
        kind = f"defect-{type(error).__name__}-{_digest(' '.join(where).encode())}"
        self._stored[kind] += 1
        if self._stored[kind] <= _MAX_INPUTS_PER_DEFECT:
            name = f"{kind}-{_digest(data)}"
            (self._folder / name).write_bytes(data)
            lines = [f"{type(error).__name__}: {error}", *where]
            (self._folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:12]


def main() -> None:
    """Fuzz one target until the end time."""
    parser = argparse.ArgumentParser(prog="proof.fuzz.worker")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("end", type=float, help="seconds since 1970")
    arguments = parser.parse_args()
    watched = WatchedTarget(arguments.target, arguments.folder)
    mutator = MUTATORS.get(arguments.target, mutate_bytes)

    def mutate(data: bytes, max_bytes: int, seed: int) -> bytes:
        return mutator(data, max_bytes, seed, atheris.Mutate)[:max_bytes]

    options: list[Any] = [
        sys.argv[0],
        str(arguments.folder / "corpus"),
        f"-max_total_time={max(1, round(arguments.end - time.time()))}",
        f"-max_len={_MAX_BYTES}",
        f"-artifact_prefix={arguments.folder}/native-",
        "-print_final_stats=1",
        # libFuzzer's own limit would count what the fuzzer itself needs.
        "-rss_limit_mb=0",
        "-timeout=600",
    ]
    atheris.Setup(options, watched, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
