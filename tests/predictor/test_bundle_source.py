"""A predictor that fetches its bundle itself: from a real S3 server, or from a folder."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipelines.registry.bundle_store import BundleStore
from pleura.bundle import verify
from pleura.local.dependencies import Server
from pleura.local.pleura_services import Ports, start_service
from pleura.local.processes import free_port
from proof.lab.service_key import KEY_ONLY
from tests.support.pipelines.models import KEYS, new_store

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def store(seaweed: Server) -> BundleStore:
    """A bucket of bundles."""
    return new_store(seaweed.url)


@pytest.fixture(scope="module")
def settings(store: BundleStore, bundle: Path, seaweed: Server) -> Mapping[str, str]:
    """The settings of a predictor whose bundle is in S3."""
    digest = store.upload(bundle)
    return {
        "PLEURA_BUNDLE_URI": store.uri(digest),
        "PLEURA_BUNDLE_DIGEST": digest,
        "PLEURA_S3_URL": seaweed.url,
        "PLEURA_S3_ACCESS_KEY": KEYS[0],
        "PLEURA_S3_SECRET_KEY": KEYS[1],
        "PLEURA_THREADS": "1",
    }


def refuse(folder: Path, settings: Mapping[str, str]) -> tuple[int, str]:
    """Run a predictor that does not start, and return its exit code and the reason in its last log line."""
    own = {
        "PLEURA_HOST": "127.0.0.1",
        "PLEURA_HTTP_PORT": str(free_port()),
        "PLEURA_GRPC_PORT": str(free_port()),
        "PLEURA_BUNDLE": str(folder),
        **KEY_ONLY,
    }
    done = subprocess.run(
        [sys.executable, "-m", "predictor"],
        cwd=_ROOT,
        env={**os.environ, **own, **settings},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["event"] == "start_refused"
    return done.returncode, last["reason"]


def serve(folder: Path, settings: Mapping[str, str]) -> list[str]:
    """Start a predictor, wait until it is ready, stop it, and return the events of its log."""
    ports = Ports(free_port(), free_port())
    log_folder = folder / f"log-{ports.http}"  # a log is appended to
    service = start_service(
        "predictor", log_folder, ports, {"PLEURA_BUNDLE": str(folder), **KEY_ONLY, **settings}
    )
    service.stop()
    lines = service.log.read_text().splitlines()
    # LiteRT writes a line of its own
    return [json.loads(line)["event"] for line in lines if line.startswith("{")]


def test_a_bundle_in_s3_is_downloaded_once(settings: Mapping[str, str], tmp_path: Path) -> None:
    """The first start downloads the bundle, a second start uses the copy, a damaged copy is replaced."""
    folder = tmp_path / settings["PLEURA_BUNDLE_DIGEST"]
    assert "bundle_downloaded" in serve(tmp_path, settings)
    assert verify(folder)[1] == settings["PLEURA_BUNDLE_DIGEST"]
    assert "bundle_downloaded" not in serve(tmp_path, settings)
    (folder / "model.tflite").write_bytes(b"")
    events = serve(tmp_path, settings)
    assert (
        events.index("bundle_copy_damaged") < events.index("bundle_downloaded") < events.index("model_loaded")
    )


def test_a_folder_is_served_where_it_lies(bundle: Path, tmp_path: Path) -> None:
    """A ``file`` URI needs no object store. A digest of another bundle stops the start with code 3."""
    settings = {
        "PLEURA_BUNDLE_URI": f"file://{bundle}",
        "PLEURA_BUNDLE_DIGEST": verify(bundle)[1],
        "PLEURA_THREADS": "1",
    }
    assert "model_loaded" in serve(tmp_path, settings)
    code, reason = refuse(tmp_path, {**settings, "PLEURA_BUNDLE_DIGEST": "0" * 64})
    assert code == 3
    assert reason == (
        f"PLEURA_BUNDLE_DIGEST: {bundle} has another digest: {verify(bundle)[1]}, not {'0' * 64}"
    )


def test_a_mounted_bundle_of_another_digest_is_refused(bundle: Path) -> None:
    """The digest is compared where no URI is set too."""
    code, reason = refuse(bundle, {"PLEURA_BUNDLE_DIGEST": "0" * 64})
    assert code == 3
    assert "has another digest" in reason


@pytest.mark.parametrize(
    ("change", "expected_code", "expected_reason"),
    [
        ({"PLEURA_BUNDLE_DIGEST": "0" * 64}, 3, "bundle.json has another digest"),
        ({"PLEURA_BUNDLE_URI": "s3://models/none"}, 3, "nothing is stored at s3://models/none/"),
        ({"PLEURA_S3_SECRET_KEY": "wrong"}, 4, "the object store refuses"),
        ({"PLEURA_S3_URL": "http://127.0.0.1:9"}, 4, "the object store does not answer"),
        ({"PLEURA_S3_ACCESS_KEY": ""}, 2, "these are required: PLEURA_S3_ACCESS_KEY"),
        ({"PLEURA_BUNDLE_DIGEST": ""}, 2, "PLEURA_BUNDLE_DIGEST is required"),
        ({"PLEURA_BUNDLE_URI": "ftp://models/none"}, 2, "PLEURA_BUNDLE_URI: "),
    ],
    ids=["digest", "missing", "wrong-key", "unreachable", "no-key", "no-digest", "scheme"],
)
def test_a_bundle_that_cannot_be_had_stops_the_start(
    change: Mapping[str, str],
    expected_code: int,
    expected_reason: str,
    settings: Mapping[str, str],
    tmp_path: Path,
) -> None:
    """The log line names the cause, and the exit code says whether a later start may succeed."""
    code, reason = refuse(tmp_path, {**settings, **change})
    assert (code, expected_reason in reason) == (expected_code, True), reason
    assert not list(tmp_path.iterdir())


def test_an_added_or_changed_file_in_s3_is_refused(
    store: BundleStore, settings: Mapping[str, str], tmp_path: Path
) -> None:
    """What lies at the prefix is exactly what was sealed, or nothing is served."""
    digest = settings["PLEURA_BUNDLE_DIGEST"]
    for name in store.objects.list_names(f"models/chest-xray/{digest}/"):
        path = tmp_path / "object"
        store.objects.download(f"models/chest-xray/{digest}/{name}", path)
        store.objects.put(f"changed/{name}", b"changed" if name == "model.tflite" else path.read_bytes())
        store.objects.put(f"added/{name}", path.read_bytes())
    store.objects.put("added/more", b"")
    for prefix, cause in (("changed", "model.tflite is not the file"), ("added", "unknown files: more")):
        uri = store.objects.uri(prefix)
        code, reason = refuse(tmp_path / "target", {**settings, "PLEURA_BUNDLE_URI": uri})
        assert (code, cause in reason) == (3, True), reason
    assert not list((tmp_path / "target").iterdir())
