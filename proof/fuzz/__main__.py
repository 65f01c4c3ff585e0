"""Fuzz all code that reads bytes from outside, for hours: ``make proof-fuzz``.

Each target runs in its own process, guided by coverage (atheris), with the memory and time limits of a
decoder worker. Such a process may die, as a worker may. The campaign counts the death and starts the process
again. At the end the real decoder pool must answer every file that killed a process, and a thousand others.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from proof.fuzz.seeds import make_seeds
from proof.lab.decoders import DecodeOutcome, measured_decoders
from proof.lab.report import ClaimRow, print_claims

SHARES: Final = {
    "dicom": 0.34,
    "png": 0.10,
    "jpeg": 0.12,
    "v2": 0.12,
    "form": 0.08,
    "token": 0.08,
    "head": 0.05,
    "object_id": 0.05,
    "checkpoint": 0.03,
    "pickle": 0.03,
}
_FILES: Final = ("dicom", "png", "jpeg")
_REPLAYED: Final = 1000
_SLOW_S: Final = 2.0
_MAX_DEATHS: Final = 1000
_STATUS: Final = re.compile(r"^#(\d+)\s.*cov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE)


@dataclass
class FuzzCampaign:
    """The results of fuzzing one target."""

    executions: int = 0
    features: tuple[int, int] = (0, 0)
    corpus: tuple[int, int] = (0, 0)
    deaths: Counter[int] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)

    def add(self, log: str, counts: dict[str, float], status: int) -> None:
        """Add the log, the counts and the exit status of one process."""
        if lines := _STATUS.findall(log):
            self.executions += int(lines[-1][0])
            first = self.features[0] or int(lines[0][2])
            self.features = first, max(self.features[1], int(lines[-1][2]))
        self.outcomes.update({outcome: int(n) for outcome, n in counts.items() if outcome != "slowest_s"})
        if status:
            self.deaths[status] += 1


def fuzz_target(name: str, files: list[bytes], folder: Path, seconds: float) -> FuzzCampaign:
    """Fuzz one target for some seconds. Start its process again if it dies."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for file in files:
        (corpus / sha256(file).hexdigest()[:16]).write_bytes(file)
    campaign, end = FuzzCampaign(corpus=(len(files), 0)), time.time() + seconds
    while time.time() < end and campaign.deaths.total() < _MAX_DEATHS:
        # A process that dies early must not be given the counts of the one before.
        (folder / "counts.json").write_text("{}")
        with (folder / "log").open("wb") as log:
            command = [sys.executable, "-m", "proof.fuzz.worker", name, str(folder), str(end)]
            status = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
        text = (folder / "log").read_text(errors="replace")
        campaign.add(text, json.loads((folder / "counts.json").read_text()), status)
        if status:
            _store_last_input(folder, status)
    campaign.corpus = campaign.corpus[0], len(list(corpus.iterdir()))
    return campaign


def _store_last_input(folder: Path, status: int) -> None:
    """Store the input that killed a process, and the end of its log."""
    record = (folder / "last_input").read_bytes()
    data = record[4 : 4 + int.from_bytes(record[:4], "little")]
    name = f"death{status}-{sha256(data).hexdigest()[:12]}"
    (folder / name).write_bytes(data)
    (folder / f"{name}.txt").write_bytes((folder / "log").read_bytes()[-5000:])


def replay(files: list[bytes]) -> list[DecodeOutcome]:
    """Decode files in a pool with the service's settings, with a good file after each."""
    with measured_decoders() as decoders:
        return [decoders.read(file) for file in files]


def _collect_replay_files(folder: Path) -> list[bytes]:
    stored = [path for name in _FILES for path in (folder / name).iterdir() if path.is_file()]
    hostile = [
        path.read_bytes()
        for path in stored
        if path.name.startswith(("death", "slow", "defect")) and not path.suffix
    ]
    corpus = sorted(path for name in _FILES for path in (folder / name / "corpus").iterdir())
    return hostile + [path.read_bytes() for path in corpus[:: max(1, len(corpus) // _REPLAYED)]]


def _describe(name: str, campaign: FuzzCampaign) -> str:
    outcomes = ", ".join(f"{outcome} {n}" for outcome, n in campaign.outcomes.most_common())
    return (
        f"{name}: {campaign.executions} runs, features {campaign.features[0]} -> {campaign.features[1]}, "
        f"inputs {campaign.corpus[0]} -> {campaign.corpus[1]}, deaths {dict(campaign.deaths)}; {outcomes}"
    )


def main() -> int:
    """Run the campaign. The exit status is 0 if every claim holds."""
    parser = argparse.ArgumentParser(prog="proof.fuzz", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder for corpora and defects")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--only", choices=SHARES, nargs="*", default=[*SHARES])
    arguments = parser.parse_args()
    seeds, total, campaigns = make_seeds(), sum(SHARES[name] for name in arguments.only), {}
    for name in arguments.only:
        seconds = arguments.seconds * SHARES[name] / total
        campaigns[name] = fuzz_target(name, seeds[name], arguments.folder / name, seconds)
        sys.stdout.write(_describe(name, campaigns[name]) + "\n")
        sys.stdout.flush()
    files = _collect_replay_files(arguments.folder) if set(_FILES) <= set(arguments.only) else []
    replayed = replay(files)
    good = sum(outcome.is_good_next for outcome in replayed)
    late = sum(outcome.cost.wall_s > _SLOW_S for outcome in replayed)
    defects = [p.stem for p in arguments.folder.glob("*/defect-*.txt")]
    inverted = sum("silent inversion" in p.read_text() for p in arguments.folder.glob("*/defect-*.txt"))
    # A target that never ran has shown nothing.
    fewest = min(campaign.executions for campaign in campaigns.values())
    deaths = sum(campaign.deaths.total() for campaign in campaigns.values())
    slow = sum(campaign.outcomes["slow"] for campaign in campaigns.values())
    rows = [
        ClaimRow("runs of the target with the fewest runs", "> 0", f"{fewest}", fewest > 0),
        ClaimRow(
            "exceptions outside our error family",
            "0",
            f"{len(defects) - inverted}",
            len(defects) == inverted,
        ),
        ClaimRow("silent inversions", "0", f"{inverted}", inverted == 0),
        ClaimRow("runs over 1 s of processor time, or without end", "counted", f"{slow}", True),
        ClaimRow("deaths of fuzzing processes (a worker may die too)", "counted", f"{deaths}", True),
        ClaimRow("replayed files that took over 2 s", "0", f"{late}", late == 0),
        ClaimRow("good files answered after a replayed file", f"{len(files)}", f"{good}", good == len(files)),
    ]
    return print_claims("Fuzzing", rows)


if __name__ == "__main__":
    sys.exit(main())
