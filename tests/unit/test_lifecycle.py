"""Listeners are bound before they serve and stop in their order; e2e/test_drain.py and test_grpc.py have the stop."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from router.facades.http.limits import HttpLimits
from router.facades.http.ops import build_ops_app
from router.lifecycle import Address, Drain, Lifecycle, Listener, Phase, Tls
from tests.support.certificate import make_certificate
from tests.support.fakes import SECOND
from tests.support.pipeline import Rig
from tests.support.waiting import turns

LIMITS = HttpLimits(
    max_body=1_000,
    max_headers=1_000,
    read_timeout_ns=SECOND,
    body_timeout_ns=SECOND,
    write_timeout_ns=SECOND,
    stream_ping_ns=SECOND,
)
APP = build_ops_app(health=Phase(), exposition=lambda: (b"", "text/plain"))


def test_a_phase_begins_as_not_ready() -> None:
    assert "starting" == Phase().not_ready


def test_port_0_becomes_a_real_one_and_can_be_given_back() -> None:
    listener = Listener(APP, Address(host="127.0.0.1", port=0), LIMITS)
    listener.unbind()

    assert 0 < listener.port
    Listener(APP, Address(host="127.0.0.1", port=listener.port), LIMITS).unbind()


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port}: Address already in use. Stop what listens there"):
            Listener(APP, Address(host="127.0.0.1", port=port), LIMITS)


def test_a_certificate_that_cannot_be_read_is_said_before_anything_is_bound() -> None:
    with pytest.raises(OSError, match="No such file"):
        Listener(APP, Address(host="127.0.0.1", port=0, tls=Tls(cert_file="none.pem", key_file="none.pem")), LIMITS)


def test_a_listener_asks_for_certificates_of_the_authority_it_is_given(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "localhost")
    files = {"cert_file": str(made.certificate), "key_file": str(made.key)}
    wanted = {}
    for authority in (None, str(made.authority)):
        tls = Tls(**files, client_ca_file=authority)
        listener = Listener(APP, Address(host="127.0.0.1", port=0, tls=tls), LIMITS)
        listener.unbind()
        assert listener.config.ssl is not None
        wanted[authority is not None] = listener.config.ssl.verify_mode

    assert {False: ssl.CERT_NONE, True: ssl.CERT_REQUIRED} == wanted


class Steps:
    """Listeners of all kinds that note in one list what they are told."""

    def __init__(self, phase: Phase) -> None:
        self.taken: list[str] = []
        self._phase = phase

    def take(self, step: str) -> None:
        self.taken.append(f"{step} ({self._phase.not_ready or 'ready'})")


class NotedListener:
    """`Listener` that ends when it is told, or `hangs` until it is forced."""

    def __init__(self, name: str, steps: Steps, *, hangs: bool = False) -> None:
        self._name, self._steps, self._hangs = name, steps, hangs
        self._end = asyncio.Event()

    async def run_until_told(self) -> None:
        self._steps.take(f"{self._name} serves")
        await self._end.wait()
        self._steps.take(f"{self._name} ends")

    def tell_to_stop(self) -> None:
        self._steps.take(f"{self._name} told")
        if not self._hangs:
            self._end.set()

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "force_exit":
            self._steps.take(f"{self._name} forced")
            self._end.set()


class NotedGrpc:
    """`GrpcListener` whose calls are over at once, or `hang` until they are cut."""

    def __init__(self, steps: Steps, *, hangs: bool = False, starts: bool = True) -> None:
        self._steps, self._hangs, self._starts = steps, hangs, starts
        self._cut = asyncio.Event()

    async def start(self) -> None:
        if not self._starts:
            raise OSError("cannot be had")
        self._steps.take("grpc starts")

    async def say_not_serving(self) -> None:
        self._steps.take("grpc not serving")

    async def stop(self, grace_s: float | None) -> None:
        self._steps.take(f"grpc stops within {grace_s}")
        if grace_s is None:
            self._cut.set()
        elif self._hangs:
            await self._cut.wait()


async def stopped(
    *, grpc: bool = True, grpc_hangs: bool = False, http_hangs: bool = False, hurries: bool = False
) -> list[str]:
    """Serve, stop, and return all that was done in its order."""
    phase = Phase()
    steps = Steps(phase)
    parts: Any = {"http": NotedListener("http", steps, hangs=http_hangs), "ops": NotedListener("ops", steps)}
    lifecycle = Lifecycle(
        pipeline=Rig().pipeline,
        grpc=NotedGrpc(steps, hangs=grpc_hangs) if grpc else None,  # type: ignore[arg-type]  # all that is used of it
        phase=phase,
        drain=Drain(delay_ns=SECOND // 100, grace_ns=30 * SECOND if hurries else SECOND // 50),
        **parts,
    )

    async def release() -> None:
        steps.take("release")

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(lifecycle.run(release))
        await turns(5)
        lifecycle.told_to_stop()
        if hurries:
            await turns(5)
            lifecycle.told_to_stop()
        await running
    return steps.taken


async def test_grpc_is_up_before_the_router_is_ready_and_down_before_the_stores_are() -> None:
    """It says so before it takes no more calls, and probes are answered to the last."""
    assert [
        "grpc starts (starting)", "ops serves (ready)", "http serves (ready)", "grpc not serving (draining)",
        "http told (draining)", "http ends (draining)", "grpc stops within 5.02 (draining)",
        "grpc stops within None (draining)", "release (draining)", "ops told (draining)", "ops ends (draining)",
    ] == await stopped()  # fmt: skip


async def test_without_grpc_nothing_else_is_another() -> None:
    with_it, without = await stopped(), await stopped(grpc=False)

    assert [step for step in with_it if "grpc" not in step] == without


@pytest.mark.parametrize("hurries", [False, True])
async def test_calls_over_grpc_that_take_too_long_are_cut_before_the_stores_are_put_away(
    monkeypatch: pytest.MonkeyPatch, *, hurries: bool
) -> None:
    monkeypatch.setattr("router.lifecycle._LAST_WORDS_S", 0.02)
    steps = await stopped(grpc_hangs=True, http_hangs=True, hurries=hurries)

    assert steps.index("grpc stops within None (draining)") < steps.index("release (draining)")
    assert steps.index("http forced (draining)") < steps.index("release (draining)")


async def test_a_grpc_that_cannot_start_ends_the_router_instead_of_serving_half() -> None:
    phase = Phase()
    steps = Steps(phase)
    parts: Any = {"http": NotedListener("http", steps), "ops": NotedListener("ops", steps)}
    lifecycle = Lifecycle(
        pipeline=Rig().pipeline,
        grpc=NotedGrpc(steps, starts=False),  # type: ignore[arg-type]  # all that is used of it
        phase=phase,
        drain=Drain(delay_ns=0, grace_ns=0),
        **parts,
    )

    async def release() -> None:
        raise AssertionError("its owner puts away what it opened")

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(5):
            await lifecycle.run(release)

    assert ["cannot be had"] == [str(one) for one in caught.value.exceptions]
    assert "starting" == phase.not_ready
