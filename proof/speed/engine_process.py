"""The engine's rows from a process of its own: TensorFlow, once loaded, stays where it is."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from proof.speed.lab import print_progress
from proof.speed.table import SpeedRow


def _measure(bundle: Path, rounds: int) -> list[SpeedRow]:
    from proof.speed import engine  # loads TensorFlow

    return engine.rows(bundle, rounds)


def rows(bundle: Path, rounds: int) -> list[SpeedRow]:
    """What ``proof.speed.engine`` measures."""
    print_progress("engine")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, bundle, rounds).result()
