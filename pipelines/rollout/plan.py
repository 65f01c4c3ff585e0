"""The plan of a rollout, read from YAML: its steps, its guardrails, and how long it waits."""

from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import Field, model_validator

from pipelines.statistics.msprt import LEAST_ANSWERS, Bound
from pipelines.value import Value

DEFAULT_PLAN: Final = Path(__file__).with_name("plan.yaml")
Seconds = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class RolloutStep(Value):
    """A share of the traffic; it ends when the canary has given enough answers and enough time has passed."""

    percent: int = Field(ge=1, le=100)
    least_answers: int = Field(ge=1)
    least_s: Seconds
    most_s: float = Field(gt=0)
    """After so many seconds without enough answers, the rollout is rolled back."""


class Guardrail(Value):
    """How much worse the canary may be: by ``margin`` is accepted, see ``Bound``."""

    margin: float = Field(ge=0)
    scale: float = Field(gt=0)
    alpha: float = Field(gt=0, lt=0.5)

    def bound(self, least_answers: int, tests: int = 1) -> Bound:
        """The bound for one of ``tests`` tests, which share the chance of a false alarm."""
        return Bound(self.margin, self.scale, self.alpha / tests, least_answers)


class Guardrails(Value):
    """In which figures the canary is compared with the stable revision.

    ``latency`` is in units of the natural logarithm (0.2: a fifth slower), all others are shares. Without
    ``disagreement`` that figure is not compared.
    """

    least_answers: int = Field(default=LEAST_ANSWERS, ge=2)
    errors: Guardrail
    refusals: Guardrail
    latency: Guardrail
    call_rate: Guardrail
    atypical: Guardrail
    disagreement: Guardrail | None = None
    tolerated_errors: float = Field(default=0.02, gt=0, lt=0.5)


class RolloutPlan(Value):
    """The steps up to all of the traffic, the guardrails, and the time limits."""

    steps: tuple[RolloutStep, ...] = Field(min_length=1)
    guardrails: Guardrails
    check_s: float = Field(gt=0)
    """Seconds between two checks."""
    start_s: float = Field(gt=0)
    """Seconds that the canary may take to start."""
    unready_s: Seconds
    """Seconds that a started canary may be not ready."""
    settle_s: float = Field(gt=0)
    """Seconds that the traffic may take to reach the requested share."""
    blind_s: float = Field(gt=0)
    """Seconds that a rollout goes on while the journal or the counters cannot be read."""
    lease_s: float = Field(gt=0)
    """Seconds without a write to the ledger after which the holder of the lease counts as dead."""

    @model_validator(mode="after")
    def _require_rising_steps(self) -> "RolloutPlan":
        percents = [step.percent for step in self.steps]
        if percents != sorted(set(percents)) or percents[-1] != 100:
            raise ValueError("the steps must rise, and end with 100 percent")
        # The holder writes to the ledger at each check. With longer pauses it would be taken for dead.
        if self.check_s > self.lease_s / 3:
            raise ValueError("check_s must be at most a third of lease_s")
        return self


def read_plan(path: Path = DEFAULT_PLAN) -> RolloutPlan:
    """Read and check a plan.

    Raises:
        pydantic.ValidationError: A value is missing, unknown or out of its range.
    """
    return RolloutPlan.model_validate(yaml.safe_load(path.read_text()))
