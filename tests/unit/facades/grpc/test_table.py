import re
from collections.abc import Iterator
from pathlib import Path

from checkrein.v1 import chat_pb2, embeddings_pb2
from checkrein.v1.chat_pb2 import ChatCompletion
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from router.facades.grpc import table
from router.facades.grpc.decode import decoded
from router.facades.grpc.encode import encoded
from router.facades.grpc.shapes import EXTRA

PROTOS = Path(__file__).parents[4] / "protos/checkrein/v1"


def messages() -> list[Descriptor]:
    found = [each for module in (chat_pb2, embeddings_pb2) for each in module.DESCRIPTOR.message_types_by_name.values()]
    return [each for each in found if not each.name.startswith("Create")]


def fields() -> Iterator[FieldDescriptor]:
    return (field for message in messages() for field in message.fields)


def test_what_stands_in_the_table_is_in_the_messages() -> None:
    known = {field.full_name for field in fields()}

    assert set(table.EMPTY_LISTS) <= known
    assert set(table.SPECIAL) <= known
    assert set(table.TAGGED) <= {message.full_name for message in messages()}
    assert set(table.NAMES) <= {field.name for field in fields()}
    assert set(table.CHOSEN) <= {choice.name for message in messages() for choice in message.oneofs}


def test_the_lists_whose_comment_says_so_are_empty_and_not_absent() -> None:
    said = set()
    for name in ("chat", "embeddings"):
        text = (PROTOS / f"{name}.proto").read_text()
        for message, body in re.findall(r"^message (\w+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL):
            empty = re.findall(r"// [^\n]*Empty: `\[\]`[^\n]*\n  repeated [\w.]+ (\w+) =", body)
            said |= {f"checkrein.v1.{message}.{field}" for field in empty if EXTRA in body}

    assert set(table.EMPTY_LISTS) == said


def test_every_text_of_json_is_checked_before_it_is_written() -> None:
    unchecked = [field.full_name for field in fields() if field.name.endswith("_json") and field.name != EXTRA]

    assert {name for name in unchecked if name.endswith(".raw_json")} == {
        name for name in table.SPECIAL if name.endswith(".raw_json")
    }


def test_what_a_client_could_not_read_for_its_depth_is_in_extra_json() -> None:
    top = b'{"token":"a"}'
    for _ in range(150):
        top = b'{"top_logprobs":[%b]}' % top
    body = b'{"choices":[{"logprobs":{"content":[%b]}}]}' % top

    typed = encoded(ChatCompletion, body)

    assert typed is not None
    assert body == decoded(ChatCompletion.FromString(typed.SerializeToString()))
    (token,) = typed.choices[0].logprobs.content.values
    assert token.top_logprobs.values[0].top_logprobs.values
