"""The engine's rows from a process of its own: TensorFlow, once loaded, stays where it is."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from proof.speed.lab import say
from proof.speed.table import Row


def _measure(bundle: Path, rounds: int) -> list[Row]:
    from proof.speed import engine  # loads TensorFlow

    return engine.rows(bundle, rounds)


def rows(bundle: Path, rounds: int) -> list[Row]:
    """What ``proof.speed.engine`` measures."""
    say("engine")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, bundle, rounds).result()
