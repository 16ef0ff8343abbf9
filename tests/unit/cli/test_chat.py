"""`checkrein chat` prints a reply as it comes, keeps a conversation, and says in words what went wrong."""

import io
import json
from collections.abc import Iterator

import pytest

from router.cli import chat
from tests.support.answering import AnsweringRouter, answering_router

USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def sse(*events: object) -> bytes:
    """A stream of these events and its end, with what else goes by on one."""
    lines = [b": keep-alive", *(b"data: " + json.dumps(event).encode() for event in events), b"data: [DONE]"]
    return b"\n\n".join(lines) + b"\n\n"


def told(*texts: str) -> bytes:
    chunks = [{"choices": [{"delta": {"content": text}}]} for text in texts]
    return sse({"choices": [{"delta": {"role": "assistant"}}]}, *chunks, {"choices": [], "usage": USAGE})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch) -> Iterator[AnsweringRouter]:
    monkeypatch.delenv("CHECKREIN_API_KEY", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("CHECKREIN_ADMIN_KEY", "sk-boss")
    with answering_router() as site:
        site.headers = {"x-checkrein-deployment": "up/m", "x-checkrein-call": "call_1"}
        yield site


def watched(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Have what is said beside the reply go to a terminal."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    return terminal


def types(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Sit at a terminal and type these lines, then end."""
    monkeypatch.setattr("sys.stdin", Terminal("".join(f"{line}\n" for line in lines)))


def asked(router: AnsweringRouter, number: int) -> list[dict[str, str]]:
    _, path, body = router.asked[number]
    assert "/v1/chat/completions" == path
    assert isinstance(body, dict)
    messages: list[dict[str, str]] = body["messages"]
    return messages


def test_a_prompt_of_arguments_is_asked_once(router: AnsweringRouter, capsys: pytest.CaptureFixture[str]) -> None:
    router.answers = [(200, told("Hello", " you"))]

    assert 0 == router.run("chat", "demo", "Say", "hello", "--system", "Be kind.", "--key", "sk-own")
    printed = capsys.readouterr()
    assert ("Hello you\n", "") == (printed.out, printed.err)
    assert [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Say hello"}] == asked(router, 0)
    assert {"Bearer sk-own"} == router.bearers


def test_what_is_piped_in_is_asked(
    router: AnsweringRouter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    router.answers = [(200, told("ok"))]
    monkeypatch.setattr("sys.stdin", io.StringIO("two\nlines\n"))

    assert 0 == router.run("chat", "demo")
    assert "two\nlines\n" == asked(router, 0)[0]["content"]
    assert "ok\n" == capsys.readouterr().out


@pytest.mark.parametrize(("piped", "said"), [(" \n", "there is nothing to ask"), ("x" * 9, "more than")])
def test_what_is_piped_in_has_bounds(
    piped: str,
    said: str,
    router: AnsweringRouter,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(piped))
    monkeypatch.setattr(chat, "PROMPT_CHARS_MAX", 8)

    assert 2 == router.run("chat", "demo")
    assert said in capsys.readouterr().err
    assert [] == router.asked


def test_a_person_is_told_what_served_and_what_it_took(
    router: AnsweringRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    stderr = watched(monkeypatch)
    router.headers["x-checkrein-substituted"] = "demo->big;fallback"
    router.answers = [(200, told("ok")), (200, {"cost_nano_usd": 1_500})]

    assert 0 == router.run("chat", "demo", "hi")
    assert "\x1b[2mup/m, demo->big;fallback, 3 tokens in, 2 out, $0.0000015\x1b[0m\n" == stderr.getvalue()
    assert ("GET", "/checkrein/v1/calls/call_1", None) == router.asked[1]


@pytest.mark.parametrize("answer", [(404, {"error": {"message": "none"}}), (200, {"cost_nano_usd": None})])
def test_a_cost_that_nobody_knows_is_no_error(
    answer: tuple[int, object], router: AnsweringRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    stderr = watched(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    router.answers = [(200, told("ok")), answer]

    assert 0 == router.run("chat", "demo", "hi")
    assert "up/m, 3 tokens in, 2 out, cost unknown\n" == stderr.getvalue()


def test_a_conversation_takes_turns_and_survives_an_error(
    router: AnsweringRouter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    types(monkeypatch, "one", "  ", "two", "three")
    refused = (429, {"error": {"message": "The budget is used up."}})
    router.answers = [(200, told("first")), refused, (200, told("third"))]

    assert 0 == router.run("chat", "demo")
    first = [{"role": "user", "content": "one"}]
    spoken = [*first, {"role": "assistant", "content": "first"}]
    assert first == asked(router, 0)
    assert [*spoken, {"role": "user", "content": "two"}] == asked(router, 1)
    assert [*spoken, {"role": "user", "content": "three"}] == asked(router, 2)
    printed = capsys.readouterr()
    assert "The budget is used up.\n" == printed.err
    assert ["first", "third"] == printed.out.split()


def test_an_interrupt_ends_the_reply_and_then_the_program(
    router: AnsweringRouter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stderr = watched(monkeypatch)
    types(monkeypatch, "one", "two")
    router.answers = [(200, told("half", "whole")), (200, told("next")), (200, {"cost_nano_usd": 0})]
    write, interrupts = chat._write, iter([True])

    def interrupted(text: str) -> None:
        if text == "whole" and next(interrupts, False):
            raise KeyboardInterrupt
        write(text)

    monkeypatch.setattr(chat, "_write", interrupted)

    assert 0 == router.run("chat", "demo")
    assert "cut off; once more ends" in stderr.getvalue()
    heard = {"role": "assistant", "content": "half"}
    assert [heard, {"role": "user", "content": "two"}] == asked(router, 1)[1:]
    assert "half\nnext\n\n" == capsys.readouterr().out

    def ends(_prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", ends)
    types(monkeypatch)
    assert 130 == router.run("chat", "demo")


def test_an_interrupt_of_a_single_question_ends_the_program(
    router: AnsweringRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_text: str) -> None:
        raise KeyboardInterrupt

    router.answers = [(200, told("half"))]
    monkeypatch.setattr(chat, "_print_reply", lambda *_: interrupted(""))
    assert 130 == router.run("chat", "demo", "hi")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {"error": {"message": "No such key."}}), "No such key."),
        ((502, b"<html>"), "answers 502, and not as a router does"),
        ((500, {"data": 1}), "answers 500, and not as a router does"),
        ((200, sse({"error": {"message": "It broke."}})), "It broke."),
        ((200, sse({"error": None})), "an error that says nothing"),
        ((200, b'data: {"choices":[]}\n\n'), "the reply broke off"),
        ((200, b"data: {\n\n"), "not as a router sends it"),
        ((200, b"{}"), "the reply broke off"),
    ],
)
def test_what_went_wrong_is_said_in_words(
    answer: tuple[int, object], said: str, router: AnsweringRouter, capsys: pytest.CaptureFixture[str]
) -> None:
    router.answers = [answer]

    assert 1 == router.run("chat", "demo", "hi")
    assert said in capsys.readouterr().err


def test_a_router_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str], router: AnsweringRouter) -> None:
    from router.cli.commands import main

    assert 1 == main(["chat", "demo", "hi", "--url", "http://127.0.0.1:9"])
    assert "no answer from http://127.0.0.1:9" in capsys.readouterr().err


def test_the_only_model_need_not_be_named(
    router: AnsweringRouter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    types(monkeypatch, "hi")
    router.answers = [(200, {"data": [{"id": "demo"}]}), (200, told("ok"))]
    assert 0 == router.run("chat")
    assert "demo" == router.asked[1][2]["model"]  # type: ignore[index]

    router.answers = [(200, {"data": [{"id": "a"}, {"id": "b"}]})]
    assert 2 == router.run("chat")
    assert "say which model: a, b" in capsys.readouterr().err


def test_a_reply_cannot_work_a_terminal(router: AnsweringRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    router.answers = [(200, told("a\x1b[2Jb\r\x07\tc\n\x9b👩\u200d🚀"))]

    assert 0 == router.run("chat", "demo", "hi")
    assert "a[2Jb\tc\n👩\u200d🚀\n" == screen.getvalue()


def test_an_error_cannot_work_a_terminal_either(router: AnsweringRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = watched(monkeypatch)
    router.answers = [(200, sse({"error": {"message": "a\x1b[2Jb\x07"}}))]

    assert 1 == router.run("chat", "demo", "hi")
    assert "a[2Jb\n" == screen.getvalue()


def test_without_a_key_there_is_nobody_to_ask(
    router: AnsweringRouter, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CHECKREIN_ADMIN_KEY")
    assert 2 == router.run("chat", "demo", "hi")
    assert "no key: set CHECKREIN_API_KEY" in capsys.readouterr().err
