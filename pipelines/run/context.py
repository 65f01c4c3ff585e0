"""What the steps of a run work with: its parameters, its records, and the clients of the servers."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from minio import Minio

from pipelines.data.manifest import Manifest, Record, Split
from pipelines.data.radiograph_cache import RadiographCache
from pipelines.data.store import DatasetStore, read_answered
from pipelines.gate.signature import read_private_key
from pipelines.registry.bundle_store import BundleStore
from pipelines.registry.mlflow_client import connect_mlflow
from pipelines.registry.registration import ModelVersion
from pipelines.registry.registry import Registry
from pipelines.run.parameters import RunParameters
from pipelines.run.records import RunRecords, StepResult
from pipelines.run.settings import Settings
from pleura.errors import RadiographNotFound
from pleura.object_bucket import ChangedObject, NoSuchObject, ObjectBucket, connect_from_settings


class NoChampion(Exception):
    """The registry has no champion, so that a run has nothing to start from and to compare with."""


class EmptySplit(Exception):
    """The data set has no radiograph of a split that a step needs."""


class StepNotDone(Exception):
    """A step needs the result of an earlier step that is not done."""


@dataclass(frozen=True)
class RunContext:
    """The parameters, records and servers of one run; each client is made when it is first needed."""

    settings: Settings
    parameters: RunParameters
    run: str

    @cached_property
    def client(self) -> Minio:
        """The object store."""
        return connect_from_settings(self.settings)

    @cached_property
    def datasets(self) -> DatasetStore:
        """The data sets in S3."""
        return DatasetStore(self.client, self.settings.data_bucket)

    @cached_property
    def objects(self) -> ObjectBucket:
        """The bucket of models, reports, decisions and records."""
        objects = ObjectBucket(self.client, self.settings.models_bucket)
        objects.make_bucket()
        return objects

    @cached_property
    def records(self) -> RunRecords:
        """The results of the steps of this run."""
        return RunRecords(self.objects, self.run)

    @cached_property
    def bundles(self) -> BundleStore:
        """The bundles in S3."""
        return BundleStore(self.objects)

    @cached_property
    def registry(self) -> Registry:
        """The registered models."""
        return Registry(connect_mlflow(self.settings.mlflow_uri.get_secret_value()), self.bundles)

    @property
    def folder(self) -> Path:
        """The folder of this run."""
        return self.settings.work / self.run

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of the data set."""
        return self.datasets.get(self.parameters.data_set)

    @cached_property
    def cache(self) -> RadiographCache:
        """Radiographs by digest, in a folder of this machine."""
        return RadiographCache(self.settings.work / "radiographs", self.datasets.read)

    def select_records(self, split: Split, *sources: str) -> tuple[Record, ...]:
        """Select the radiographs of a split from these sources; from the main source if none is given.

        Raises:
            EmptySplit: There is none.
        """
        sources = sources or (self.parameters.main_source,)
        records = self.manifest.records_of_split(split)
        selected = tuple(record for record in records if record.source in sources)
        if not selected:
            raise EmptySplit(f"the data set has no radiograph of {' or '.join(sources)} in the split {split}")
        return selected

    def starting_champion(self) -> ModelVersion:
        """The champion at the start of the run: training starts from it, and the gate compares with it.

        Raises:
            StepNotDone: The first step, which notes the champion, is not done.
        """
        # Not the champion of now: somebody may have promoted another model since the run began.
        return self.registry.version(int(self.fact("validate_data", "champion")))

    def finished(self, step: str) -> StepResult:
        """The result of an earlier step.

        Raises:
            StepNotDone: The step is not done.
        """
        result = self.records.read(step)
        if result is None:
            raise StepNotDone(f"the step {step} of the run {self.run} has not been done")
        return result

    def fact(self, step: str, name: str) -> str:
        """One fact of the result of an earlier step; raises as ``finished`` does."""
        return self.finished(step).facts[name]

    def fetch_bundle(self, digest: str) -> Path:
        """Fetch and verify a bundle, unless it is here already; give its folder."""
        folder = self.settings.work / "bundles" / digest
        self.bundles.download(digest, folder)
        return folder

    @contextlib.contextmanager
    def fetch_source(self, digest: str) -> Iterator[Path]:
        """Fetch the source that a bundle was built from; its folder exists until the context ends."""
        # A process that was killed leaves its folder, and download_source refuses a folder that exists.
        folder = self.folder / "source"
        shutil.rmtree(folder, ignore_errors=True)
        self.bundles.download_source(digest, folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def read_radiograph(self, key: str) -> bytes:
        """Read the file of a radiograph that was answered, by its image id.

        Raises:
            RadiographNotFound: The object is gone, or it has changed.
            StoreUnavailable: The store does not answer.
        """
        try:
            return read_answered(ObjectBucket(self.client, self.settings.s3_bucket), key)
        except (NoSuchObject, ChangedObject):  # an object larger than any radiograph counts as changed
            # Without its cause, which names the key, and a key may name a patient.
            raise RadiographNotFound("no such radiograph") from None

    def signing_key(self) -> bytes:
        """The private key that signs decisions, as PEM.

        Raises:
            InvalidKey: The file holds no such key.
        """
        pem = self.settings.decision_key_file.read_bytes()
        read_private_key(pem)
        return pem
