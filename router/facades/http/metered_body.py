"""Receive the body of a metered route: whole, or so much that its call can begin, while the rest still comes."""

import asyncio

from router.domain.dialects.arriving_form import Sight
from router.domain.dialects.dialect import Grammar
from router.domain.dialects.form import LARGE_BYTES_MIN, is_form
from router.domain.dialects.metered import read_arriving, read_metered, request_of_form
from router.domain.dialects.request import Request
from router.domain.faults import Refusal
from router.facades.http.inbound import Inbound
from router.pipeline.upload import Upload


async def receive_metered(
    inbound: Inbound, grammar: Grammar, content_type: bytes, *, max_bytes: int
) -> tuple[Request | Refusal, Upload | None]:
    """Return the request, and what brings the rest of it. Raises `RouterError` and `CallerGone`."""
    begun, length, look_at = b"", inbound.coming_bytes, 0
    sight = Sight.NOT_YET if length >= LARGE_BYTES_MIN else Sight.NEVER
    while sight is Sight.NOT_YET and inbound.coming_bytes:
        if len(begun) < look_at:
            begun += await inbound.piece()
            continue
        look_at = max(1, 2 * len(begun))  # who sends it byte by byte does not have it read as often
        opening = read_arriving(grammar, content_type, begun, length)
        if not isinstance(opening, Sight):
            upload = Upload(opening.ending, opening.first, inbound.piece, length=length - len(opening.form.body))
            return request_of_form(grammar, opening.form), upload
        sight = opening
    body = await inbound.body(max_bytes=max_bytes, begun=begun)
    if len(body) < LARGE_BYTES_MIN or not is_form(content_type):
        return read_metered(grammar, content_type, body), None
    return await asyncio.to_thread(read_metered, grammar, content_type, body), None
