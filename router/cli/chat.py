"""The `checkrein chat` command: talk to a model through a running router, and see what served and what it cost."""

import argparse
import http.client
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

from router.cli.admin import URL, Refused, answering, ask_with, complain, harmless, part, read_answer, run_asking, say

_VARIABLES: Final = ("CHECKREIN_API_KEY", "CHECKREIN_ADMIN_KEY")
_CHAT: Final = "/v1/chat/completions"
_MODELS: Final = "/v1/models"
_CALLS: Final = "/checkrein/v1/calls"
_EXIT_FAILED: Final = 1
_EXIT_INTERRUPTED: Final = 130
PROMPT_CHARS_MAX: Final = 32 << 20
"""Of what is piped in; a router takes no more by far unless told to."""
LINE_BYTES_MAX: Final = 16 << 20
"""Of one line of a reply."""

Messages = list[dict[str, str]]


class _Cut(Exception):
    """The person has heard enough."""


class _Unread(Exception):
    """Whoever was to read the reply has gone."""


def add_chat(parser: argparse.ArgumentParser) -> None:
    """Add the options to the command's parser."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="may be left out where the key has one")
    parser.add_argument("prompt", nargs="*", help="ask this and end; without it what is piped in, or a conversation")
    parser.add_argument("--system", metavar="TEXT", help="what the model is told first")
    parser.add_argument("--url", default=URL, help=f"where the router serves ({URL})")
    parser.add_argument("--key", help=f"the key to call with; better in {' or '.join(_VARIABLES)}")
    parser.set_defaults(run=_chat)


def _chat(options: argparse.Namespace) -> int:
    try:
        return run_asking(_talk, options)
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return _EXIT_INTERRUPTED
    except _Unread:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush has nobody either
        return _EXIT_FAILED


def _talk(options: argparse.Namespace) -> None:
    key = options.key or next(filter(None, map(os.environ.get, _VARIABLES)), None)
    if not key:
        raise ValueError(f"no key: set {' or '.join(_VARIABLES)}")
    conversation = _Conversation(key, options)
    if options.prompt:
        conversation.ask(" ".join(options.prompt))
    elif not sys.stdin.isatty():
        conversation.ask(_piped())
    else:
        _converse(conversation, options)


def _converse(conversation: "_Conversation", options: argparse.Namespace) -> None:
    """Take turns until the person ends it; a turn that fails is told, and what came of it stays."""
    with suppress(ImportError):
        import readline  # noqa: F401 - gives `input` its editing

    while True:
        try:
            prompt = input("> " if sys.stdout.isatty() else "")
        except EOFError:
            say("")
            return
        if not prompt.strip():
            continue
        try:
            conversation.ask(prompt)
        except _Cut:
            _aside("cut off; once more ends")
        except Refused as exc:
            complain(str(exc))
        except (OSError, http.client.HTTPException) as exc:
            complain(f"no answer from {options.url}: {exc}")


class _Conversation:
    """What was said so far, and with whom."""

    def __init__(self, key: str, options: argparse.Namespace) -> None:
        """Raises `Refused`, OSError and ValueError where no model is named and none can be chosen."""
        self._key = key
        self._options = options
        self._model = options.model or _only_model(key, options)
        self._messages: Messages = [{"role": "system", "content": options.system}] if options.system else []

    def ask(self, prompt: str) -> None:
        """Say something and print the reply as it comes. Raises `Refused`, OSError, and `_Cut` upon an interrupt."""
        messages = [*self._messages, {"role": "user", "content": prompt}]
        body = {
            "model": self._model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        said: list[str] = []
        try:
            with answering(self._key, self._options, "POST", _CHAT, body) as reply:
                if reply.status != http.client.OK:
                    read_answer(reply, self._options)
                    raise Refused(f"{self._options.url} answers {reply.status}, and not as a router does")
                usage = _print_reply(reply, said)
        except KeyboardInterrupt:
            if not sys.stdin.isatty() or self._options.prompt:
                raise
            raise _Cut from None
        finally:
            if said:
                with suppress(_Unread):
                    _write("\n")
                self._messages = [*messages, {"role": "assistant", "content": "".join(said)}]
        self._tell(reply, usage)

    def _tell(self, reply: http.client.HTTPResponse, usage: Mapping[str, object]) -> None:
        """Tell a person what served the reply and what it took."""
        if not sys.stderr.isatty():
            return
        parts = [reply.getheader("x-checkrein-deployment") or self._model]
        other = reply.getheader("x-checkrein-substituted")
        if other:
            parts.append(other)
        if usage:
            parts.append(f"{usage.get('prompt_tokens', '?')} tokens in, {usage.get('completion_tokens', '?')} out")
        parts.append(self._cost(reply))
        _aside(", ".join(parts))

    def _cost(self, reply: http.client.HTTPResponse) -> str:
        """Ask what the call cost: its headers went out before anybody knew."""
        from router.domain.money import NanoUsd, format_usd

        cost: object = None
        with suppress(Refused, OSError, ValueError, http.client.HTTPException):
            path = f"{_CALLS}/{part(reply.getheader('x-checkrein-call') or '')}"
            cost = ask_with(self._key, self._options, "GET", path).get("cost_nano_usd")
        return f"${format_usd(NanoUsd(cost))}" if isinstance(cost, int) else "cost unknown"


def _print_reply(reply: http.client.HTTPResponse, said: list[str]) -> Mapping[str, object]:
    """Print what is said as it arrives, and keep it in `said`; return the usage. Raises `Refused` and OSError."""
    usage: Mapping[str, object] = {}
    for event in _events(reply):
        if "error" in event:
            error = event["error"]
            message = error.get("message") if isinstance(error, Mapping) else None
            raise Refused(str(message or "the reply ended in an error that says nothing"))
        found = event.get("usage")
        usage = found if isinstance(found, Mapping) else usage
        for text in _texts(event):
            _write(text)
            said.append(text)
    return usage


def _events(reply: http.client.HTTPResponse) -> Iterator[Mapping[str, object]]:
    """Yield the events of a stream to its proper end. Raises `Refused` where it has none."""
    while line := reply.readline(LINE_BYTES_MAX):
        if b'"budget_truncated"' in line and line.startswith(b":"):
            _aside("cut short: the budget pays for no more")
        if not line.startswith(b"data:"):
            continue
        payload = line[len(b"data:") :].strip()
        if payload == b"[DONE]":
            return
        try:
            event = json.loads(payload)
        except ValueError:
            raise Refused("the reply is not as a router sends it") from None
        if isinstance(event, Mapping):
            yield event
    raise Refused("the reply broke off")


def _texts(event: Mapping[str, object]) -> Iterator[str]:
    choices = event.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        delta = choice.get("delta") if isinstance(choice, Mapping) else None
        for member in ("content", "refusal"):
            text = delta.get(member) if isinstance(delta, Mapping) else None
            if isinstance(text, str) and text:
                yield text


def _only_model(key: str, options: argparse.Namespace) -> str:
    found = ask_with(key, options, "GET", _MODELS)["data"]
    names = [str(model["id"]) for model in found] if isinstance(found, list) else []
    if len(names) == 1:
        return names[0]
    raise ValueError(f"say which model: {', '.join(names) or 'this key has none'}")


def _piped() -> str:
    prompt = sys.stdin.read(PROMPT_CHARS_MAX + 1)
    if len(prompt) > PROMPT_CHARS_MAX:
        raise ValueError(f"what is piped in has more than {PROMPT_CHARS_MAX >> 20} Mi characters")
    if not prompt.strip():
        raise ValueError("there is nothing to ask: say it after MODEL, or pipe it in")
    return prompt


def _write(text: str) -> None:
    """Print at once. Raises `_Unread` when nobody reads what is printed any more."""
    try:
        sys.stdout.write(harmless(text, sys.stdout))
        sys.stdout.flush()
    except BrokenPipeError:
        raise _Unread from None


def _aside(words: str) -> None:
    """Tell a person at a terminal something beside the reply."""
    if sys.stderr.isatty():
        dim, plain = ("", "") if os.environ.get("NO_COLOR") else ("\x1b[2m", "\x1b[0m")
        sys.stderr.write(f"{dim}{harmless(words, sys.stderr)}{plain}\n")
