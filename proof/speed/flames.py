"""Flame graphs of the proxy and the transformer under load: ``python -m proof.speed.flames BUNDLE FOLDER``.

The transformer's has its decoder processes in it, each beside the service. Frames are functions of Python;
what they call in C counts as theirs.
"""

import argparse
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Final

from proof.lab.running_stack import RunningStack
from proof.lab.stack import running_stack
from proof.speed.lab import CLIENTS, Effort, PreparedRequests, SpeedLab, prepare, print_progress, speed_lab

_RATE_HZ: Final = 100
_LARGEST_BYTES: Final = 300_000
_LEAST_PERCENT: Final = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
_LABEL: Final = re.compile(r"(<title>|<text[^>]*>)([^<]*)")
_PATH: Final = re.compile(r"(?<![\w.:/-])/(?:[\w.+@-]+/)*([\w.+@-]*)")
_FRAME: Final = re.compile(r"<g><title>[^<]*, ([\d.]+)%\)</title>.*?</g>", re.DOTALL)


class NamesThisMachine(Exception):
    """A flame graph holds a path of the machine it was made on."""


def tidy(svg: str, title: str) -> str:
    """Shorten paths to their last part, and leave out the narrowest frames until the graph is small enough.

    Raises:
        NamesThisMachine: A path is left.
    """
    svg = _LABEL.sub(lambda label: label[1] + _PATH.sub(r"\1", label[2]), svg)
    svg = re.sub(r"process \d+:", "process ", re.sub("py-spy record[^<]*", title, svg))
    for least in _LEAST_PERCENT:
        kept = _wide_frames(svg, least)
        if len(kept.encode()) < _LARGEST_BYTES:
            break
    here = (Path(__file__).parents[2], sys.prefix, sys.base_prefix, tempfile.gettempdir(), Path.home())
    if any(f"{folder}/" in kept for folder in here):
        raise NamesThisMachine
    return kept


def _wide_frames(svg: str, least_percent: float) -> str:
    return _FRAME.sub(lambda frame: frame[0] if float(frame[1]) >= least_percent else "", svg)


def _record(speed_lab: SpeedLab, stack: RunningStack, part: str, asked: PreparedRequests) -> str:
    """Sample a part while eight clients ask."""
    with tempfile.TemporaryDirectory() as folder:
        raw, seconds = Path(folder) / "raw.svg", speed_lab.effort.seconds
        spy = [str(Path(sysconfig.get_path("scripts")) / "py-spy"), "record", "--format", "flamegraph"]
        spy += [
            "--pid",
            str(stack.find_process(part).pid),
            "--rate",
            str(_RATE_HZ),
            "--duration",
            f"{seconds:.0f}",
        ]
        # a paused thread that waited must run before it waits again: where cores are short it counts as busy
        spy += ["--nonblocking", "--function", "--subprocesses", "--output", str(raw)]
        with subprocess.Popen(spy, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as recorder:
            speed_lab.load(stack.record.address, asked.by_id)
            _, said = recorder.communicate(timeout=60)
        if recorder.returncode:
            raise RuntimeError(f"py-spy: {said.strip()}")
        return raw.read_text()


def draw(bundle: Path, folder: Path, effort: Effort) -> None:
    """Draw both parts, on the way past the cache and on the way out of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with speed_lab(bundle, effort) as here:
        for way, options in (("uncached", ("--no-cache",)), ("cached", ())):
            with running_stack(bundle, *options, environment=here.settings) as stack:
                asked = prepare(stack, effort.radiographs)
                here.load(stack.record.address, asked.by_id)  # warms
                for part in ("auth_proxy", "transformer"):
                    print_progress(f"flames: {part}, {way}")
                    path = folder / f"{part}-{way}.svg"
                    path.write_text(
                        tidy(_record(here, stack, part, asked), f"{part}, {way}, {CLIENTS} clients")
                    )


def main() -> None:
    """Draw all four."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    effort = Effort(rounds=1, seconds=arguments.seconds, radiographs=48)
    draw(arguments.bundle.resolve(), arguments.folder, effort)


if __name__ == "__main__":
    main()
