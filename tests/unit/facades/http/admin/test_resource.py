"""What administrative routes share: how changes and times are shown, and how sections are described."""

from router.facades.http.admin.resource import components_of, described_body, ms, view_change
from router.ports.keys import AuditRow, Change


def test_a_change_is_shown_with_both_sides() -> None:
    row = AuditRow(
        subject="ci", revision=7, change=Change(actor="boss", action="update", at_ns=2_000_000, before='{"a":1}')
    )

    assert {
        "at_ms": 2,
        "actor": "boss",
        "action": "update",
        "revision": 7,
        "before": {"a": 1},
        "after": None,
    } == view_change(row)


def test_a_section_is_described_without_what_is_not_taken() -> None:
    schema = {"properties": {"name": {}, "key": {}}, "$defs": {"Inner": {"type": "string"}}}

    assert {"Inner": {"type": "string"}, "Settings": {"properties": {"name": {}}}} == components_of(
        "Settings", schema, ("key",)
    )
    assert {"key"} < set(schema["properties"]) | {"x"}


def test_times_are_milliseconds_or_nothing() -> None:
    assert (1, None) == (ms(1_999_999), ms(None))


def test_a_body_may_be_left_out_where_it_is_said() -> None:
    body = described_body({}, required=False)["requestBody"]

    assert {"required": False, "content": {"application/json": {"schema": {}}}} == body
