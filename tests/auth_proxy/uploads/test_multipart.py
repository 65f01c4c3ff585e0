"""The multipart parser: any file arrives whole, and any other body is refused."""

from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_proxy.uploads.multipart import open_file_part
from pleura.errors import InvalidRequest
from pleura.identifiers import IDENTIFIER_NAMES

FORM, RELATED = "multipart/form-data; boundary=b", 'multipart/related; type="application/dicom"; boundary=b'
FORM_PART = b'Content-Disposition: form-data; name="file"; filename="x"\r\n'
DICOM_PART = b"Content-Type: application/dicom\r\n"
KINDS = [(FORM, FORM_PART), (RELATED, DICOM_PART)]


def build_body(head: bytes, *files: bytes) -> bytes:
    """Build a body of parts with the same headers."""
    return b"".join(b"--b\r\n" + head + b"\r\n" + file + b"\r\n" for file in files) + b"--b--\r\n"


def build_field(name: bytes) -> bytes:
    """Build the headers of a field."""
    return b'Content-Disposition: form-data; name="%b"\r\n' % name


NUMBER = build_field(b"accession_number")
NEXT = b"\r\nx\r\n--b\r\n"
"""The content x of a part, and the beginning of the next part."""


async def read(content_type: str, pieces: Sequence[bytes], max_memory_bytes: int = 2**20) -> bytes:
    """Read the file of a body that arrives in these pieces."""

    async def arrive() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async with open_file_part(content_type, arrive(), max_memory_bytes) as uploaded:
        content = await uploaded.file.read()
        assert uploaded.file.size == len(content)
        return content


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut a body at some places."""
    ends = sorted({place % (len(body) + 1) for place in places} | {0, len(body)})
    return [body[start:end] for start, end in pairwise(ends)]


# pieces of boundaries, which a parser could take for the end of the file
PIECES = (b"\r\n", b"--b", b"\r\n--", b"-", b"\r", b"\n", b"--", b"b", b"\0", b"DICM")
FILES = st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join)
PARTS = (*PIECES, b"--b--", b"--b\r\n", FORM_PART, DICOM_PART, b":", b"content-type: a\r\n")
BODIES = st.lists(st.sampled_from(PARTS), max_size=14).map(b"".join)
PLACES = st.lists(st.integers(0, 10_000), max_size=12)


@pytest.mark.parametrize(("content_type", "head"), KINDS, ids=["form", "related"])
@given(FILES, PLACES, st.sampled_from([1, 2**20]))
async def test_a_file_arrives_whole_wherever_the_body_is_cut(
    content_type: str, head: bytes, file: bytes, places: list[int], max_memory_bytes: int
) -> None:
    """In memory and on disk, every byte of a file without the boundary arrives."""
    if b"\r\n--b" in b"\r\n" + file:
        return
    assert await read(content_type, cut(build_body(head, file), places), max_memory_bytes) == file


@pytest.mark.parametrize("content_type", [FORM, RELATED], ids=["form", "related"])
@given(BODIES, PLACES)
async def test_any_body_is_read_in_the_same_way_wherever_it_is_cut(
    content_type: str, body: bytes, places: list[int]
) -> None:
    """A body is a file or an error of the caller, and the cuts of the network do not decide which."""

    async def read_or_refuse(pieces: Sequence[bytes]) -> bytes | None:
        try:
            return await read(content_type, pieces)
        except InvalidRequest:
            return None

    assert await read_or_refuse(cut(body, places)) == await read_or_refuse([body])


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        (FORM, build_body(FORM_PART, b"x", b"y"), "several files"),
        (
            FORM,
            build_body(FORM_PART + NEXT + build_field(b"patient"), b"y"),
            "may have the fields",
        ),
        (
            FORM,
            build_body(NUMBER + NEXT + FORM_PART, b"y")[:-9],
            "file",
        ),
        (
            FORM,
            build_body(FORM_PART + NEXT + NUMBER, b"y" * 300),
            "fields",
        ),
        (FORM, build_body(NUMBER, b"x"), "field 'file'"),
        (RELATED, build_body(DICOM_PART, b"x", b"y"), "several files"),
        (RELATED, build_body(b"", b"x"), "must be application/dicom"),
        (RELATED, build_body(b"Content-Type: image/png\r\n", b"x"), "must be application/dicom"),
        (RELATED, build_body(b"Content-Type: application/dicom+json\r\n", b"x"), "must be application/dicom"),
        (RELATED, build_body(DICOM_PART + b"Content-Transfer-Encoding: base64\r\n", b"eA=="), "not base64"),
        (FORM, build_body(FORM_PART + b"content-transfer-encoding: BASE64\r\n", b"eA=="), "not base64"),
        (RELATED, b"--b--\r\n", "field 'file'"),
        (RELATED, build_body(DICOM_PART, b"x")[:-9], "field 'file'"),
        (RELATED.replace("dicom", "dicom+xml"), build_body(DICOM_PART, b"x"), 'type="application/dicom"'),
        (FORM, build_body(FORM_PART.replace(b'"file"', b'"image"'), b"x"), "field 'file'"),
        (FORM, build_body(b'Content-Disposition: form-data; name="file"\r\n', b"x"), "field 'file'"),
        ("multipart/form-data", build_body(FORM_PART, b"x"), "one boundary"),
        ("multipart/form-data; boundary=", build_body(FORM_PART, b"x"), "one boundary"),
        ("multipart/form-data; boundary=b; boundary=c", build_body(FORM_PART, b"x"), "one boundary"),
        ("multipart/form-data; boundary*=b", build_body(FORM_PART, b"x"), "one boundary"),
        ("multipart/form-data; boundary*0=b; boundary=b", build_body(FORM_PART, b"x"), "one boundary"),
        ('multipart/form-data; boundary="b; boundary=c"', build_body(FORM_PART, b"x"), "one boundary"),
        ("multipart/form-data; boundary=" + "b" * 71, build_body(FORM_PART, b"x"), "one boundary"),
        ('multipart/related; boundary="b\\"c"', build_body(DICOM_PART, b"x"), "one boundary"),
    ],
)
async def test_any_other_form_is_refused(content_type: str, body: bytes, text: str) -> None:
    """The error says what is wrong."""
    with pytest.raises(InvalidRequest) as caught:
        await read(content_type, [body])
    assert text in str(caught.value)


@given(st.permutations(["file", *IDENTIFIER_NAMES]), PLACES)
async def test_identifiers_stand_before_or_behind_the_file(order: list[str], places: list[int]) -> None:
    """The order of the parts means nothing, and neither do the cuts of the network."""
    heads = {name: build_field(name.encode()) for name in IDENTIFIER_NAMES} | {"file": FORM_PART}
    body = b"".join(b"--b\r\n" + heads[name] + b"\r\n" + name.encode() + b"\r\n" for name in order) + b"--b--"

    async def arrive() -> AsyncIterator[bytes]:
        for piece in cut(body, places):
            yield piece

    async with open_file_part(FORM, arrive(), 2**20) as uploaded:
        assert await uploaded.file.read() == b"file"
        assert uploaded.identifiers == {name: name for name in IDENTIFIER_NAMES}
    assert "sop_instance_uid" not in repr(uploaded)


async def test_a_field_that_occurs_twice_is_refused() -> None:
    """Nobody can say which of the two is meant."""
    field = NUMBER + NEXT
    with pytest.raises(InvalidRequest, match="a field twice"):
        await read(FORM, [build_body(field + field + FORM_PART, b"y")])


@given(st.integers(1, 40))
async def test_a_form_that_ends_within_a_field_is_refused(missing: int) -> None:
    """An identifier that was cut must not be dropped in silence."""
    whole = build_body(FORM_PART + NEXT + NUMBER, b"A-4711")
    with pytest.raises(InvalidRequest):
        await read(FORM, [whole[: -len(b"--b--\r\n") - missing]])
