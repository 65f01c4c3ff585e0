"""Read a multipart body with one file, and fields with its identifiers, piece by piece as it arrives.

Both kinds, ``multipart/form-data`` and ``multipart/related``, go through one parser, so that there is one
reading of a boundary.

Source:
    RFC 2046 section 5.1.1 (boundary), RFC 7578 (form-data), RFC 2387 (related), DICOM PS3.18 section 10.5
    (STOW-RS).
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from pleura.errors import InvalidRequest
from pleura.identifiers import IDENTIFIER_NAMES

FIELD: Final = "file"
_DICOM: Final = b"application/dicom"
_CURL: Final = f"for example with curl -F {FIELD}=@FILE"
_FORM: Final = (
    f"the form must have one file in the field {FIELD!r}, {_CURL}, and may have the fields "
    + ", ".join(IDENTIFIER_NAMES)
)
_BOUNDARY_NAME: Final = re.compile(r"(?i)boundary[*0-9]*[ \t]*=")
_BOUNDARY: Final = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_MAX_FIELD_BYTES: Final = 256
_PLAIN_ENCODINGS: Final = frozenset({b"", b"binary", b"8bit", b"7bit"})


@dataclass(frozen=True)
class UploadedFile:
    """A file, and the identifiers that the caller gives with it, by their names."""

    file: UploadFile
    identifiers: Mapping[str, str] = field(default_factory=dict, repr=False)


class FilePartParser(MultiPartParser):
    """Starlette's parser of forms, for a form that holds one file and its identifiers."""

    def __init__(self, content_type: str, chunks: AsyncIterator[bytes], max_memory_bytes: int) -> None:
        super().__init__(
            Headers({"content-type": content_type}),
            chunks,  # type: ignore[arg-type]
            max_files=1,
            max_fields=len(IDENTIFIER_NAMES),
            max_part_size=_MAX_FIELD_BYTES,  # of a field; a file may be larger
        )
        self.spool_max_size = max_memory_bytes
        self._begun = 0

    @property
    def is_cut_short(self) -> bool:
        """Whether the body ended within a part. The parser drops a field that has no end."""
        return self._begun > len(self.items)

    def on_part_begin(self) -> None:
        """Count the part."""
        super().on_part_begin()
        self._begun += 1

    @property
    def part_headers(self) -> Mapping[bytes, bytes]:
        """The headers of the current part."""
        return {name: value.strip().lower() for name, value in self._current_part.item_headers}

    def on_headers_finished(self) -> None:
        """Begin the file or an identifier. A second file and any other field are refused."""
        if self._is_file and self._current_files:
            raise InvalidRequest(
                "the body has several files: /classify answers one radiograph, and V2 up to 32 at once"
            )
        if self.part_headers.get(b"content-transfer-encoding", b"") not in _PLAIN_ENCODINGS:
            raise InvalidRequest("the part must hold the bytes of the file, not base64")
        super().on_headers_finished()
        if not self._is_file and self._current_part.field_name not in IDENTIFIER_NAMES:
            raise InvalidRequest(_FORM)

    @property
    def _is_file(self) -> bool:
        return b"filename" in parse_options_header(self._current_part.content_disposition)[1]

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Take a piece of the file without a copy."""
        super().on_part_data(memoryview(data), start, end)  # type: ignore[arg-type]  # the parser only slices it

    async def parse(self) -> FormData:
        """Parse the form, and close at once every spooled file that is not a whole part of the form."""
        form = FormData()
        try:
            form = await super().parse()
        finally:
            complete = {id(part.file) for _, part in form.multi_items() if isinstance(part, UploadFile)}
            # a form that ends within a file reads as a form without that file, which would stay open
            for spooled in self._files_to_close_on_error:
                if id(spooled) not in complete:
                    spooled.close()
        return form


class DicomPartParser(FilePartParser):
    """Parser of ``multipart/related`` with one DICOM part, as DICOMweb clients send it."""

    def on_headers_finished(self) -> None:
        """Begin the file. Its part has no name, so the parser of forms gets the name of the field."""
        if self.part_headers.get(b"content-type", b"").partition(b";")[0].strip() != _DICOM:
            raise InvalidRequest("each part of multipart/related must be application/dicom")
        self._current_part.content_disposition = f'form-data; name="{FIELD}"; filename="f"'.encode()
        super().on_headers_finished()


def _choose_parser(content_type: str) -> type[FilePartParser]:
    kind, parameters = parse_options_header(content_type)
    # programs differ in which of two boundaries they take
    if len(_BOUNDARY_NAME.findall(content_type)) != 1 or not _BOUNDARY.fullmatch(
        parameters.get(b"boundary", b"")
    ):
        raise InvalidRequest(
            "the content-type must name one boundary: leave the content-type to your HTTP library"
        )
    if kind == b"multipart/form-data":
        return FilePartParser
    if parameters.get(b"type", _DICOM).lower() != _DICOM:
        raise InvalidRequest('multipart/related must have type="application/dicom"')
    return DicomPartParser


async def _begin_at_boundary(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Leave out line ends before the first boundary, and refuse anything else there.

    Behind such a line end the parser skips other bytes too, as many as happen to arrive together.
    """
    has_begun = False
    async for chunk in chunks:
        rest = chunk if has_begun else chunk.lstrip(b"\r\n")
        if not has_begun and rest and not rest.startswith(b"-"):
            raise InvalidRequest("the body must begin with its boundary")
        has_begun = has_begun or bool(rest)
        yield rest


@asynccontextmanager
async def open_file_part(
    content_type: str, chunks: AsyncIterator[bytes], max_memory_bytes: int
) -> AsyncIterator[UploadedFile]:
    """Read the one file of a multipart body, and hold it during the ``async with`` block.

    Raises:
        InvalidRequest: The body has another form, no file or several.
    """
    parser = _choose_parser(content_type)(content_type, _begin_at_boundary(chunks), max_memory_bytes)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest(_FORM) from error
    try:
        file = form.get(FIELD)
        if not isinstance(file, UploadFile):
            reason = "is not in" if form else "is missing, or cut short, in"
            raise InvalidRequest(f"the file {reason} the field {FIELD!r} of the form; send it {_CURL}")
        if parser.is_cut_short:
            raise InvalidRequest("the form is cut short")
        yield UploadedFile(file, _select_identifiers(form))
    finally:
        await form.close()


def _select_identifiers(form: FormData) -> Mapping[str, str]:
    values = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    if len(dict(values)) < len(values):
        raise InvalidRequest("the form has a field twice")
    return dict(values)
