"""Bundles in S3: a stored bundle is complete and as it was sealed, or it counts as not stored."""

import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from pipelines.registry.bundle_store import BundleStore
from pleura.bundle import InvalidBundle, NotStored, verify
from pleura.errors import StoreUnavailable
from pleura.local import dependencies
from pleura.local.dependencies import Server
from pleura.local.object_store import build_store_client
from pleura.object_bucket import ObjectBucket
from tests.support.pipelines.models import KEYS, new_bundle, new_source, new_store


class Died(BaseException):
    """Raised where the process would be killed."""


@dataclass(frozen=True)
class MortalObjects(ObjectBucket):
    """A store whose client is killed before it uploads a file with this name."""

    dies_at: str

    def put_file(self, key: str, path: Path, sha256: str) -> None:
        """Upload the file, or die."""
        if key.endswith(self.dies_at):
            raise Died
        super().put_file(key, path, sha256)


@pytest.fixture
def store(seaweed: Server) -> BundleStore:
    """An empty store."""
    return new_store(seaweed.url)


def test_a_bundle_comes_back_as_it_was_stored(store: BundleStore, tmp_path: Path) -> None:
    """The downloaded folder has the requested digest, and no other file is left next to it."""
    digest = store.upload(new_bundle(tmp_path / "made"))
    description = store.download(digest, tmp_path / "got" / "bundle")
    assert verify(tmp_path / "got" / "bundle") == (description, digest)
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["bundle"]
    assert store.uri(digest) == f"s3://{store.objects.bucket}/models/chest-xray/{digest}"


def test_a_stored_bundle_is_neither_uploaded_nor_downloaded_again(store: BundleStore, tmp_path: Path) -> None:
    """A second upload or download changes nothing; a folder with another bundle is not replaced."""
    digest = store.upload(new_bundle(tmp_path / "made"))
    assert store.upload(tmp_path / "made") == digest
    store.download(digest, tmp_path / "got")
    store.download(digest, tmp_path / "got")
    other = new_bundle(tmp_path / "other", "0.0.2")
    with pytest.raises(InvalidBundle, match="holds another bundle"):
        store.download(digest, other)


@pytest.mark.parametrize("name", ["model.tflite", "variables.index", "bundle.json", "bundle.json.sha256"])
def test_a_killed_upload_is_not_a_bundle_until_it_is_completed(
    seaweed: Server, tmp_path: Path, name: str
) -> None:
    """After a kill at any file nothing can be downloaded, and the next upload completes the bundle."""
    store = new_store(seaweed.url)
    mortal = MortalObjects(store.objects.client, store.objects.bucket, dies_at=name)
    bundle = new_bundle(tmp_path / "made")
    with pytest.raises(Died):
        BundleStore(mortal).upload(bundle)
    digest = verify(bundle)[1]
    with pytest.raises(NotStored):
        store.download(digest, tmp_path / "got")
    assert not list(tmp_path.glob("*got*"))
    assert store.upload(bundle) == digest
    store.download(digest, tmp_path / "got")


def test_an_uploaded_file_is_not_uploaded_again(store: BundleStore, tmp_path: Path) -> None:
    """The second attempt does not change the objects of the first one."""
    mortal = MortalObjects(store.objects.client, store.objects.bucket, dies_at="bundle.json")
    bundle = new_bundle(tmp_path / "made")
    with pytest.raises(Died):
        BundleStore(mortal).upload(bundle)
    key = f"models/chest-xray/{verify(bundle)[1]}/model.tflite"
    before = store.objects.client.stat_object(store.objects.bucket, key).last_modified
    store.upload(bundle)
    assert store.objects.client.stat_object(store.objects.bucket, key).last_modified == before


