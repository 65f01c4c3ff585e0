"""Start the three services from their images and read one radiograph: ``make proof-containers``.

PostgreSQL, the object store and the issuer are those of this machine. The predictor downloads its bundle.
"""

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import httpx

from pipelines.registry.bundle_store import BundleStore
from pleura.local import dependencies
from pleura.local.object_store import build_store_client, upload_files
from pleura.local.processes import HOST, free_port
from pleura.object_bucket import ObjectBucket, connect
from proof.containers.sandbox import mount_image, start_image
from proof.lab.module_process import is_answering, start_module, wait_until
from proof.lab.proxy import AUDIENCE, Issuer

_ROOT = Path(__file__).parents[2]
_KEYS = ("proof-access", "proof-secret-key")
_SERVICE_KEY = secrets.token_hex(32)


class _Stage:
    """The services that run, and what ends with them."""

    def __init__(self, folder: Path, exits: contextlib.ExitStack) -> None:
        self.folder, self._exits = folder, exits

    def start(self, image: str, settings: Mapping[str, str]) -> tuple[int, int]:
        """Start an image, wait until it is ready, and return its ports of REST and gRPC."""
        http_port, grpc_port = free_port(), free_port()
        reference, log = f"localhost/{image}:{version('pleura')}", self.folder / f"{image}.log"
        root = self._exits.enter_context(mount_image(reference))
        shared = {
            "PLEURA_HOST": HOST,
            "PLEURA_HTTP_PORT": str(http_port),
            "PLEURA_GRPC_PORT": str(grpc_port),
            "PLEURA_SERVICE_KEY": _SERVICE_KEY,
        }
        began = time.monotonic()
        process = start_image(reference, root, {**shared, **settings}, log)
        self._exits.callback(_end, process)
        wait_until(lambda: process.poll() is not None or _is_ready(http_port))
        if process.poll() is not None:
            sys.exit(f"{image} ended:\n{log.read_text()}")
        print(f"{image:20} ready after {time.monotonic() - began:.1f} s", flush=True)  # noqa: T201
        return http_port, grpc_port


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://{HOST}:{port}/readyz", trust_env=False).is_success
    except httpx.HTTPError:
        return False


def main(bundle: Path) -> None:
    """Start everything, send one radiograph, and print the answer's first finding."""
    os.umask(0o022)
    with contextlib.ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        seaweed = dependencies.start_seaweed(folder / "seaweed", free_port(), *_KEYS)
        exits.callback(seaweed.stop)
        postgres = dependencies.start_postgres(folder / "postgres", free_port())
        exits.callback(postgres.stop)
        film = _ROOT / "samples" / "nih_00000103_000.dcm"
        upload_files(build_store_client(seaweed.url, *_KEYS), "radiographs", [film])
        bundles = BundleStore(ObjectBucket(connect(seaweed.url, *_KEYS), "models"))
        digest = bundles.upload(bundle)
        store = {
            "PLEURA_S3_URL": seaweed.url,
            "PLEURA_S3_ACCESS_KEY": _KEYS[0],
            "PLEURA_S3_SECRET_KEY": _KEYS[1],
        }
        stage = _Stage(folder, exits)
        predictor = stage.start(
            "pleura-predictor",
            {**store, "PLEURA_BUNDLE_URI": bundles.uri(digest), "PLEURA_BUNDLE_DIGEST": digest},
        )
        transformer = stage.start(
            "pleura-transformer",
            {
                **store,
                "PLEURA_JOURNAL_DSN": postgres.url,
                "PLEURA_PREDICTOR_ADDRESS": f"{HOST}:{predictor[1]}",
            },
        )
        issuer_port = free_port()
        issuing = {"PLEURA_HTTP_PORT": str(issuer_port), "PLEURA_ISSUER_FOLDER": str(folder / "keys")}
        exits.callback(_end, start_module("pleura.local.token_issuer", issuing, folder / "issuer.log"))
        wait_until(lambda: is_answering(issuer_port, "/jwks.json"))
        issuer = Issuer(f"http://{HOST}:{issuer_port}", folder / "keys")
        proxy = stage.start(
            "pleura-auth-proxy",
            {
                "PLEURA_ISSUER": issuer.url,
                "PLEURA_JWKS_URL": f"{issuer.url}/jwks.json",
                "PLEURA_AUDIENCE": AUDIENCE,
                "PLEURA_TRANSFORMER_URL": f"http://{HOST}:{transformer[0]}",
                "PLEURA_TRANSFORMER_GRPC": f"{HOST}:{transformer[1]}",
            },
        )
        answer = httpx.post(
            f"http://{HOST}:{proxy[0]}/classify",
            json={"image_id": film.name},
            headers={"authorization": f"Bearer {issuer.issue_token()}"},
            trust_env=False,
            timeout=30,
        )
        answer.raise_for_status()
        print(answer.text[:300])  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
