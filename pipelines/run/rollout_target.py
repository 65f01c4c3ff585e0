"""Where a challenger is rolled out: the stack of this machine, or an InferenceService."""

from dataclasses import dataclass

from kubernetes import client, config  # type: ignore[import-untyped]

from pipelines.rollout.kserve import KServeTarget
from pipelines.rollout.kserve_ledger import ConfigMapLedger
from pipelines.rollout.ledger import FileLedger, Ledger
from pipelines.rollout.local import LocalCounters, LocalTarget
from pipelines.rollout.prometheus import PrometheusCounters
from pipelines.rollout.state import RolloutWatcher
from pipelines.rollout.target import Change, Model, RolloutTarget, TargetUnavailable
from pipelines.rollout.watch import RolloutMonitor
from pipelines.run.context import RunContext


@dataclass(frozen=True)
class RolloutPlace:
    """What a rollout works with, and from which model to which it goes."""

    target: RolloutTarget
    watcher: RolloutWatcher
    ledger: Ledger
    change: Change


def place_of(shop: RunContext) -> RolloutPlace:
    """Find what serves the models, by the settings."""
    champion, challenger = shop.champion().digest, shop.fact("judge", "challenger")
    dsn = shop.settings.journal_dsn.get_secret_value()
    change = Change(_model(shop, champion), _model(shop, challenger))
    if shop.settings.target == "stack":
        state = shop.settings.stack
        watch = RolloutMonitor(dsn, LocalCounters(state, change), challenger, champion)
        return RolloutPlace(LocalTarget(state), watch, FileLedger(state / "rollout.json"), change)
    if not shop.settings.prometheus_url:
        raise TargetUnavailable("PLEURA_PROMETHEUS_URL is not set: nobody would see what the canary does")
    api = kubernetes_api()
    target = KServeTarget(api, shop.settings.namespace, shop.settings.inference_service)
    ledger = ConfigMapLedger(api, shop.settings.namespace, f"{shop.settings.inference_service}-rollout")
    counters = PrometheusCounters(shop.settings.prometheus_url, change)
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


def _model(shop: RunContext, digest: str) -> Model:
    version = shop.bundles.describe(digest).version
    if shop.settings.target == "stack":
        return Model(str(shop.bundle(digest)), digest, version)
    return Model(shop.bundles.uri(digest), digest, version)
