"""How a rollout goes about it: its steps, and what would end it; read from YAML."""

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
    """A share of the traffic, kept until the canary gave enough answers and enough time has passed."""

    percent: int = Field(ge=1, le=100)
    least_answers: int = Field(ge=1)
    least_s: Seconds
    most_s: float = Field(gt=0)
    """After so long without enough answers the rollout is given up."""


class Guardrail(Value):
    """How much worse the canary may be: ``margin`` is minded by nobody, see ``Bound``."""

    margin: float = Field(ge=0)
    scale: float = Field(gt=0)
    alpha: float = Field(gt=0, lt=0.5)

    def bound(self, least_answers: int, tests: int = 1) -> Bound:
        """The bound for one of so many tests that share the chance of a false alarm."""
        return Bound(self.margin, self.scale, self.alpha / tests, least_answers)


class Guardrails(Value):
    """What the canary is compared with the stable revision in.

    ``latency`` is in units of the natural logarithm (0.2: a fifth slower), all others are shares. A guardrail
    that is left out is not kept.
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
    """The steps up to all of the traffic, the guardrails, and how patient a rollout is."""

    steps: tuple[RolloutStep, ...] = Field(min_length=1)
    guardrails: Guardrails
    check_s: float = Field(gt=0)
    """Seconds between two looks."""
    start_s: float = Field(gt=0)
    """Seconds for the canary to get ready at first."""
    unready_s: Seconds
    """Seconds for which the canary may be not ready later on."""
    settle_s: float = Field(gt=0)
    """Seconds for the traffic to follow what was asked for."""
    blind_s: float = Field(gt=0)
    """Seconds for which a rollout goes on without seeing the journal and the counters."""
    lease_s: float = Field(gt=0)
    """Seconds after which a rollout that gives no sign of life counts as dead."""

    @model_validator(mode="after")
    def _rises_to_all(self) -> "RolloutPlan":
        percents = [step.percent for step in self.steps]
        if percents != sorted(set(percents)) or percents[-1] != 100:
            raise ValueError("the steps must rise, and end with 100 percent")
        if self.check_s > self.lease_s / 3:
            raise ValueError("check_s must be at most a third of lease_s")
        return self


def read_plan(path: Path = DEFAULT_PLAN) -> RolloutPlan:
    """Read and check a plan.

    Raises:
        pydantic.ValidationError: A value is missing, unknown or makes no sense.
    """
    return RolloutPlan.model_validate(yaml.safe_load(path.read_text()))
