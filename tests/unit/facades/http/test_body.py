"""A body is read whole, or no further than allowed."""

import pytest

from router.domain.faults import Fault, RouterError
from router.facades.http.body import CallerGone, check_body_headers, read_body
from tests.support.asgi import Exchange


async def read(exchange: Exchange, max_bytes: int = 10) -> bytes:
    check_body_headers(exchange.scope["headers"], max_bytes=max_bytes)
    return await read_body(exchange.receive, max_bytes=max_bytes)


async def refused(exchange: Exchange) -> Fault:
    with pytest.raises(RouterError) as caught:
        await read(exchange)
    return caught.value.refusal.fault


@pytest.mark.parametrize("parts", [(b"{}",), (b"{", b"}"), (b"", b"{}", b""), (b"1234567890",), (b"",)])
async def test_a_body_of_any_number_of_parts_is_whole(parts: tuple[bytes, ...]) -> None:
    assert b"".join(parts) == await read(Exchange("/", *parts))


@pytest.mark.parametrize("parts", [(b"12345678901",), (b"123456", b"78901"), (b"12345678901", b"")])
async def test_one_byte_too_many_is_refused(parts: tuple[bytes, ...]) -> None:
    assert Fault.REQUEST_TOO_LARGE is await refused(Exchange("/", *parts))


@pytest.mark.parametrize("sizes", [(700_000,) * 5, (3_000_000,), (3_000_000, 0), (1, 1 << 20, 1, 1 << 20)])
async def test_a_long_body_is_whole_to_the_last_byte(sizes: tuple[int, ...]) -> None:
    parts = [bytes([at + 1]) * size for at, size in enumerate(sizes)]
    body = b"".join(parts)

    assert body == await read(Exchange("/", *parts), max_bytes=len(body))
    with pytest.raises(RouterError):
        await read(Exchange("/", *parts), max_bytes=len(body) - 1)


async def test_a_length_too_large_is_refused_before_anything_is_read() -> None:
    exchange = Exchange("/", b"{}", headers={"content-length": "11"})

    assert Fault.REQUEST_TOO_LARGE is await refused(exchange)
    assert b"{}" == (await exchange.receive())["body"]


async def test_reading_stops_where_it_is_too_much() -> None:
    exchange = Exchange("/", b"123456", b"789012", b"never read")

    assert Fault.REQUEST_TOO_LARGE is await refused(exchange)
    assert b"never read" == (await exchange.receive())["body"]


@pytest.mark.parametrize("headers", [{"content-type": "text/plain"}, {"content-encoding": "gzip"}])
async def test_what_is_no_plain_json_by_its_headers_is_refused(headers: dict[str, str]) -> None:
    assert Fault.UNSUPPORTED_MEDIA_TYPE is await refused(Exchange("/", b"{}", headers=headers))


@pytest.mark.parametrize("headers", [{"content-type": ""}, {"content-encoding": "identity"}, {"content-encoding": ""}])
async def test_headers_that_say_nothing_are_no_reason(headers: dict[str, str]) -> None:
    assert b"{}" == await read(Exchange("/", b"{}", headers=headers))


async def test_a_caller_that_leaves_before_the_end_is_gone() -> None:
    whole = Exchange("/", b"{}")
    await whole.receive()
    whole.hang_up()
    half = Exchange("/", b"{", b"}")
    await half.receive()
    await half.receive()
    half.hang_up()

    for exchange in (whole, half):
        with pytest.raises(CallerGone):
            await read(exchange)


FORM = b"multipart/form-data; boundary=x"


def test_a_form_is_taken_only_where_it_may_be_one() -> None:
    headers = [(b"content-type", FORM)]

    assert FORM == check_body_headers(headers, max_bytes=1, form=True)
    assert b"application/json" == check_body_headers([], max_bytes=1, form=True)
    for pairs, form in ((headers, False), ([(b"content-type", b"application/x-www-form-urlencoded")], True)):
        with pytest.raises(RouterError) as caught:
            check_body_headers(pairs, max_bytes=1, form=form)
        assert Fault.UNSUPPORTED_MEDIA_TYPE is caught.value.refusal.fault
