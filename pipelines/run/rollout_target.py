"""Connect a rollout to what serves the models: the stack of this machine, or an InferenceService."""

from kubernetes import client, config  # type: ignore[import-untyped]

from pipelines.rollout.kserve import KServeTarget
from pipelines.rollout.kserve_ledger import ConfigMapLedger
from pipelines.rollout.ledger import FileLedger
from pipelines.rollout.local import LocalCounters, LocalTarget
from pipelines.rollout.monitor import RolloutMonitor
from pipelines.rollout.prometheus import PrometheusCounters
from pipelines.rollout.state import RolloutParts
from pipelines.rollout.target import ModelChange, ModelReference, TargetUnavailable
from pipelines.run.context import RunContext


def read_model_change(context: RunContext) -> ModelChange:
    """Read from which champion to which challenger the run leads."""
    champion, challenger = context.starting_champion().digest, context.fact("judge", "challenger")
    return ModelChange(_refer_to_model(context, champion), _refer_to_model(context, challenger))


def connect_rollout(context: RunContext, change: ModelChange) -> RolloutParts:
    """Connect to the target that the settings name.

    Raises:
        TargetUnavailable: No cluster is configured, or no Prometheus to observe the canary with.
    """
    settings, plan = context.settings, context.parameters.rollout
    dsn = settings.journal_dsn.get_secret_value()
    digests = change.challenger.digest, change.champion.digest
    if settings.target == "stack":
        monitor = RolloutMonitor(dsn, LocalCounters(settings.stack, change), *digests)
        return RolloutParts(
            LocalTarget(settings.stack), monitor, FileLedger(settings.stack / "rollout.json"), plan
        )
    if not settings.prometheus_url:
        raise TargetUnavailable("PLEURA_PROMETHEUS_URL is not set: the canary could not be observed")
    api, name = connect_kubernetes(), settings.inference_service
    counters = PrometheusCounters(settings.prometheus_url.get_secret_value(), change)
    monitor = RolloutMonitor(dsn, counters, *digests)
    ledger = ConfigMapLedger(api, settings.namespace, f"{name}-rollout")
    return RolloutParts(KServeTarget(api, settings.namespace, name), monitor, ledger, plan)


def connect_kubernetes() -> client.ApiClient:
    """Connect to the cluster that this process runs in, or else to kubectl's current context.

    Raises:
        TargetUnavailable: Neither is configured.
    """
    try:
        config.load_config()
    except config.ConfigException as error:
        raise TargetUnavailable("no cluster is configured for this process") from error
    return client.ApiClient()


def _refer_to_model(context: RunContext, digest: str) -> ModelReference:
    version = context.bundles.describe(digest).version
    if context.settings.target == "stack":
        return ModelReference(str(context.fetch_bundle(digest)), digest, version)
    return ModelReference(context.bundles.uri(digest), digest, version)
