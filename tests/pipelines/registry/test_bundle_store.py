"""Bundles in S3: what is stored is what was sealed, or it is not there at all."""

import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from pipelines.object_store import ObjectStore
from pipelines.registry.bundle_store import BundleStore, NotStored
from pleura.bundle import InvalidBundle, verify
from pleura.errors import StoreUnavailable
from pleura.local import dependencies
from pleura.local.dependencies import Server
from pleura.local.object_store import build_store_client
from tests.support.pipelines.models import KEYS, new_bundle, new_source, new_store


class Died(BaseException):
    """The process was killed here."""


@dataclass(frozen=True)
class MortalObjects(ObjectStore):
    """A store whose client is killed before the file of that name is put."""

    dies_at: str

    def put_file(self, key: str, path: Path, sha256: str) -> None:
        """Put it, or die."""
        if key.endswith(self.dies_at):
            raise Died
        super().put_file(key, path, sha256)


@pytest.fixture
def store(seaweed: Server) -> BundleStore:
    """An empty store."""
    return new_store(seaweed.url)


def test_a_bundle_comes_back_as_it_was_stored(store: BundleStore, tmp_path: Path) -> None:
    """The downloaded folder verifies to the digest that it was asked for, and nothing else is left there."""
    digest = store.upload(new_bundle(tmp_path / "made"))
    description = store.download(digest, tmp_path / "got" / "bundle")
    assert verify(tmp_path / "got" / "bundle") == (description, digest)
    assert [path.name for path in (tmp_path / "got").iterdir()] == ["bundle"]
    assert store.uri(digest) == f"s3://{store.objects.bucket}/models/chest-xray/{digest}"


def test_a_bundle_that_is_there_is_neither_stored_nor_fetched_again(
    store: BundleStore, tmp_path: Path
) -> None:
    """Uploading and downloading twice changes nothing; a folder with another bundle is not replaced."""
    digest = store.upload(new_bundle(tmp_path / "made"))
    assert store.upload(tmp_path / "made") == digest
    store.download(digest, tmp_path / "got")
    store.download(digest, tmp_path / "got")
    other = new_bundle(tmp_path / "other", "0.0.2")
    with pytest.raises(InvalidBundle, match="holds another bundle"):
        store.download(digest, other)


@pytest.mark.parametrize("name", ["model.tflite", "variables.index", "bundle.json", "bundle.json.sha256"])
def test_a_killed_upload_is_no_bundle_until_it_is_completed(
    seaweed: Server, tmp_path: Path, name: str
) -> None:
    """Wherever the upload was killed, nothing can be fetched, and the next upload completes it."""
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


def test_what_was_uploaded_before_is_not_sent_again(store: BundleStore, tmp_path: Path) -> None:
    """A completed upload leaves the objects of the first attempt as they are."""
    mortal = MortalObjects(store.objects.client, store.objects.bucket, dies_at="bundle.json")
    bundle = new_bundle(tmp_path / "made")
    with pytest.raises(Died):
        BundleStore(mortal).upload(bundle)
    key = f"models/chest-xray/{verify(bundle)[1]}/model.tflite"
    before = store.objects.client.stat_object(store.objects.bucket, key).last_modified
    store.upload(bundle)
    assert store.objects.client.stat_object(store.objects.bucket, key).last_modified == before


@pytest.mark.parametrize("name", ["model.tflite", "bundle.json", "bundle.json.sha256"])
def test_a_changed_object_is_never_fetched(store: BundleStore, tmp_path: Path, name: str) -> None:
    """One flipped bit in any object refuses the bundle by that object's name."""
    digest = store.upload(new_bundle(tmp_path / "made"))
    key = f"models/chest-xray/{digest}/{name}"
    content = bytearray(store.objects.read(key))
    content[10] ^= 1
    store.objects.put(key, bytes(content))
    with pytest.raises(InvalidBundle, match=name):
        store.download(digest, tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_a_missing_or_added_object_refuses_the_bundle(store: BundleStore, tmp_path: Path) -> None:
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


def test_another_content_cannot_take_a_digest(store: BundleStore, tmp_path: Path) -> None:
    """A folder that was changed after its sealing is refused before anything is sent."""
    bundle = new_bundle(tmp_path / "made")
    (bundle / "model.tflite").write_bytes(b"another network")
    with pytest.raises(InvalidBundle):
        store.upload(bundle)
    assert not store.objects.names("")


def test_a_bundle_cannot_write_outside_its_folder(store: BundleStore, tmp_path: Path) -> None:
    """A description that names a file above the folder is refused, even under its right digest."""
    bundle = new_bundle(tmp_path / "made")
    evil = (bundle / "bundle.json").read_text().replace('"model.tflite"', '"../../model.tflite"')
    digest = sha256(evil.encode()).hexdigest()
    store.objects.make_bucket()
    for name, content in (("bundle.json", evil), ("bundle.json.sha256", f"{digest}  bundle.json\n")):
        store.objects.put(f"models/chest-xray/{digest}/{name}", content.encode())
    with pytest.raises(InvalidBundle, match="outside the bundle"):
        store.download(digest, tmp_path / "got")


@pytest.mark.parametrize("digest", ["0" * 64, "../../secret", "", "F" * 64])
def test_what_was_never_stored_is_said_to_be_missing(store: BundleStore, tmp_path: Path, digest: str) -> None:
    """An unknown digest, or none at all, is one clear error."""
    with pytest.raises(NotStored):
        store.download(digest, tmp_path / "got")


def test_the_source_lies_beside_the_bundle(store: BundleStore, tmp_path: Path) -> None:
    """It comes back byte for byte, cannot be replaced, and must describe the same model."""
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
    """Changed weights are found by their digest; a source that was never finished is missing."""
    digest = store.upload(new_bundle(tmp_path / "made"))
    with pytest.raises(NotStored):
        store.download_source(digest, tmp_path / "got")
    store.upload_source(digest, new_source(tmp_path / "source"))
    store.objects.put(f"model-sources/chest-xray/{digest}/weights.npz", b"pickled surprise")
    with pytest.raises(InvalidBundle, match=r"weights\.npz"):
        store.download_source(digest, tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_a_store_that_is_down_is_said_to_be_down_and_then_serves(tmp_path: Path) -> None:
    """While S3 is stopped each call says so; when it is back the upload is completed."""
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


def test_wrong_keys_are_said_to_be_refused(seaweed: Server, tmp_path: Path) -> None:
    """A store that refuses the keys is not taken for an empty one."""
    strange = BundleStore(ObjectStore(build_store_client(seaweed.url, "someone", "else"), "models"))
    with pytest.raises(StoreUnavailable, match="refuses"):
        strange.download("0" * 64, tmp_path / "got")
