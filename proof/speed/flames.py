"""Draw flame graphs of the services under load: ``python -m proof.speed.flames BUNDLE FOLDER``.

The graph of the transformer includes its decoder processes. Frames are Python functions. Time in C code
counts for the function that calls it.
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
from proof.speed.lab import (
    CLIENTS,
    Effort,
    PreparedRequests,
    SpeedLab,
    prepare_requests,
    print_progress,
    start_speed_lab,
)

_RATE_HZ: Final = 100
_LARGEST_BYTES: Final = 300_000
_LEAST_PERCENT: Final = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
_LABEL: Final = re.compile(r"(<title>|<text[^>]*>)([^<]*)")
_PATH: Final = re.compile(r"(?<![\w.:/-])/(?:[\w.+@-]+/)*([\w.+@-]*)")
_FRAME: Final = re.compile(r"<g><title>[^<]*, ([\d.]+)%\)</title>.*?</g>", re.DOTALL)


class LocalPathInGraph(Exception):
    """A flame graph contains a path of the machine that made it."""


def clean_svg(svg: str, title: str) -> str:
    """Shorten paths to their last part, and drop the narrowest frames until the graph is small enough.

    Raises:
        LocalPathInGraph: A local path remains.
    """
    svg = _LABEL.sub(lambda label: label[1] + _PATH.sub(r"\1", label[2]), svg)
    svg = re.sub(r"process \d+:", "process ", re.sub("py-spy record[^<]*", title, svg))
    for least in _LEAST_PERCENT:
        cleaned = _drop_narrow_frames(svg, least)
        if len(cleaned.encode()) < _LARGEST_BYTES:
            break
    local_folders = (
        Path(__file__).parents[2],
        sys.prefix,
        sys.base_prefix,
        tempfile.gettempdir(),
        Path.home(),
    )
    # The graphs are published: py-spy writes paths of this machine into them.
    if any(f"{folder}/" in cleaned for folder in local_folders):
        raise LocalPathInGraph
    return cleaned


def _drop_narrow_frames(svg: str, least_percent: float) -> str:
    return _FRAME.sub(lambda frame: frame[0] if float(frame[1]) >= least_percent else "", svg)


def _record_flames(lab: SpeedLab, stack: RunningStack, part: str, prepared: PreparedRequests) -> str:
    """Sample a part while eight clients send requests."""
    with tempfile.TemporaryDirectory() as folder:
        raw, seconds = Path(folder) / "raw.svg", lab.effort.seconds
        command = [str(Path(sysconfig.get_path("scripts")) / "py-spy"), "record", "--format", "flamegraph"]
        command += [
            "--pid",
            str(stack.find_process(part).pid),
            "--rate",
            str(_RATE_HZ),
            "--duration",
            f"{seconds:.0f}",
        ]
        # without --nonblocking, py-spy pauses threads, and a waiting thread then counts as busy on few cores
        command += ["--nonblocking", "--function", "--subprocesses", "--output", str(raw)]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as recorder:
            lab.send_load(stack.record.address, prepared.by_id)
            _, errors = recorder.communicate(timeout=60)
        if recorder.returncode:
            raise RuntimeError(f"py-spy: {errors.strip()}")
        return raw.read_text()


def draw_flame_graphs(bundle: Path, folder: Path, effort: Effort) -> None:
    """Draw both parts, without a cache and with one."""
    folder.mkdir(parents=True, exist_ok=True)
    with start_speed_lab(bundle, effort) as lab:
        for cache_state, options in (("uncached", ("--no-cache",)), ("cached", ())):
            with running_stack(bundle, *options, environment=lab.settings) as stack:
                prepared = prepare_requests(stack, effort.radiographs)
                lab.send_load(stack.record.address, prepared.by_id)  # warms up the services
                for part in ("auth_proxy", "transformer"):
                    print_progress(f"flames: {part}, {cache_state}")
                    path = folder / f"{part}-{cache_state}.svg"
                    path.write_text(
                        clean_svg(
                            _record_flames(lab, stack, part, prepared),
                            f"{part}, {cache_state}, {CLIENTS} clients",
                        )
                    )


def main() -> None:
    """Draw all four graphs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    effort = Effort(rounds=1, seconds=arguments.seconds, radiographs=48)
    draw_flame_graphs(arguments.bundle.resolve(), arguments.folder, effort)


if __name__ == "__main__":
    main()
