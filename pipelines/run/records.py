"""What the steps of a run have done: written once each, so that no step is done twice."""

from dataclasses import dataclass

from pydantic import Field, ValidationError

from pipelines.object_store import ChangedObject, NoSuchObject, ObjectStore
from pipelines.run.parameters import RunParameters
from pipelines.value import Value


class ParametersChanged(Exception):
    """A run of that name was started with other parameters."""


class RunInProgress(Exception):
    """Another process is at the same run."""


class StepResult(Value):
    """What a step leaves: ``verdict`` decides how the run goes on, ``facts`` are what later steps need.

    ``words`` is what the run's report says of it; ``links`` are the URIs of what it wrote, by name.
    """

    step: str
    verdict: str
    words: str
    facts: dict[str, str] = Field(default_factory=dict)
    links: dict[str, str] = Field(default_factory=dict)
    seconds: float = Field(ge=0)


class StepFailure(Value):
    """Why a step of a run has failed, when it was last tried."""

    step: str
    reason: str


@dataclass(frozen=True)
class RunRecords:
    """The records of one run, in the bucket of the models."""

    objects: ObjectStore
    run: str

    def begin(self, parameters: RunParameters) -> None:
        """See that the run has these parameters; the first who asks decides.

        Raises:
            OtherRun: It was begun with others.
        """
        key, document = self._key("parameters"), parameters.to_json().encode()
        is_first = self.objects.put_new(key, document, "application/json")
        if not is_first and self.objects.read(key) != document:
            raise ParametersChanged(
                f"the run {self.run} was started with other parameters: give this one another name"
            )

    def read(self, step: str) -> StepResult | None:
        """What a step left; None where it is not done.

        Raises:
            ChangedObject: What is there is no record.
        """
        try:
            return StepResult.model_validate_json(self.objects.read(self._key(step)))
        except NoSuchObject:
            return None
        except ValidationError as error:
            raise ChangedObject(f"{self.objects.uri(self._key(step))} is no record of a step") from error

    def keep(self, done: StepResult) -> None:
        """Write down that a step is done."""
        self.objects.put(self._key(done.step), done.model_dump_json(indent=1).encode(), "application/json")

    def note_failure(self, failure: StepFailure) -> None:
        """Write down why a step has failed; who tries it again may succeed."""
        self.objects.put(self._key("failure"), failure.model_dump_json().encode(), "application/json")

    def failure(self) -> StepFailure | None:
        """The last failure, unless the step was done since."""
        try:
            found = StepFailure.model_validate_json(self.objects.read(self._key("failure")))
        except NoSuchObject:
            return None
        return None if self.read(found.step) else found

    def write(self, name: str, content: bytes, content_type: str) -> str:
        """Keep a file of the run.

        Returns:
            Its URI.
        """
        key = f"runs/{self.run}/{name}"
        self.objects.put(key, content, content_type)
        return self.objects.uri(key)

    def content(self, name: str) -> bytes:
        """A file of the run."""
        return self.objects.read(f"runs/{self.run}/{name}")

    def _key(self, step: str) -> str:
        return f"runs/{self.run}/{step}.json"
