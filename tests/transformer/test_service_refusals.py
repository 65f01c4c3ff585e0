"""A real transformer refuses, warns or allows by its policy, for new and cached answers, and journals it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest
from minio import Minio

from pleura.local.dependencies import Server
from pleura.local.pleura_services import Service
from proof.lab.files import make_dicom, make_gradient
from proof.lab.stand_in_predictor import StandInPredictor, stand_in_predictor
from proof.lab.transformer import (
    TransformerParts,
    V2Answer,
    make_radiograph_png,
    send_files,
    start_transformer,
)

LEG = make_dicom(make_gradient(300, 200), BodyPartExamined="LEG", LossyImageCompression="01")
CHILD = make_dicom(make_gradient(300, 201), PatientAge="004Y", BurnedInAnnotation="YES")


@pytest.fixture
def parts(
    seaweed: Server, valkey: Server, postgres: Server, bucket: Minio, tmp_path: Path
) -> TransformerParts:
    """Give the addresses of the real parts, without a predictor."""
    return TransformerParts("127.0.0.1:9", seaweed.url, valkey.url, postgres.url, tmp_path / "spool")


@asynccontextmanager
async def _running(
    parts: TransformerParts, folder: Path, predictor: StandInPredictor, policy: str = ""
) -> AsyncIterator[Service]:
    on = TransformerParts(**{**vars(parts), "predictor_address": predictor.address})
    environment = on.build_environment(PLEURA_REFUSAL_POLICY=policy)
    service = await asyncio.to_thread(start_transformer, folder, environment)
    try:
        yield service
    finally:
        await asyncio.to_thread(service.stop)


def _rows(parts: TransformerParts, request_id: str) -> list[tuple[Any, ...]]:
    columns = "position, refusal_reasons, warnings, findings, model_version, cached"
    statement = f"SELECT {columns} FROM answers WHERE request_id = %s ORDER BY position"
    with closing(psycopg2.connect(parts.journal_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, (request_id,))
        return list(cursor.fetchall())


def _warnings(answer: V2Answer) -> list[tuple[int, str]]:
    return [(each["element"], each["code"]) for each in json.loads(answer.body["parameters"]["warnings"])]


async def _read_metric(service: Service, name: str) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"{service.url}/metrics")).text
    return "\n".join(line for line in text.splitlines() if line.startswith(name))


async def test_what_the_header_says_refuses_before_the_predictor_is_asked(
    parts: TransformerParts, tmp_path: Path
) -> None:
    """A refusal is a row without findings, once for each request id, and is counted."""
    async with stand_in_predictor() as predictor, _running(parts, tmp_path, predictor) as service:
        for _ in range(2):
            refused = await send_files(service, [LEG], id="leg")
            assert refused.status == 422
            assert refused.body["error"].endswith("(not_chest)")
        assert predictor.calls == 0
        counted = await _read_metric(service, "pleura_observations_total")
        assert 'pleura_observations_total{action="refuse",code="not_chest"} 2.0' in counted
        assert "pleura_finding_score_count" not in await _read_metric(service, "pleura_finding_score")
        row = (0, ["not_chest"], ["lossy_compression"], None, None, False)
        assert _rows(parts, "leg") == [row]
        conflict = await send_files(service, [make_radiograph_png(60)], id="leg")
        assert (conflict.status, _rows(parts, "leg")) == (409, [row])


async def test_only_the_refused_films_of_a_request_have_rows(parts: TransformerParts, tmp_path: Path) -> None:
    """Every film that failed is listed with its code and reason. The others are not answered."""
    async with stand_in_predictor() as predictor, _running(parts, tmp_path, predictor) as service:
        films = [make_radiograph_png(61), LEG, b"text", CHILD]
        failed = await send_files(service, films, id="mixed")
        assert failed.status == 422
        assert [row[:2] for row in _rows(parts, "mixed")] == [(1, ["not_chest"]), (3, ["pediatric"])]


async def test_the_policy_decides_about_new_and_cached_answers(
    parts: TransformerParts, tmp_path: Path
) -> None:
    """Another policy applies to cached answers at once, and what refuses stands in ``/model-info``."""
    film = make_dicom(make_gradient(300, 202), PatientAge="004Y", BurnedInAnnotation="YES")
    async with stand_in_predictor() as predictor:
        predictor.flags = ("inverted", "untypical")
        lenient = "pediatric=warn,inverted=allow"
        async with _running(parts, tmp_path / "lenient", predictor, lenient) as service:
            for request_id in ("new", "cached"):
                answer = await send_files(service, [film], id=request_id)
                assert answer.status == 200, answer.body
                assert answer.body["parameters"]["cached"] is (request_id == "cached")
                codes = ["pediatric", "burned_in_annotation", "untypical"]
                assert _warnings(answer) == [(0, code) for code in codes]
                ((_, reasons, warnings, findings, version, _),) = _rows(parts, request_id)
                assert (reasons, warnings, version) == ([], codes, "0.0.1")
                assert findings is not None
        async with _running(parts, tmp_path / "strict", predictor, "pediatric=allow") as service:
            refused = await send_files(service, [film], id="strict")
            assert (refused.status, predictor.calls) == (422, 1)
            warned = ["burned_in_annotation", "untypical"]
            assert _rows(parts, "strict") == [(0, ["inverted"], warned, None, "0.0.1", True)]
            async with httpx.AsyncClient(trust_env=False) as client:
                actions = (await client.get(f"{service.url}/model-info")).json()["refusal_policy"]
            assert (actions["pediatric"], actions["inverted"], actions["untypical"]) == (
                "allow",
                "refuse",
                "warn",
            )


async def test_a_predictor_without_input_check_is_still_asked(
    parts: TransformerParts, tmp_path: Path
) -> None:
    """During a rolling update it answers. Its cached answers do not outlive it."""
    async with stand_in_predictor() as predictor, _running(parts, tmp_path, predictor) as service:
        predictor.flags = None
        film = make_radiograph_png(62)
        answers = [await send_files(service, [film]) for _ in range(2)]
        assert [(each.status, each.body["parameters"]["cached"]) for each in answers] == [
            (200, False),
            (200, True),
        ]
        assert predictor.calls == 2  # it refused the output once, and was not asked for it again
        predictor.flags = ("inverted",)
        async with _running(parts, tmp_path / "later", predictor) as later:
            refused = await send_files(later, [film])
            assert (refused.status, refused.body["reason"], predictor.calls) == (422, "inverted", 3)
