"""Describe every key: as JSON Schema for editors, and as the page `docs/config.md` for people."""

from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Final, TypeAlias

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import WithDefaultSchema

from router.config.presets import PRESETS
from router.config.profiles import describe_profiles
from router.config.schema import Settings
from router.config.tree import KeyPath
from router.config.units import format_size
from router.domain.instants import format_duration

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
Schema: TypeAlias = "dict[str, Json]"

_WORDS: Final = {"object": "mapping", "string": "text", "password": "secret", "date-time": "date or time"}

_WRITE: Final = {"duration": format_duration, "size": format_size}

REGENERATE: Final = "checkrein config reference > docs/config.md"


class _Generator(GenerateJsonSchema):
    """Write defaults as an operator would: `10s`, where pydantic has the nanoseconds that it becomes."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        described = super().default_schema(schema)
        write = _WRITE.get(str(described.get("format")))
        if write is not None and isinstance(described.get("default"), int):
            described["default"] = write(described["default"])
        return described


@cache
def _schema() -> JsonSchemaValue:
    return Settings.model_json_schema(schema_generator=_Generator)


def json_schema() -> Schema:
    """Return the JSON Schema of the whole file."""
    return {"$schema": GenerateJsonSchema.schema_dialect, **_schema()}


def keys_at(path: KeyPath) -> tuple[str, ...]:
    """Return the keys that are known at a path; nothing where any key may stand."""
    node: Schema = _schema()
    for step in path:
        node = _below(node, step)
    properties = _object(node).get("properties")
    return tuple(properties) if isinstance(properties, dict) else ()


def render_page() -> str:
    """Write the whole page: the words, then a table of every key."""
    words = resources.files("router.config").joinpath("reference.md").read_text(encoding="utf-8")
    presets = "\n".join(
        f"| `{name}` | {preset.kind} | {preset.base_url} | {preset.key_variable or 'none'} |"
        for name, preset in PRESETS.items()
    )
    keys = "\n".join(
        f"| `{path}` | {_cell(kind)} | {_cell(default)} | {_cell(sentence)} |"
        for path, kind, default, sentence in _rows(_schema(), "")
    )
    return words.replace("{presets}", presets).replace("{profiles}", describe_profiles()).replace("{keys}", keys)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _rows(node: Schema, prefix: str) -> Iterator[tuple[str, str, str, str]]:
    properties = _object(node).get("properties")
    required = _object(node).get("required", [])
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    for name, entry in properties.items():
        assert isinstance(entry, dict)
        path, target = f"{prefix}{name}", _object(entry)
        default = "required" if name in required else _format_default(entry.get("default"))
        yield path, _describe(entry), default, str(entry.get("description", ""))
        if target.get("type") == "array":
            target, path = _below(target, 0), f"{path}[]"
        if "properties" in _object(target):
            yield from _rows(target, f"{path}.")


def _object(node: Schema) -> Schema:
    """Follow a reference, and look through `null`, to the schema that says what stands there."""
    for alternative in _list(node, "anyOf") + _list(node, "allOf"):
        if alternative.get("type") != "null":
            return _object({**alternative, **{key: value for key, value in node.items() if key != "anyOf"}})
    target = node.get("$ref")
    if not isinstance(target, str):
        return node
    definitions = _schema()["$defs"]
    found: Schema = definitions[target.rpartition("/")[2]]
    return found


def _list(node: Schema, key: str) -> list[Schema]:
    found = node.get(key, [])
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _below(node: Schema, step: str | int) -> Schema:
    node = _object(node)
    if isinstance(step, int):
        below = node.get("items", {})
    else:
        properties = node.get("properties", {})
        below = properties.get(step, {}) if isinstance(properties, dict) else {}
    return _object(below) if isinstance(below, dict) else {}


def _describe(entry: Schema) -> str:
    """Name a type with its bounds, as short as it can be said."""
    alternatives = _list(entry, "anyOf")
    if alternatives:
        return " or ".join(_describe(alternative) for alternative in _readable(alternatives))
    if "$ref" in entry:
        return _describe(_object(entry))
    if "enum" in entry or "const" in entry:
        values = entry.get("enum", [entry.get("const")])
        return ", ".join(f"`{value}`" for value in values) if isinstance(values, list) else ""
    kind = str(entry.get("format") or entry.get("type") or "any")
    if kind == "array":
        return f"list of {_describe(_below(entry, 0))}"
    return " ".join(part for part in (_WORDS.get(kind, kind), _bounds(entry)) if part)


def _readable(alternatives: list[Schema]) -> list[Schema]:
    """Drop the text form that JSON Schema lists beside each exact number."""
    numbers = any(alternative.get("type") == "number" for alternative in alternatives)
    return [alternative for alternative in alternatives if not (numbers and alternative.get("type") == "string")]


def _bounds(entry: Schema) -> str:
    if "x-range" in entry:
        return str(entry["x-range"])
    least, most = entry.get("minimum"), entry.get("maximum")
    if least is None:
        return ""
    return f"{_number(least)} to {_number(most)}"


def _number(value: Json) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _format_default(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f"`{value}`"
        case dict():
            return _format_default(value["name"]) if "name" in value else "as below" if value else "{}"
        case list():
            return "[" + ", ".join(_format_default(item) for item in value) + "]"
        case _:
            return _number(value)
