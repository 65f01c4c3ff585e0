"""Serve a model bundle: ``python -m predictor``."""

import os
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from pleura.bundle import InvalidBundle, NotStored, verify
from pleura.contract import SIZE_PX
from pleura.errors import InvalidAnswer, StoreUnavailable
from pleura.observability.metrics import show_model
from pleura.serving.health import HealthChecks
from pleura.serving.model import DescribedModel
from pleura.serving.server import KServeServer, ServerOptions
from pleura.serving.start import refuse_start, run_service
from predictor.batching import Batcher, BatchLimits
from predictor.engines.agreement import DifferentGraphs, require_same
from predictor.engines.engine import Engine, open_engine
from predictor.engines.pool import EnginePool
from predictor.engines.thread import EngineThread
from predictor.health import ModelHealth
from predictor.metrics import QUEUE
from predictor.model import ChestXrayPredictor
from predictor.output_checks import require_answer, require_shapes
from predictor.settings import PredictorSettings

WRONG_BUNDLE: Final = 3
BUNDLE_UNAVAILABLE: Final = 4
"""Exit code where the object store does not answer: the start may succeed later."""
_MAX_BODY_MB: Final = 16
log = structlog.get_logger()


def fetch_bundle(settings: PredictorSettings) -> Path:
    """Return the folder of the bundle, which is downloaded first if its URI says so."""
    if not settings.bundle_uri:
        return settings.bundle
    from predictor.bundle_source import find_bundle  # MinIO's client comes along, some 20 MB

    try:
        return find_bundle(settings)
    except (InvalidBundle, NotStored) as error:
        refuse_start(f"PLEURA_BUNDLE_URI: {error}", WRONG_BUNDLE)
    except StoreUnavailable as error:
        refuse_start(f"PLEURA_BUNDLE_URI: {error}", BUNDLE_UNAVAILABLE)
    except OSError as error:
        refuse_start(f"PLEURA_BUNDLE: {settings.bundle} cannot be written: {error.strerror}")


def read_bundle(settings: PredictorSettings) -> DescribedModel:
    """Verify and describe the bundle; refuse the start with a damaged one, or another one."""
    try:
        description, digest = verify(settings.bundle)
    except InvalidBundle as error:
        refuse_start(str(error), WRONG_BUNDLE)
    if settings.bundle_digest not in ("", digest):
        reason = f"PLEURA_BUNDLE_DIGEST: {settings.bundle} has another digest: {digest}"
        refuse_start(f"{reason}, not {settings.bundle_digest}", WRONG_BUNDLE)
    return DescribedModel(description, digest)


def open_warm_engine(settings: PredictorSettings, threads: int) -> Engine:
    """Load the graph and run it once; refuse the start with a graph that gives no valid outputs."""
    try:
        engine = open_engine(settings.engine, settings.bundle, threads)
        batch = min(settings.max_batch, engine.max_batch or settings.max_batch)
        blank = np.zeros((batch, SIZE_PX, SIZE_PX, 1), np.uint8)
        outputs = engine.run(blank)
        require_shapes(outputs, len(blank))
        require_answer(outputs)
    except KeyError as error:
        refuse_start(f"{settings.bundle} cannot be served: its graph does not give {error}", WRONG_BUNDLE)
    except ImportError as error:
        refuse_start(f"PLEURA_ENGINE: {settings.engine} is not installed ({error})")
    except (InvalidAnswer, ValueError, RuntimeError, OSError) as error:
        refuse_start(f"{settings.bundle} cannot be served: {str(error).splitlines()[0]}", WRONG_BUNDLE)
    return engine


def require_reference(settings: PredictorSettings, engine: Engine) -> None:
    """Refuse to start OpenVINO where its outputs differ from LiteRT's: its kernels depend on the CPU."""
    noise = np.random.default_rng(0).integers(0, 256, (1, SIZE_PX, SIZE_PX, 1), dtype=np.uint8)
    # its outputs depend on the processor (docs/decisions/0002); LiteRT's library stays in memory, some 20 MB
    reference = open_engine("litert", settings.bundle, settings.threads)
    try:
        require_same(engine.run(noise), reference.run(noise), "OpenVINO and LiteRT")
    except DifferentGraphs as error:
        refuse_start(f"PLEURA_ENGINE: {error} on this processor")


def open_pool(settings: PredictorSettings) -> tuple[EnginePool, int]:
    """Load the engines.

    Returns:
        The pool, and the largest batch of one of its engines.
    """
    wide = open_warm_engine(settings, settings.threads)
    if settings.engine == "openvino":
        require_reference(settings, wide)
    # under load, engines of one thread need less processor time than one of all (docs/decisions/0003)
    lanes = min(settings.lanes, settings.threads) if wide.max_batch == 1 else 1
    share, rest = divmod(settings.threads, lanes)
    thread_counts = [share + (lane < rest) for lane in range(lanes)] if lanes > 1 else []
    narrow = [open_warm_engine(settings, threads) for threads in thread_counts]
    pool = EnginePool(EngineThread(wide), [EngineThread(engine) for engine in narrow])
    return pool, min(settings.max_batch, wide.max_batch or settings.max_batch)


def serve(settings: PredictorSettings) -> None:
    """Load the model, and serve it until a signal."""
    settings = settings.model_copy(update={"bundle": fetch_bundle(settings)})
    bundle = read_bundle(settings)
    # before the engines make their threads, which inherit it: cached answers go first (docs/decisions/0016)
    os.nice(settings.niceness)
    pool, max_batch = open_pool(settings)
    batcher = Batcher(pool, BatchLimits(max_batch, settings.max_queue, settings.max_wait_ms / 1000))
    model_health = ModelHealth(pool)
    model_health.note_answer()  # the engines have just run
    model = ChestXrayPredictor(bundle, batcher, model_health, settings.timeout_s)
    log.info("model_loaded", version=bundle.description.version, digest=bundle.digest)
    show_model(bundle.description.version)
    QUEUE.set_function(lambda: batcher.waiting)
    health = HealthChecks(
        alive={"engine": lambda: pool.is_alive and not model_health.is_lost},
        needed={"model": lambda: model_health.is_ready},
    )
    options = ServerOptions(
        settings.host,
        settings.http_port,
        settings.grpc_port,
        _MAX_BODY_MB,
        settings.service_keys,
        settings.hosts,
        settings.drain_s,
    )
    try:
        KServeServer(options).serve(model, [batcher.work(), model_health.watch(model.probe)], health)
    finally:
        pool.close()


def main() -> None:
    """Start the predictor."""
    with run_service("predictor", PredictorSettings) as settings:
        serve(settings)


if __name__ == "__main__":
    main()
