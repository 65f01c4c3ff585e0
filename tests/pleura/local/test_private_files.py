"""Files that only their owner can read."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pleura.local.private_files import read_or_make_secret

_CALLERS = 8


def test_parts_that_start_at_once_get_the_same_secret(tmp_path: Path) -> None:
    """However many make a secret at one moment, one is kept, all read that one, and nothing else is left."""
    with ThreadPoolExecutor(_CALLERS) as pool:
        for number in range(100):
            path, start = tmp_path / f"secret-{number}", threading.Barrier(_CALLERS)

            def read(path: Path = path, start: threading.Barrier = start) -> str:
                start.wait()
                return read_or_make_secret(path)

            read_ones = {each.result() for each in [pool.submit(read) for _ in range(_CALLERS)]}
            assert read_ones == {path.read_text()}
            assert path.stat().st_mode & 0o777 == 0o600
    assert len(list(tmp_path.iterdir())) == 100
