"""The seal of a test split: a model is judged on a data set once, and that judgement stands.

Who judges until the figures please has tuned on the test split. A second judgement of the same pair therefore
returns the first one, to the bit, whatever the second would have found.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipelines.judgement.dossier import Dossier


class WrongDossier(Exception):
    """A dossier is of another model or data set than the pair that it was made or stored for."""


@dataclass(frozen=True)
class Pair:
    """A model and a data set, both by digest."""

    dataset_digest: str
    model_digest: str

    @property
    def key(self) -> str:
        """Where the judgement of this pair lies."""
        return f"judgements/{self.dataset_digest}/{self.model_digest}.json"


class Records(Protocol):
    """Where judgements are kept: written once, never changed."""

    def read(self, key: str) -> bytes | None:
        """What is stored under a key, None where nothing is."""
        ...

    def write_new(self, key: str, document: bytes) -> bool:
        """Store a whole document under a key that holds nothing; say whether it was so."""
        ...


@dataclass(frozen=True)
class RecordFolder:
    """Judgements in a folder of this machine."""

    folder: Path

    def read(self, key: str) -> bytes | None:
        """What is stored under a key, None where nothing is."""
        path = self.folder / key
        return path.read_bytes() if path.exists() else None

    def write_new(self, key: str, document: bytes) -> bool:
        """Store a whole document under a key that holds nothing; say whether it was so."""
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent) as draft:
            draft.write(document)
            draft.flush()
            os.fsync(draft.fileno())
            try:
                path.hardlink_to(draft.name)
            except FileExistsError:
                return False
        return True


def judged_once(records: Records, pair: Pair, judge: Callable[[], Dossier]) -> Dossier:
    """Judge a model on a data set, unless that was done before.

    Args:
        records: Where judgements are kept.
        pair: Which model, which data set.
        judge: Reads the test split; called only where no judgement is stored.

    Returns:
        The stored judgement. Of two who judge at once, both get the one that was stored first.

    Raises:
        WrongDossier: The dossier is of another pair.
        InvalidDocument: What is stored is none.
    """
    stored = records.read(pair.key)
    if stored is None:
        document = _of_pair(judge(), pair).to_json()
        stored = document if records.write_new(pair.key, document) else records.read(pair.key)
        if stored is None:
            raise WrongDossier(f"{pair.key} was taken away while it was read")
    return _of_pair(Dossier.from_json(stored), pair)


def _of_pair(dossier: Dossier, pair: Pair) -> Dossier:
    found = Pair(dossier.subject.dataset.digest, dossier.subject.model_digest)
    if found != pair:
        raise WrongDossier(f"the dossier is that of {found.key}, not of {pair.key}")
    return dossier
