"""Where a challenger is rolled out: the stack of this machine, or an InferenceService."""

from dataclasses import dataclass

from kubernetes import client, config  # type: ignore[import-untyped]

from pipelines.rollout.kserve import KServeTarget
from pipelines.rollout.kserve_ledger import ConfigMapLedger
from pipelines.rollout.ledger import FileLedger, Ledger
from pipelines.rollout.local import LocalCounters, LocalTarget
from pipelines.rollout.monitor import RolloutMonitor
from pipelines.rollout.prometheus import PrometheusCounters
from pipelines.rollout.state import ObservationSource
from pipelines.rollout.target import ModelChange, ModelReference, RolloutTarget, TargetUnavailable
from pipelines.run.context import RunContext


@dataclass(frozen=True)
class RolloutPlace:
    """What a rollout works with, and from which model to which it goes."""

    target: RolloutTarget
    watcher: ObservationSource
    ledger: Ledger
    change: ModelChange


def place_of(context: RunContext) -> RolloutPlace:
    """Find what serves the models, by the settings."""
    champion, challenger = context.champion().digest, context.fact("judge", "challenger")
    dsn = context.settings.journal_dsn.get_secret_value()
    change = ModelChange(_model(context, champion), _model(context, challenger))
    if context.settings.target == "stack":
        state = context.settings.stack
        watch = RolloutMonitor(dsn, LocalCounters(state, change), challenger, champion)
        return RolloutPlace(LocalTarget(state), watch, FileLedger(state / "rollout.json"), change)
    if not context.settings.prometheus_url:
        raise TargetUnavailable("PLEURA_PROMETHEUS_URL is not set: nobody would see what the canary does")
    api = kubernetes_api()
    target = KServeTarget(api, context.settings.namespace, context.settings.inference_service)
    ledger = ConfigMapLedger(api, context.settings.namespace, f"{context.settings.inference_service}-rollout")
    counters = PrometheusCounters(context.settings.prometheus_url, change)
    return RolloutPlace(target, RolloutMonitor(dsn, counters, challenger, champion), ledger, change)


def kubernetes_api() -> client.ApiClient:
    """A client of the cluster that this process runs in, or of the one that kubectl would ask.

    Raises:
        TargetUnavailable: Neither is configured.
    """
    try:
        config.load_config()
    except config.ConfigException as error:
        raise TargetUnavailable("no cluster is configured for this process") from error
    return client.ApiClient()


def _model(context: RunContext, digest: str) -> ModelReference:
    version = context.bundles.describe(digest).version
    if context.settings.target == "stack":
        return ModelReference(str(context.bundle(digest)), digest, version)
    return ModelReference(context.bundles.uri(digest), digest, version)
