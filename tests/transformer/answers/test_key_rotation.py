"""A real transformer before and after its key of pseudonyms changes, with a cache that stays."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from minio import Minio

from pleura.local.dependencies import Server
from pleura.local.pleura_services import Service
from proof.lab.bucket import put_object
from proof.lab.files import make_dicom, make_gradient
from proof.lab.transformer import TransformerParts, send_by_id, start_transformer
from tests.support.databases import create_database, run_sql

OLD, NEW = "o" * 32, "n" * 32


async def test_a_new_key_is_used_at_once_and_the_old_one_still_finds(
    predictor: Service, seaweed: Server, valkey: Server, postgres: Server, bucket: Minio, tmp_path: Path
) -> None:
    """A cached answer of the old key is read once more, since its header has to get the new pseudonyms."""
    dsn = create_database(postgres)
    parts = TransformerParts(predictor.grpc_address, seaweed.url, valkey.url, dsn, tmp_path / "spool")
    film = make_dicom(make_gradient(300, 300), AccessionNumber="A-4711", SOPInstanceUID="1.2.840.4711")
    put_object(bucket, "rotation.dcm", film)
    with _running(parts, tmp_path, PLEURA_PSEUDONYM_KEY=OLD) as service:
        assert await _ask(service, "first") == {"cached": False}
        assert await _ask(service, "second") == {"cached": True}
        assert _find(service) == ["second", "first"]
    with _running(parts, tmp_path, PLEURA_PSEUDONYM_KEY=f"{NEW} {OLD}") as service:
        assert await _ask(service, "third") == {"cached": False}
        assert await _ask(service, "fourth") == {"cached": True}
        assert _find(service) == ["fourth", "third", "second", "first"]
    with _running(parts, tmp_path) as service:
        assert _post(service).json()["code"] == "identifiers_not_kept"
        refused = await send_by_id(service, ["rotation.dcm"], parameters={"accession_number": "A-4711"})
        assert (refused.status, refused.body["code"]) == (400, "identifiers_not_kept")
        assert await _ask(service, "fifth") == {"cached": False}
    rows = run_sql(dsn, "SELECT request_id FROM answers WHERE accession_number_pseudonym IS NULL")
    assert rows == [("fifth",)]
    assert len(run_sql(dsn, "SELECT DISTINCT sop_instance_uid_pseudonym FROM answers")) == 3


@contextmanager
def _running(parts: TransformerParts, folder: Path, **settings: str) -> Iterator[Service]:
    service = start_transformer(folder / "service", parts.build_environment(**settings))
    try:
        yield service
    finally:
        service.stop()


async def _ask(service: Service, request_id: str) -> dict[str, Any]:
    answer = await send_by_id(service, ["rotation.dcm"], {"x-pleura-principal": "ris"}, id=request_id)
    assert answer.status == 200, answer.body
    return {"cached": answer.body["parameters"]["cached"]}


def _post(service: Service) -> httpx.Response:
    headers = {"x-pleura-principal": "ris"}
    asked = {"accession_number": "A-4711", "sop_instance_uid": "1.2.840.4711"}
    return httpx.post(f"{service.url}/answers/find", json=asked, headers=headers, trust_env=False)


def _find(service: Service) -> list[str]:
    return [answer["request_id"] for answer in _post(service).json()["answers"]]
