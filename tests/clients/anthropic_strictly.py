"""Anthropic's SDK with its own check of every reply and event. A program, run where that SDK is; it prints."""

import os
import sys
from collections.abc import Callable

import anthropic
from anthropic import Anthropic

url, model = sys.argv[1:]
key = os.environ["CHECKREIN_KEY"]
client = Anthropic(base_url=url, api_key=key, max_retries=0, _strict_response_validation=True)
turns = [{"role": "user", "content": "What is the weather?"}]
asked = {"model": model, "max_tokens": 2_000, "messages": turns}
tools = [{"name": "weather", "input_schema": {"type": "object"}}]


def raised(ask: Callable[[], object]) -> str:
    try:
        ask()
    except anthropic.APIStatusError as exc:
        return f"{type(exc).__name__} {exc.type}"
    return "nothing"


def streamed(**more: object) -> object:
    with client.messages.stream(**{**asked, **more}) as stream:
        return stream.get_final_message()


for more in (
    {},
    {"max_tokens": 3},
    {"tools": tools},
    {"tools": tools, "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
    {"thinking": {"type": "enabled", "budget_tokens": 1_024}},
    {"system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]},
    {"metadata": {"user_id": "u"}, "service_tier": "auto"},
):
    whole, last = client.messages.create(**{**asked, **more}), streamed(**more)
    alike = [block.type for block in whole.content] == [block.type for block in last.content]
    usage = whole.usage.output_tokens == last.usage.output_tokens
    print(whole.stop_reason, last.stop_reason, alike, usage)
print(client.beta.messages.create(**asked, betas=["tools-x"]).type)
print(",".join(one.id for one in client.models.list()), client.models.retrieve(model).display_name)
print(raised(lambda: client.messages.create(**{**asked, "model": "none"})))
print(raised(lambda: client.messages.create(**{**asked, "messages": "x"})))
print(raised(lambda: Anthropic(base_url=url, api_key="sk-nobody", max_retries=0).messages.create(**asked)))
print(raised(lambda: streamed(model=f"cut-{model}")))
print(Anthropic(base_url=url, api_key=None, auth_token=key, max_retries=0).messages.create(**asked).type)
