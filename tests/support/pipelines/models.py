"""Models to register: small sealed folders, a bucket of their own, decisions about them."""

import hashlib
import secrets
from pathlib import Path

import numpy as np

from pipelines.registry.bundle_store import BundleStore
from pipelines.registry.registration import DecisionReference, MoveReason, Registration
from pleura.bundle import seal
from pleura.local.object_store import build_store_client
from pleura.object_bucket import ObjectBucket
from proof.lab.bundles import build_description, save_weights

KEYS = ("test-access", "test-secret-key")
WHY = MoveReason(who="a test", reason="to see what happens")


def new_store(url: str, bucket: str | None = None) -> BundleStore:
    """A store in a bucket that nobody else uses."""
    client = build_store_client(url, *KEYS, timeout_s=10.0)
    return BundleStore(ObjectBucket(client, bucket or f"models-{secrets.token_hex(4)}"))


def new_bundle(folder: Path, version: str = "0.0.1") -> Path:
    """Make a sealed bundle with placeholder files; no test loads them."""
    (folder / "saved_model" / "variables").mkdir(parents=True)
    (folder / "model.tflite").write_bytes(version.encode() * 50_000)
    (folder / "saved_model" / "saved_model.pb").write_bytes(b"graph")
    (folder / "saved_model" / "variables" / "variables.index").write_bytes(b"index")
    seal(folder, build_description(version))
    return folder


def new_source(folder: Path, version: str = "0.0.1", seed: int = 0) -> Path:
    """What such a bundle would be built from."""
    folder.mkdir()
    save_weights(folder, {"head/bias": np.random.default_rng(seed).normal(size=14)})
    (folder / "source.json").write_text(build_description(version).model_dump_json())
    return folder


def registration(digest: str, decision: DecisionReference | None = None) -> Registration:
    """A registration of a stored bundle."""
    return Registration(
        digest=digest,
        dataset_digest="d" * 64,
        code_version="0.1.0",
        parameters={"training.seed": "7"},
        figures={"mean_auroc": 0.75},
        report_uri="s3://reports/report.html",
        judgement_uri="s3://reports/judgement.json",
        decision=decision,
    )


def decided(
    store: BundleStore, challenger: str, champion: str | None, is_passed: bool = True
) -> DecisionReference:
    """A stored decision record on a challenger against that champion."""
    record = f"{is_passed} {champion}".encode()
    key = f"decisions/{secrets.token_hex(8)}.json"
    store.objects.make_bucket()
    store.objects.put(key, record)
    sha256 = hashlib.sha256(record).hexdigest()
    return DecisionReference(
        uri=store.objects.uri(key),
        sha256=sha256,
        is_passed=is_passed,
        challenger=challenger,
        champion=champion,
    )
