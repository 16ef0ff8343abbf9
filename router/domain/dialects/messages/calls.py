"""Put a tool call and its id into what Messages accepts, and back, so that call and answer stay a pair.

Arguments are text in Chat Completions and an object in Messages: the text is embedded as it is. Text that is not an
object, which models do write, goes where Anthropic's documentation puts it: `{"INVALID_JSON": "..."}`. Nothing is lost,
and no tool mistakes it for a call without arguments.
"""

import hashlib
import re
from typing import Final

from msgspec import Raw

from router.domain.dialects.raw_json import encode, unquoted_object

_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
_NOT_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_DIGEST_BYTES: Final = 6
_NO_INPUT: Final = Raw(b"{}")


def id_for_messages(call_id: str) -> str:
    """Return an id that Messages takes: the same one if it can be, else one that no other id becomes.

    Some providers write ids as `functions.search:0`, and a conversation that they began must go on elsewhere.
    """
    if _ID.fullmatch(call_id):
        return call_id
    digest = hashlib.blake2b(call_id.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{_NOT_ID.sub('_', call_id)}_{digest}"


def input_of(arguments: str) -> Raw:
    """Return the object that arguments are in Messages."""
    if not arguments.strip():
        return _NO_INPUT  # what many providers write for a tool without parameters
    return unquoted_object(arguments) or encode({"INVALID_JSON": arguments})
