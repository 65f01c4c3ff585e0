"""Hours of damaged input for everything that reads what strangers wrote: ``make proof-fuzz``.

Each target runs in a process of its own, guided by coverage (atheris), with the memory and time of a decoder
worker. Such a process may die, as a worker may; it is counted and started again. At the end the real decoder
pool is given every file that killed one, and a thousand of those that were found, and must answer them all.
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
    "dicom": 0.40,
    "png": 0.10,
    "jpeg": 0.12,
    "v2": 0.12,
    "form": 0.08,
    "token": 0.08,
    "head": 0.05,
    "object_id": 0.05,
}
_FILES: Final = ("dicom", "png", "jpeg")
_REPLAYED: Final = 1000
_SLOW_S: Final = 2.0
_MOST_DEATHS: Final = 1000
_STATUS: Final = re.compile(r"^#(\d+)\s.*cov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE)


@dataclass
class FuzzCampaign:
    """What came of one target."""

    executions: int = 0
    features: tuple[int, int] = (0, 0)
    corpus: tuple[int, int] = (0, 0)
    deaths: Counter[int] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)

    def add(self, log: str, counts: dict[str, float], status: int) -> None:
        """Take in what one process left behind."""
        if lines := _STATUS.findall(log):
            self.executions += int(lines[-1][0])
            first = self.features[0] or int(lines[0][2])
            self.features = first, max(self.features[1], int(lines[-1][2]))
        self.outcomes.update({word: int(n) for word, n in counts.items() if word != "slowest_s"})
        if status:
            self.deaths[status] += 1


def fuzz_target(name: str, files: list[bytes], folder: Path, seconds: float) -> FuzzCampaign:
    """Fuzz one target for its time, starting its process again where it dies."""
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for file in files:
        (corpus / sha256(file).hexdigest()[:16]).write_bytes(file)
    campaign, end = FuzzCampaign(corpus=(len(files), 0)), time.time() + seconds
    while time.time() < end and campaign.deaths.total() < _MOST_DEATHS:
        (folder / "counts.json").write_text("{}")
        with (folder / "log").open("wb") as log:
            command = [sys.executable, "-m", "proof.fuzz.worker", name, str(folder), str(end)]
            status = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
        text = (folder / "log").read_text(errors="replace")
        campaign.add(text, json.loads((folder / "counts.json").read_text()), status)
        if status:
            _keep_the_last(folder, status)
    campaign.corpus = campaign.corpus[0], len(list(corpus.iterdir()))
    return campaign


def _keep_the_last(folder: Path, status: int) -> None:
    """Keep the input that a process died of, and what it said."""
    at_hand = (folder / "at_hand").read_bytes()
    data = at_hand[4 : 4 + int.from_bytes(at_hand[:4], "little")]
    name = f"death{status}-{sha256(data).hexdigest()[:12]}"
    (folder / name).write_bytes(data)
    (folder / f"{name}.txt").write_bytes((folder / "log").read_bytes()[-5000:])


def replay(files: list[bytes]) -> list[DecodeOutcome]:
    """Give files to the pool as the service starts it, and a good one after each."""
    with measured_decoders() as reader:
        return [reader.read(file) for file in files]


def _files_to_replay(folder: Path) -> list[bytes]:
    found = [path for name in _FILES for path in (folder / name).iterdir() if path.is_file()]
    hostile = [
        p.read_bytes() for p in found if p.name.startswith(("death", "slow", "finding")) and not p.suffix
    ]
    grown = sorted(path for name in _FILES for path in (folder / name / "corpus").iterdir())
    return hostile + [path.read_bytes() for path in grown[:: max(1, len(grown) // _REPLAYED)]]


def _described(name: str, campaign: FuzzCampaign) -> str:
    outcomes = ", ".join(f"{word} {n}" for word, n in campaign.outcomes.most_common())
    return (
        f"{name}: {campaign.executions} runs, features {campaign.features[0]} -> {campaign.features[1]}, "
        f"inputs {campaign.corpus[0]} -> {campaign.corpus[1]}, deaths {dict(campaign.deaths)}; {outcomes}"
    )


def main() -> int:
    """Run the campaign; the exit status is 0 where every claim holds."""
    parser = argparse.ArgumentParser(prog="proof.fuzz", description=__doc__)
    parser.add_argument("folder", type=Path, help="where corpus and findings are kept")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--only", choices=SHARES, nargs="*", default=[*SHARES])
    arguments = parser.parse_args()
    starts, total, campaigns = make_seeds(), sum(SHARES[name] for name in arguments.only), {}
    for name in arguments.only:
        seconds = arguments.seconds * SHARES[name] / total
        campaigns[name] = fuzz_target(name, starts[name], arguments.folder / name, seconds)
        sys.stdout.write(_described(name, campaigns[name]) + "\n")
        sys.stdout.flush()
    files = _files_to_replay(arguments.folder) if set(_FILES) <= set(arguments.only) else []
    replayed = replay(files)
    good = sum(outcome.is_good_next for outcome in replayed)
    late = sum(outcome.cost.wall_s > _SLOW_S for outcome in replayed)
    findings = [p.stem for p in arguments.folder.glob("*/finding-*.txt")]
    inverted = sum("silent inversion" in p.read_text() for p in arguments.folder.glob("*/finding-*.txt"))
    fewest = min(campaign.executions for campaign in campaigns.values())
    deaths = sum(campaign.deaths.total() for campaign in campaigns.values())
    slow = sum(campaign.outcomes["slow"] for campaign in campaigns.values())
    rows = [
        ClaimRow("runs of the target that had fewest", "> 0", f"{fewest}", fewest > 0),
        ClaimRow(
            "exceptions outside the family", "0", f"{len(findings) - inverted}", len(findings) == inverted
        ),
        ClaimRow("silent inversions", "0", f"{inverted}", inverted == 0),
        ClaimRow("runs over 1 s of processor time, or without end", "counted", f"{slow}", True),
        ClaimRow("fuzzed processes that died (as a worker may)", "counted", f"{deaths}", True),
        ClaimRow("replays over 2 s by the clock", "0", f"{late}", late == 0),
        ClaimRow("good files answered after a replay", f"{len(files)}", f"{good}", good == len(files)),
    ]
    return print_claims("Fuzzing", rows)


if __name__ == "__main__":
    sys.exit(main())
