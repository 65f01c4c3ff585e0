"""Read a form with one file, piece by piece as it arrives."""

from collections.abc import AsyncIterator

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartParser


class FormFileParser(MultiPartParser):
    """Starlette's parser of forms, for a form that holds one file and nothing else."""

    def __init__(self, content_type: str, chunks: AsyncIterator[bytes], max_memory_bytes: int) -> None:
        super().__init__(Headers({"content-type": content_type}), chunks, max_files=1, max_fields=0)  # type: ignore[arg-type]
        self.spool_max_size = max_memory_bytes

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
