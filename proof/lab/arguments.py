"""The arguments that every campaign on a bundle has."""

import argparse
from pathlib import Path


def parse_campaign(program: str, **amounts: float) -> argparse.Namespace:
    """Parse ``BUNDLE [AMOUNT ...]``. Each amount has a name, a default, and the type of its default."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("bundle", type=Path)
    for name, default in amounts.items():
        parser.add_argument(name, type=type(default), nargs="?", default=default)
    return parser.parse_args()
