"""Which members of a request reach litellm, and which may not."""

import json

import pytest

from router.adapters.upstreams.litellm_request import MEMBERS, Arguments, Unsupported, arguments_of
from router.domain.stream import ReplyMode

STEERING = (
    "acompletion",
    "allowed_openai_params",
    "additional_drop_params",
    "api_base",
    "api_key",
    "api_version",
    "aws_access_key_id",
    "aws_bedrock_runtime_endpoint",
    "aws_role_name",
    "aws_session_name",
    "base_url",
    "cache",
    "caching",
    "callbacks",
    "client",
    "context_window_fallback_dict",
    "cooldown_time",
    "custom_llm_provider",
    "custom_prompt_dict",
    "deployment_id",
    "drop_params",
    "enable_json_schema_validation",
    "ensure_alternating_roles",
    "extra_body",
    "extra_headers",
    "failure_callback",
    "fallbacks",
    "guardrails",
    "headers",
    "hf_model_name",
    "input_cost_per_token",
    "litellm_call_id",
    "litellm_credential_name",
    "litellm_logging_obj",
    "litellm_metadata",
    "litellm_params",
    "litellm_session_id",
    "litellm_trace_id",
    "logger_fn",
    "max_retries",
    "metadata",
    "mock_delay",
    "mock_response",
    "mock_timeout",
    "mock_tool_calls",
    "model_list",
    "no-log",
    "num_retries",
    "organization",
    "prompt_id",
    "prompt_variables",
    "proxy_server_request",
    "region_name",
    "request_timeout",
    "retry_policy",
    "rules",
    "shared_session",
    "ssl_verify",
    "stream_timeout",
    "success_callback",
    "supports_system_message",
    "text_completion",
    "timeout",
    "tpm",
    "use_in_pass_through",
    "user_continue_message",
    "vertex_credentials",
    "vertex_location",
    "vertex_project",
    "_skip_mcp_handler",
)
"""Arguments by which litellm is told where to send a call, as whom, what to pretend, whom else to ask."""


def arguments(mode: ReplyMode = ReplyMode.UNARY, *, drop: bool = False, **members: object) -> Arguments:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **members}).encode()
    return arguments_of(body, mode=mode, model="gemini/m", supported=None, drop=drop)


def refused(**members: object) -> Unsupported:
    with pytest.raises(Unsupported) as caught:
        arguments(**members)  # type: ignore[arg-type]  # a test's own members
    return caught.value


@pytest.mark.parametrize("name", STEERING)
def test_a_caller_cannot_steer_litellm(name: str) -> None:
    assert name == refused(**{name: "x"}).param
    assert name not in arguments(drop=True, **{name: "x"}).fields  # type: ignore[arg-type]


def test_no_argument_of_litellms_own_is_among_the_members() -> None:
    assert not MEMBERS & set(STEERING)
    assert not [name for name in MEMBERS if name.startswith(("litellm", "mock", "aws_", "vertex_", "api_", "azure_"))]


def test_members_pass_as_they_are_and_nulls_say_nothing() -> None:
    asked = arguments(temperature=0.5, tools=[{"type": "function", "function": {"name": "f"}}], seed=None, top_k=3)

    assert (0.5, 3) == (asked.fields["temperature"], asked.fields["top_k"])
    assert [{"type": "function", "function": {"name": "f"}}] == asked.fields["tools"]
    assert "seed" not in asked.fields
    assert () == asked.dropped


def test_a_stream_always_asks_for_the_usage_and_a_whole_reply_for_neither() -> None:
    stream = arguments(ReplyMode.STREAM, stream=True, stream_options={"include_usage": False, "x": 1}).fields
    unary = arguments(stream=False, stream_options={"include_usage": True}).fields

    assert (True, {"include_usage": True}) == (stream["stream"], stream["stream_options"])
    assert {"model", "messages"} == set(unary)


def test_all_that_a_model_cannot_express_is_named() -> None:
    body = json.dumps({"model": "m", "messages": [], "seed": 1, "logit_bias": {}, "temperature": 1}).encode()
    with pytest.raises(Unsupported, match="`seed`, `logit_bias` cannot be expressed for gemini/m") as caught:
        arguments_of(body, mode=ReplyMode.UNARY, model="gemini/m", supported=["temperature"], drop=False)
    assert "seed" == caught.value.param

    asked = arguments_of(body, mode=ReplyMode.UNARY, model="gemini/m", supported=["temperature"], drop=True)
    assert ("seed", "logit_bias") == asked.dropped
    assert {"model", "messages", "temperature"} == set(asked.fields)


def part(url: str) -> list[dict[str, object]]:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/latest", " HTTPS://host/a.png", "file:///etc/passwd", "gs://bucket/x", "s3://bucket/x"],
)
def test_an_address_that_litellm_would_fetch_is_refused_wherever_it_stands(url: str) -> None:
    assert "messages[0].content[0]" == refused(messages=part(url)).param
    deep = [{"role": "tool", "content": [{"type": "file", "file": {"a": [{"file_id": url}]}}]}]
    assert "messages[0].content[0]" == refused(messages=deep).param


def test_content_itself_and_addresses_in_text_pass() -> None:
    inline = part("data:image/png;base64,http://")
    text = [
        {"role": "user", "content": [{"type": "text", "text": "http://host"}]},
        {"role": "user", "content": "http://h"},
    ]

    assert inline == arguments(messages=inline).fields["messages"]
    assert text == arguments(messages=text).fields["messages"]


def test_content_that_is_nested_without_end_is_refused() -> None:
    value: object = "x"
    for _ in range(40):
        value = {"a": value}
    assert "messages" == refused(messages=[{"role": "user", "content": [value]}]).param


@pytest.mark.parametrize("messages", ["hi", [1], {"a": 1}])
def test_messages_of_another_shape_are_refused(messages: object) -> None:
    assert "messages" == refused(messages=messages).param


def test_a_tool_that_litellm_would_call_itself_is_refused() -> None:
    tool = {"type": "mcp", "server_url": "litellm_proxy"}
    assert "tools[1].type" == refused(tools=[{"type": "function"}, tool]).param


def test_a_body_that_is_no_object_is_refused_without_being_quoted() -> None:
    with pytest.raises(Unsupported) as caught:
        arguments_of(b'["canary"]', mode=ReplyMode.UNARY, model="m", supported=None, drop=False)
    assert "canary" not in str(caught.value)
