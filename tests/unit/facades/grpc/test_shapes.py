import pytest
from checkrein.v1.chat_pb2 import ChatMessage, ContentPart, StopSequences, TextList, TokenLogprob
from msgspec import Raw

from router.facades.grpc.kinds import INTEGER, JSON, JSON_OBJECT, NOT_HELD, TEXT, TEXTS, Broken, Kind
from router.facades.grpc.shapes import (
    Choice,
    Member,
    Object,
    Tagged,
    each_kind,
    each_of,
    not_empty,
    wrapped,
)


def member(name: str, kind: Kind, field: str | None = None) -> Member:
    return Member(name=name, field=field or name, kind=kind)


def message_shape(*, listed: bool = False) -> Object:
    shape = Object()
    shape.know(member("role", TEXT))
    shape.know(member("name", TEXT), listed=listed)
    return shape


def test_an_object_holds_what_it_knows_and_keeps_the_rest_as_it_came() -> None:
    held = message_shape().read(Raw(b'{"name":null, "role":"user","more" : { "a":1.0 }}'))

    assert {"role": "user", "extra_json": '{"name":null,"more":{ "a":1.0 }}'} == held
    assert {"role": "", "name": "a"} == message_shape().read(Raw(b'{"name":"a","role":""}'))


def test_null_goes_into_a_field_that_holds_it() -> None:
    shape = Object()
    shape.know(member("usage", JSON, "usage_json"))

    assert {"usage_json": "null"} == shape.read(Raw(b'{"usage":null}'))


def test_a_member_that_the_message_cannot_but_have_must_be_there() -> None:
    with pytest.raises(NOT_HELD):
        message_shape(listed=True).read(Raw(b'{"role":"user"}'))
    assert {"extra_json": '{"name":null}'} == message_shape(listed=True).read(Raw(b'{"name":null}'))
    assert {"name": []} == message_shape(listed=True).write(ChatMessage())
    assert {"name": Raw(b"null")} == message_shape(listed=True).write(ChatMessage(extra_json='{"name":null}'))


def test_the_fields_of_a_member_that_is_one_of_several_are_those_of_the_object() -> None:
    shape = Object()
    shape.know_choice("logprob", "choice", [member("token", TEXT), member("logprob", INTEGER)])

    assert {"logprob": 5} == shape.read(Raw(b'{"logprob":5}'))
    assert {"token": "5"} == shape.read(Raw(b'{"logprob":"5"}'))
    assert {"extra_json": '{"logprob":[]}'} == shape.read(Raw(b'{"logprob":[]}'))
    assert {"logprob": "5"} == shape.write(TokenLogprob(token="5"))


def test_a_list_of_objects_holds_objects_alone() -> None:
    kind = each_of(message_shape())

    assert [{"role": "user"}, {}] == kind.read(Raw(b'[{"role":"user"}, {}]'))
    for other in (b"[{},null]", b"{}", b"null", b'["a"]'):
        with pytest.raises(NOT_HELD):
            kind.read(Raw(other))


def test_a_choice_holds_a_value_in_the_first_field_that_can() -> None:
    kind = Choice([member("text", TEXT), member("texts", wrapped("values", TEXTS))]).kind()

    assert {"text": "a"} == kind.read(Raw(b'"a"'))
    assert {"texts": {"values": []}} == kind.read(Raw(b"[]"))
    with pytest.raises(NOT_HELD):
        kind.read(Raw(b"1"))
    assert ["a"] == kind.write(StopSequences(texts=TextList(values=["a"])))  # type: ignore[arg-type]
    with pytest.raises(Broken, match="has none of `text`, `texts`"):
        kind.write(StopSequences())  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "null"), [(TEXT, False), (JSON, True)])
def test_a_choice_holds_null_if_one_of_its_fields_does(kind: Kind, *, null: bool) -> None:
    assert null is Choice([member("a", TEXT), member("b", kind)]).kind().null


TAGGED = Tagged([member("text", TEXT), member("raw_json", JSON_OBJECT)])


@pytest.mark.parametrize(
    ("json", "held"),
    [
        ('{"type":"text","text":"a"}', {"text": "a"}),
        ('{"text":"a", "x":1.0,"type":"text"}', {"text": "a", "extra_json": '{"x":1.0}'}),
        *(
            (other, {"raw_json": other})
            for other in (
                '{ "type":"text","text":null}',
                '{"type":"text"}',
                '{"text":"a"}',
                '{"type":"image_url","text":"a"}',
                '{"type":["text"],"text":"a"}',
                '{"type":"raw_json","raw_json":{}}',
                "{}",
            )
        ),
    ],
)
def test_a_type_is_the_name_of_its_field_and_all_else_is_whole(json: str, held: dict[str, str]) -> None:
    assert [held] == TAGGED.read_list(Raw(f"[{json}]".encode()))


def test_a_type_is_written_before_its_member() -> None:
    written = TAGGED.write(ContentPart(text="a", extra_json='{"x":1}'))

    assert [("type", "text"), ("text", "a"), ("x", Raw(b"1"))] == list(written.items())  # type: ignore[attr-defined]


def test_lists_that_are_absent_when_empty_do_not_hold_an_empty_one() -> None:
    assert ["a"] == not_empty(TEXTS).read(Raw(b'["a"]'))
    with pytest.raises(NOT_HELD):
        not_empty(TEXTS).read(Raw(b"[]"))


def test_each_value_of_a_list_is_of_its_kind() -> None:
    kind = each_kind(wrapped("values", TEXTS))

    assert [{"values": ["a"]}, {"values": []}] == kind.read(Raw(b'[["a"],[]]'))
    assert [["a"], []] == kind.write([TextList(values=["a"]), TextList()])  # type: ignore[arg-type]
    with pytest.raises(NOT_HELD):
        kind.read(Raw(b'[["a"],null]'))
