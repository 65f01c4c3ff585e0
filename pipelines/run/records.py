"""The records of a run: each step writes its result once, so that no step is done twice."""

from dataclasses import dataclass

from pydantic import Field, ValidationError

from pipelines.run.parameters import RunParameters
from pipelines.value import Value
from pleura.object_bucket import ChangedObject, NoSuchObject, ObjectBucket


class ParametersChanged(Exception):
    """A run of that name was started with other parameters."""


class RunInProgress(Exception):
    """Another process advances the same run."""


class StepResult(Value):
    """The result of a step.

    The run goes on by ``verdict``. Later steps read ``facts``. ``words`` is the line in the run's report.
    ``links`` are the URIs of the files that the step wrote, by name.
    """

    step: str
    verdict: str
    words: str
    facts: dict[str, str] = Field(default_factory=dict)
    links: dict[str, str] = Field(default_factory=dict)
    seconds: float = Field(ge=0)


class StepFailure(Value):
    """Why a step failed when it was last tried."""

    step: str
    reason: str


@dataclass(frozen=True)
class RunRecords:
    """The records of one run, in the bucket of the models."""

    objects: ObjectBucket
    run: str

    def begin(self, parameters: RunParameters) -> None:
        """Write the parameters of the run, or require that they are the ones that it was started with.

        Raises:
            ParametersChanged: The run was started with other parameters.
        """
        key, document = self._key("parameters"), parameters.to_json().encode()
        # Two processes may begin the same run at once: the object store decides whose parameters hold.
        is_first = self.objects.put_if_absent(key, document, "application/json")
        if not is_first and self.objects.read(key) != document:
            raise ParametersChanged(
                f"the run {self.run} was started with other parameters: give this one another name"
            )

    def read(self, step: str) -> StepResult | None:
        """Read the result of a step; None if the step is not done.

        Raises:
            ChangedObject: The object is not the result of a step.
        """
        try:
            return StepResult.model_validate_json(self.objects.read(self._key(step)))
        except NoSuchObject:
            return None
        except ValidationError as error:
            raise ChangedObject(f"{self.objects.uri(self._key(step))} is not the record of a step") from error

    def write(self, result: StepResult) -> None:
        """Write the result of a step."""
        self.objects.put(
            self._key(result.step), result.model_dump_json(indent=1).encode(), "application/json"
        )

    def write_failure(self, failure: StepFailure) -> None:
        """Write why a step failed."""
        self.objects.put(self._key("failure"), failure.model_dump_json().encode(), "application/json")

    def read_failure(self) -> StepFailure | None:
        """Read the last failure; None if there is none, or the step was done since."""
        try:
            failure = StepFailure.model_validate_json(self.objects.read(self._key("failure")))
        except NoSuchObject:
            return None
        return None if self.read(failure.step) else failure

    def write_file(self, name: str, content: bytes, content_type: str) -> str:
        """Write a file of the run.

        Returns:
            The URI of the file.
        """
        key = f"runs/{self.run}/{name}"
        self.objects.put(key, content, content_type)
        return self.objects.uri(key)

    def read_file(self, name: str) -> bytes:
        """Read a file of the run."""
        return self.objects.read(f"runs/{self.run}/{name}")

    def _key(self, step: str) -> str:
        return f"runs/{self.run}/{step}.json"
