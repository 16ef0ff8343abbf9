"""What one user of the steady load does: short chats, half of them streamed, with a pause between them."""

import json
import time
from typing import Final

from locust import FastHttpUser, between, events, task
from locust.env import Environment

from load_tests.loopback import require_loopback

_PATH: Final = "/v1/chat/completions"
_HEADERS: Final = {"authorization": "Bearer sk-local", "x-checkrein-agent": "load"}
_CHAT: Final = {"model": "load", "messages": [{"role": "user", "content": "Name a colour. " * 64}]}  # about 1 KB


@events.init.add_listener
def stay_on_this_machine(environment: Environment, **_: object) -> None:
    """End the run before its first user starts."""
    try:
        require_loopback(environment.host or "")
    except ValueError as exc:
        raise SystemExit(str(exc)) from exc


class Agent(FastHttpUser):
    wait_time = between(0.05, 0.2)
    connection_timeout = 5.0
    network_timeout = 10.0

    def on_start(self) -> None:
        # The web page of locust can change the host after the start.
        require_loopback(self.host or "")

    @task
    def unary(self) -> None:
        with self.client.post(_PATH, json=_CHAT, headers=_HEADERS, name="unary", catch_response=True) as reply:
            if reply.status_code != 200:
                reply.failure(f"{reply.status_code}: {reply.text[:200]}")
            elif not reply.json()["choices"][0]["message"]["content"]:
                reply.failure("no content")

    @task
    def streamed(self) -> None:
        """Read a stream to its `[DONE]`; locust times the head, and "first token" is reported beside it."""
        start = time.perf_counter()
        chat = {**_CHAT, "stream": True}
        with self.client.post(
            _PATH, json=chat, headers=_HEADERS, name="streamed", stream=True, catch_response=True
        ) as reply:
            if reply.status_code != 200:
                reply.failure(f"{reply.status_code}: {reply.text[:200]}")
                return
            last, first_token_s = b"", None
            while line := reply.stream.readline(b"\n"):
                last = line.strip() or last
                if first_token_s is None and _has_content(last):
                    first_token_s = time.perf_counter() - start
                    events.request.fire(
                        request_type="SSE",
                        name="first token",
                        response_time=first_token_s * 1e3,
                        response_length=0,
                        exception=None,
                        context={},
                    )
            if last != b"data: [DONE]":
                reply.failure(f"the stream ended with {last[:200]!r}")


def _has_content(line: bytes) -> bool:
    if not line.startswith(b"data: {"):
        return False
    return any(choice["delta"].get("content") for choice in json.loads(line[6:]).get("choices", ()))
