"""Serve the transformer: ``python -m transformer``."""

import secrets

import structlog

from pleura.serving.health import HealthChecks
from pleura.serving.server import KServeServer, ServerOptions
from pleura.serving.start import refuse_start, run_service
from transformer.answers.overlays import Overlays
from transformer.answers.route import AnswersRoutes
from transformer.answers.stored_answers import StoredAnswers
from transformer.cache.answer_cache import AnswerCache, LiveRevisions, connect
from transformer.cache.seal import Seal
from transformer.decoding.pool import DecoderPool
from transformer.feedback.route import VerdictsRoute
from transformer.feedback.verdicts import Verdicts
from transformer.health import DependencyMonitor
from transformer.inference import Inference
from transformer.journal.database import Database
from transformer.journal.journal import Journal
from transformer.journal.spool import Spool
from transformer.metrics import UP
from transformer.model import ChestXrayTransformer
from transformer.object_store import Bucket, RadiographStore
from transformer.predictor_client import PredictorClient
from transformer.pseudonyms import PseudonymKeys
from transformer.reader import Reader
from transformer.refusal_policy import RefusalPolicy
from transformer.request import RequestLimits
from transformer.settings import TransformerSettings

log = structlog.get_logger()


def open_journal(settings: TransformerSettings) -> Journal:
    """Open the journal. A spool folder that cannot be written refuses the start."""
    try:
        spool = Spool(settings.spool_folder, settings.spool_max_mb * 2**20)
    except OSError as error:
        refuse_start(f"PLEURA_SPOOL_FOLDER: {settings.spool_folder}: {error.strerror}")
    return Journal(open_database(settings), spool, settings.journal_timeout_s)


def open_database(settings: TransformerSettings) -> Database:
    """Make a pool of connections to PostgreSQL."""
    return Database(settings.journal_dsn.get_secret_value())


def open_store(settings: TransformerSettings) -> RadiographStore:
    """Make the client of the object store. An address or name that S3 does not allow refuses the start."""
    bucket = Bucket(
        settings.s3_url,
        settings.s3_access_key.get_secret_value(),
        settings.s3_secret_key.get_secret_value(),
        settings.s3_bucket,
        settings.s3_region,
    )
    try:
        return RadiographStore(bucket, settings.max_file_mb * 2**20)
    except ValueError as error:
        refuse_start(f"PLEURA_S3_URL, PLEURA_S3_REGION or PLEURA_S3_BUCKET: {error}")


def open_cache(settings: TransformerSettings) -> AnswerCache:
    """Make the cache, which is empty for ever without a ``PLEURA_REDIS_URL``."""
    redis_url = settings.redis_url.get_secret_value()
    redis = connect(redis_url) if redis_url else None
    key = settings.cache_key.get_secret_value().encode()
    if redis and not key:
        log.warning("cache_key_missing")
    seal = Seal(key or secrets.token_bytes())
    live_revisions = LiveRevisions(settings.answering_ttl_s)
    return AnswerCache(redis, seal, live_revisions, settings.cache_ttl_s, settings.cache_timeout_s)


def make_decoders(settings: TransformerSettings) -> DecoderPool:
    """Make the pool of decoder processes, which starts later, on the event loop."""
    return DecoderPool(
        settings.decoders,
        settings.decode_timeout_s,
        settings.decode_memory_mb,
        settings.max_pixels_m * 10**6,
        processor_s=settings.decode_processor_s,
    )


def make_health_checks(monitor: DependencyMonitor, cache: AnswerCache, journal: Journal) -> HealthChecks:
    """Make the checks behind ``/healthz``, ``/readyz`` and the metric ``pleura_dependency_up``."""
    useful = {"journal": lambda: journal.is_writable}
    if cache.is_configured:
        useful["cache"] = lambda: cache.is_up
    health = HealthChecks(
        alive={"watch": lambda: monitor.is_alive, "journal": lambda: journal.is_alive},
        needed={"predictor": lambda: monitor.is_predictor_up, "store": lambda: monitor.is_store_up},
        useful=useful,
    )
    for name, check in {**health.needed, **health.useful}.items():
        UP.labels(name).set_function(check)
    return health


async def run_background(
    decoders: DecoderPool,
    monitor: DependencyMonitor,
    cache: AnswerCache,
    predictor: PredictorClient,
    store: RadiographStore,
) -> None:
    """Start the decoders, run the monitor until cancelled, then close all clients."""
    try:
        await decoders.start()
        await monitor.run()
    except OSError as error:
        log.error("start_refused", reason=f"decoders cannot be started: {error.strerror}")
        raise SystemExit(1) from error
    finally:
        await decoders.close()
        await predictor.close()
        await cache.close()
        await store.close()


def serve(settings: TransformerSettings) -> None:
    """Build the parts, and serve until a signal."""
    journal = open_journal(settings)
    store = open_store(settings)
    cache = open_cache(settings)
    predictor = PredictorClient(
        settings.predictor_address, settings.max_reading, settings.service_keys.headers
    )
    decoders = make_decoders(settings)
    monitor = DependencyMonitor(predictor, store, cache, settings.watch_interval_s)

    keys = PseudonymKeys(settings.pseudonym_keys)

    policy = RefusalPolicy.parse(settings.refusal_policy)
    inference = Inference(store, decoders, predictor, policy, settings.max_reading, keys)
    reader = Reader(store, cache, inference, keys.key_id)
    limits = RequestLimits(settings.timeout_s, settings.max_elements, settings.max_file_mb * 2**20)
    model = ChestXrayTransformer(reader, journal, monitor, limits, policy, settings.max_in_flight, keys)
    verdicts = Verdicts(open_database(settings), journal, settings.journal_timeout_s)
    stored = StoredAnswers(open_database(settings), journal, settings.journal_timeout_s, keys)
    overlays = Overlays(stored, store, reader, decoders, monitor)
    routes = [VerdictsRoute(verdicts, settings.timeout_s).spec()]
    routes += AnswersRoutes(stored, overlays, settings.timeout_s).specs()
    health = make_health_checks(monitor, cache, journal)
    background = [run_background(decoders, monitor, cache, predictor, store)]
    options = ServerOptions(
        settings.host,
        settings.http_port,
        settings.grpc_port,
        max_body_mb=settings.max_file_mb + 1,  # a request has a JSON part too
        keys=settings.service_keys,
        hosts=settings.hosts,
        drain_s=settings.drain_s,
    )

    journal.start()
    try:
        KServeServer(options).serve(model, background, health, routes)
    finally:
        stored.close()
        verdicts.close()
        journal.close()


def main() -> None:
    """Run the transformer."""
    with run_service("transformer", TransformerSettings) as settings:
        serve(settings)


if __name__ == "__main__":
    main()
