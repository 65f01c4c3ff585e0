"""What a step works with: the clients of the servers, and a folder of the run; made once, at the edge."""

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
from pipelines.object_store import ChangedObject, NoSuchObject, ObjectStore, connect_from_settings
from pipelines.registry.bundle_store import BundleStore
from pipelines.registry.mlflow_client import connect_mlflow
from pipelines.registry.registration import ModelVersion
from pipelines.registry.registry import Registry
from pipelines.run.parameters import RunParameters
from pipelines.run.records import RunRecords, StepResult
from pipelines.run.settings import Settings
from pleura.errors import RadiographNotFound


class NoChampion(Exception):
    """The registry has no champion to start from and to compare with."""


class NoRadiographs(Exception):
    """The data set has no radiograph of a split that a step needs."""


class StepNotDone(Exception):
    """A step needs one that has not been done."""


@dataclass(frozen=True)
class RunContext:
    """The servers, parameters and records of one run."""

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
    def objects(self) -> ObjectStore:
        """The bucket of models, reports, decisions and records."""
        objects = ObjectStore(self.client, self.settings.models_bucket)
        objects.make_bucket()
        return objects

    @cached_property
    def records(self) -> RunRecords:
        """What the steps of this run have left."""
        return RunRecords(self.objects, self.run)

    @cached_property
    def bundles(self) -> BundleStore:
        """The bundles in S3."""
        return BundleStore(self.objects)

    @cached_property
    def registry(self) -> Registry:
        """The registered models."""
        return Registry(connect_mlflow(self.settings.mlflow_uri), self.bundles)

    @property
    def folder(self) -> Path:
        """The folder of this run."""
        return self.settings.work / self.run

    @cached_property
    def manifest(self) -> Manifest:
        """The data set."""
        return self.datasets.get(self.parameters.data_set)

    def records_of(self, split: Split, *sources: str) -> tuple[Record, ...]:
        """The radiographs of a split, of these sources or of the main one.

        Raises:
            NoRadiographs: There is none.
        """
        wanted = sources or (self.parameters.main_source,)
        found = tuple(each for each in self.manifest.records_of_split(split) if each.source in wanted)
        if not found:
            raise NoRadiographs(
                f"the data set has no radiograph of {' or '.join(wanted)} in the split {split}"
            )
        return found

    @cached_property
    def cache(self) -> RadiographCache:
        """Radiographs by content, kept on this machine."""
        return RadiographCache(self.settings.work / "radiographs", self.datasets.read)

    def champion(self) -> ModelVersion:
        """The champion that the run began with: what it started from is what it is compared with.

        Raises:
            NoChampion: There is none.
            NotDone: The run has not begun.
        """
        return self.registry.version(int(self.fact("validate_data", "champion")))

    def done(self, step: str) -> StepResult:
        """What an earlier step left.

        Raises:
            NotDone: It has not been done.
        """
        done = self.records.read(step)
        if done is None:
            raise StepNotDone(f"the step {step} of the run {self.run} has not been done")
        return done

    def fact(self, step: str, name: str) -> str:
        """One fact of what an earlier step left; raises as ``done`` does."""
        return self.done(step).facts[name]

    def bundle(self, digest: str) -> Path:
        """A folder with a bundle, fetched and proven where it is not there yet."""
        folder = self.settings.work / "bundles" / digest
        self.bundles.download(digest, folder)
        return folder

    @contextlib.contextmanager
    def source(self, digest: str) -> Iterator[Path]:
        """A folder with what a bundle was built from, for as long as it is needed."""
        folder = self.folder / "source"
        shutil.rmtree(folder, ignore_errors=True)
        self.bundles.download_source(digest, folder)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def read_radiograph(self, key: str) -> bytes:
        """A radiograph that was answered, by its image id.

        Raises:
            RadiographNotFound: It is not there any more, or something else is.
            StoreUnavailable: The store does not answer.
        """
        try:
            return read_answered(ObjectStore(self.client, self.settings.s3_bucket), key)
        except (NoSuchObject, ChangedObject):  # what is larger than any radiograph was not answered
            raise RadiographNotFound("no such radiograph") from None

    def signing_key(self) -> bytes:
        """The key of the decisions, as PEM.

        Raises:
            InvalidKey: The file holds none.
        """
        pem = self.settings.decision_key_file.read_bytes()
        read_private_key(pem)
        return pem
