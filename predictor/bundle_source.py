"""The folder of the bundle that a URI names; a bundle in S3 is downloaded.

Pleura downloads it itself, and not KServe's storage initializer: that one verifies nothing, and does not run
under the restricted Pod Security standard (kserve#5373).
"""

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import structlog

from pleura.bundle import InvalidBundle, verify
from pleura.bundle_download import download_bundle
from pleura.object_bucket import ObjectBucket, connect
from predictor.settings import PredictorSettings

log = structlog.get_logger()


def find_bundle(settings: PredictorSettings) -> Path:
    """Return the folder of the bundle at ``bundle_uri``. A bundle in S3 is downloaded, and verified.

    A bundle that an earlier start downloaded is not downloaded again, unless it is damaged.

    Raises:
        NotStored: Nothing is stored at the URI, or the upload did not finish.
        InvalidBundle: The bundle is damaged, or has another digest.
        StoreUnavailable: The object store does not answer.
        OSError: The folder of the downloads cannot be written.
    """
    parts = urlsplit(settings.bundle_uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    folder = settings.bundle / settings.bundle_digest
    if folder.exists():
        if _is_sound(folder, settings.bundle_digest):
            return folder
        log.warning("bundle_copy_damaged", digest=settings.bundle_digest)
        shutil.rmtree(folder)
    keys = settings.s3_access_key.get_secret_value(), settings.s3_secret_key.get_secret_value()
    objects = ObjectBucket(connect(settings.s3_url, *keys, settings.s3_region), parts.netloc)
    download_bundle(objects, f"{parts.path.strip('/')}/", settings.bundle_digest, folder)
    log.info("bundle_downloaded", digest=settings.bundle_digest)
    return folder


def _is_sound(folder: Path, digest: str) -> bool:
    try:
        return verify(folder)[1] == digest
    except InvalidBundle:
        return False