@pytest.mark.parametrize("name", ["model.tflite", "bundle.json", "bundle.json.sha256"])
def test_a_changed_object_is_refused(store: BundleStore, tmp_path: Path, name: str) -> None:
    """One flipped bit in any object is an error that names the object."""
    digest = store.upload(new_bundle(tmp_path / "made"))
    key = f"models/chest-xray/{digest}/{name}"
    content = bytearray(store.objects.read(key))
    content[10] ^= 1
    store.objects.put(key, bytes(content))
    with pytest.raises(InvalidBundle, match=name):
        store.download(digest, tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_a_missing_or_added_object_is_refused(store: BundleStore, tmp_path: Path) -> None:
    """The store must hold exactly the files of the bundle."""
    digest = store.upload(new_bundle(tmp_path / "made"))
    prefix = f"models/chest-xray/{digest}/"
    store.objects.put(f"{prefix}more.bin", b"x")
    with pytest.raises(InvalidBundle, match=r"missing or unknown files: more\.bin"):
        store.verify(digest)
    store.objects.client.remove_object(store.objects.bucket, f"{prefix}more.bin")
    store.objects.client.remove_object(store.objects.bucket, f"{prefix}model.tflite")
    with pytest.raises(InvalidBundle, match=r"missing or unknown files: model\.tflite"):
        store.verify(digest)


def test_a_changed_folder_is_not_uploaded(store: BundleStore, tmp_path: Path) -> None:
    """A folder that changed after its sealing is refused before any upload."""
    bundle = new_bundle(tmp_path / "made")
    (bundle / "model.tflite").write_bytes(b"another network")
    with pytest.raises(InvalidBundle):
        store.upload(bundle)
    assert not store.objects.list_names("")


def test_a_bundle_cannot_write_outside_its_folder(store: BundleStore, tmp_path: Path) -> None:
    """A description that names a file above the folder is refused, even with the right digest."""
    bundle = new_bundle(tmp_path / "made")
    evil = (bundle / "bundle.json").read_text().replace('"model.tflite"', '"../../model.tflite"')
    digest = sha256(evil.encode()).hexdigest()
    store.objects.make_bucket()
    for name, content in (("bundle.json", evil), ("bundle.json.sha256", f"{digest}  bundle.json\n")):
        store.objects.put(f"models/chest-xray/{digest}/{name}", content.encode())
    with pytest.raises(InvalidBundle, match="outside the bundle"):
        store.download(digest, tmp_path / "got")


@pytest.mark.parametrize("digest", ["0" * 64, "../../secret", "", "F" * 64])
def test_a_bundle_that_was_never_stored_is_an_error(store: BundleStore, tmp_path: Path, digest: str) -> None:
    """An unknown digest, or a text that is not a digest, is one clear error."""
    with pytest.raises(NotStored):
        store.download(digest, tmp_path / "got")


def test_a_source_comes_back_as_it_was_stored(store: BundleStore, tmp_path: Path) -> None:
    """A source comes back byte for byte, cannot be replaced, and must describe the model of its bundle."""
    digest = store.upload(new_bundle(tmp_path / "made"))
    source = new_source(tmp_path / "source")
    uri = store.upload_source(digest, source)
    assert store.upload_source(digest, source) == uri
    store.download_source(digest, tmp_path / "got")
    for name in ("weights.npz", "source.json"):
        assert (tmp_path / "got" / name).read_bytes() == (source / name).read_bytes()
    with pytest.raises(InvalidBundle, match="another source"):
        store.upload_source(digest, new_source(tmp_path / "retrained", seed=1))
    with pytest.raises(InvalidBundle, match="not the source of"):
        store.upload_source(digest, new_source(tmp_path / "alien", "0.0.2"))
    store.verify(digest)


def test_a_damaged_source_is_refused(store: BundleStore, tmp_path: Path) -> None:
    """Changed weights have another digest; an unfinished source counts as missing."""
    digest = store.upload(new_bundle(tmp_path / "made"))
    with pytest.raises(NotStored):
        store.download_source(digest, tmp_path / "got")
    store.upload_source(digest, new_source(tmp_path / "source"))
    store.objects.put(f"model-sources/chest-xray/{digest}/weights.npz", b"pickled surprise")
    with pytest.raises(InvalidBundle, match=r"weights\.npz"):
        store.download_source(digest, tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_a_store_that_is_down_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    """While S3 is stopped each call raises StoreUnavailable; when S3 is back, the upload is completed."""
    port = dependencies.free_port()
    server = dependencies.start_seaweed(tmp_path / "s3", port, *KEYS)
    store = new_store(server.url)
    digest = store.upload(new_bundle(tmp_path / "first"))
    server.stop()
    second = new_bundle(tmp_path / "second", "0.0.2")
    with pytest.raises(StoreUnavailable, match="does not answer"):
        store.upload(second)
    with pytest.raises(StoreUnavailable):
        store.download(digest, tmp_path / "got")
    assert not (tmp_path / "got").exists()
    server = dependencies.start_seaweed(tmp_path / "s3", port, *KEYS)
    try:
        store.download(store.upload(second), tmp_path / "got")
        store.verify(digest)
    finally:
        server.stop()
        shutil.rmtree(tmp_path / "s3", ignore_errors=True)


def test_refused_keys_are_an_error(seaweed: Server, tmp_path: Path) -> None:
    """A store that refuses the keys does not look like an empty store."""
    strange = BundleStore(ObjectBucket(build_store_client(seaweed.url, "someone", "else"), "models"))
    with pytest.raises(StoreUnavailable, match="refuses"):
        strange.download("0" * 64, tmp_path / "got")
