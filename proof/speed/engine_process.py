"""Measure the engines in a process of its own, because TensorFlow stays loaded in its process."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from proof.speed.lab import print_progress
from proof.speed.table import SpeedRow


def _measure_here(bundle: Path, rounds: int) -> list[SpeedRow]:
    from proof.speed import engine  # loads TensorFlow

    return engine.measure_engines(bundle, rounds)


def measure_engines(bundle: Path, rounds: int) -> list[SpeedRow]:
    """Run ``proof.speed.engine`` in a new process."""
    print_progress("engine")
    # A fork would take the threads' locks along in whatever state they are.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure_here, bundle, rounds).result()
