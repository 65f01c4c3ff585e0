"""Serve the transformer: ``python -m transformer``."""

import structlog

from pleura.serving.health import HealthChecks
from pleura.serving.server import KServeServer, ServerOptions
from pleura.serving.start import refuse_start, run_service
from transformer.cache.answer_cache import AnswerCache, LiveRevisions, connect
from transformer.decoding.pool import DecoderPool
from transformer.feedback.route import FeedbackRoute
from transformer.feedback.verdicts import Verdicts
from transformer.health import DependencyMonitor
from transformer.inference import Inference
from transformer.journal.database import Database
from transformer.journal.journal import Journal
from transformer.journal.spool import Spool
from transformer.metrics import UP
from transformer.model import ChestXrayTransformer
from transformer.object_store import Bucket, ObjectStore
from transformer.predictor_client import PredictorClient
from transformer.reader import Reader
from transformer.request import RequestLimits
from transformer.settings import TransformerSettings

log = structlog.get_logger()


def open_journal(settings: TransformerSettings) -> Journal:
    """Make the journal; a spool folder that cannot be written ends the process with one line."""
    try:
        spool = Spool(settings.spool_folder, settings.spool_max_mb * 2**20)
    except OSError as error:
        refuse_start(f"PLEURA_SPOOL_FOLDER: {settings.spool_folder}: {error.strerror}")
    return Journal(Database(settings.journal_dsn.get_secret_value()), spool, settings.journal_timeout_s)


def open_store(settings: TransformerSettings) -> ObjectStore:
    """Say where the radiographs are; a place that S3 cannot have ends the process with one line."""
    bucket = Bucket(
        settings.s3_url,
        settings.s3_access_key,
        settings.s3_secret_key.get_secret_value(),
        settings.s3_bucket,
        settings.s3_region,
    )
    try:
        return ObjectStore(bucket, settings.max_file_mb * 2**20)
    except ValueError as error:
        refuse_start(f"PLEURA_S3_URL, PLEURA_S3_REGION or PLEURA_S3_BUCKET: {error}")


def vitals_of(watch: DependencyMonitor, cache: AnswerCache, journal: Journal) -> HealthChecks:
    """What the transformer looks at to say how it is; without cache or PostgreSQL it goes on answering."""
    useful = {"journal": lambda: journal.is_writable}
    if cache.is_used:
        useful["cache"] = lambda: cache.is_up
    return HealthChecks(
        alive={"watch": lambda: watch.is_alive, "journal": lambda: journal.is_alive},
        needed={"predictor": lambda: watch.sees_predictor, "store": lambda: watch.sees_store},
        useful=useful,
    )


def show_vitals(vitals: HealthChecks) -> None:
    """Have the metrics say what ``/readyz`` says."""
    for name, check in {**vitals.needed, **vitals.useful}.items():
        UP.labels(name).set_function(check)


async def run_parts(
    decoders: DecoderPool,
    watch: DependencyMonitor,
    cache: AnswerCache,
    predictor: PredictorClient,
    store: ObjectStore,
) -> None:
    """Start what lives on the event loop, keep it until cancelled, and close it."""
    try:
        await decoders.start()
        await watch.run()
    except OSError as error:
        log.error("start_refused", reason=f"decoders cannot be started: {error.strerror}")
        raise SystemExit(1) from error
    finally:
        await decoders.close()
        await predictor.close()
        await cache.close()
        store.close()


def serve(settings: TransformerSettings) -> None:
    """Build the parts, and serve until a signal."""
    journal = open_journal(settings)
    store = open_store(settings)
    redis = connect(settings.redis_url) if settings.redis_url else None
    cache = AnswerCache(
        redis, LiveRevisions(settings.answering_ttl_s), settings.cache_ttl_s, settings.cache_timeout_s
    )
    predictor = PredictorClient(settings.predictor_address, settings.max_reading)
    decoders = DecoderPool(
        settings.decoders,
        settings.decode_timeout_s,
        settings.decode_memory_mb,
        settings.max_pixels_m * 10**6,
        processor_s=settings.decode_processor_s,
    )
    watch = DependencyMonitor(predictor, store, cache, settings.watch_interval_s)
    inference = Inference(store, decoders, predictor, settings.max_reading)
    reader = Reader(store, cache, inference)
    limits = RequestLimits(settings.timeout_s, settings.max_elements, settings.max_file_mb * 2**20)
    model = ChestXrayTransformer(reader, journal, watch, limits, settings.max_in_flight)
    database = Database(settings.journal_dsn.get_secret_value())
    verdicts = Verdicts(database, journal, settings.journal_timeout_s)
    routes = [FeedbackRoute(verdicts, settings.timeout_s).spec()]

    vitals = vitals_of(watch, cache, journal)
    show_vitals(vitals)
    journal.start()
    try:
        max_body_mb = settings.max_file_mb + 1
        edge = ServerOptions(
            settings.host, settings.http_port, settings.grpc_port, max_body_mb, settings.drain_s
        )
        background = [run_parts(decoders, watch, cache, predictor, store)]
        KServeServer(edge).serve(model, background, vitals, routes)
    finally:
        verdicts.close()
        journal.close()


def main() -> None:
    """Start the transformer."""
    with run_service("transformer", TransformerSettings) as settings:
        serve(settings)


if __name__ == "__main__":
    main()
