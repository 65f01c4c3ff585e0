"""``python -m benchmarks --bundle FOLDER``: engines side by side, and the whole way against the engine."""

import argparse
from pathlib import Path

from benchmarks import engine, whole_way


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    bundle = parser.parse_args().bundle
    print(whole_way.table(whole_way.measure(bundle)), flush=True)
    print()
    engine.main(bundle)


if __name__ == "__main__":
    main()
