"""Usage, cost and who served are told in numbers, and what is not known is not 0."""

from router.domain.faults import Fault
from router.domain.governance.output_estimate import class_of
from router.domain.ids import CallId
from router.domain.settlement import Settlement
from router.domain.stream import Event, EventKind
from router.domain.usage import TokenUsage
from router.facades.grpc.served import cost_of, served_of, settled, usage_of
from router.pipeline.admission import Admission
from router.pipeline.call import Call
from tests.support import fakes
from tests.support.attempts import attempt
from tests.support.grpc_rig import GrpcRig


async def settlement_of(rig: GrpcRig, reply: bytes) -> Settlement:
    rig.upstream().feed(Event(EventKind.COMPLETE, reply))
    call = rig.call('{"model":"small","messages":[]}')
    with rig.pipeline.open(call) as opened:
        await opened.read()
    return settled(call)


def served_call() -> Call:
    call = GrpcRig().call()
    call.attempts.append(attempt(started_ns=0, begun=0))
    return call


async def test_usage_is_the_settlements_to_the_token() -> None:
    said = b'{"prompt_tokens":2006,"completion_tokens":300,"prompt_tokens_details":{"cached_tokens":1000},'
    said += b'"completion_tokens_details":{"reasoning_tokens":40}}'
    settlement = await settlement_of(GrpcRig(), b'{"model":"m","choices":[],"usage":' + said + b"}")
    usage, cost = usage_of(settlement), cost_of(settlement)

    assert TokenUsage(input=2_006, cached_input=1_000, output=300, reasoning=40) == settlement.usage
    assert (2_006, 1_000, 0, 300, 40, False, False) == (
        usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens, usage.output_tokens,
        usage.reasoning_tokens, usage.estimated, usage.clamped,
    )  # fmt: skip
    assert (1_006 * 2_000 + 1_000 * 200 + 300 * 10_000, "test") == (cost.total_nano_usd, cost.price_version)


async def test_what_the_router_had_to_guess_or_cut_is_said() -> None:
    guessed = await settlement_of(GrpcRig(), b'{"model":"m","choices":[{"message":{"content":"hello"}}]}')
    cut = await settlement_of(
        GrpcRig(),
        b'{"model":"m","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1,'
        b'"prompt_tokens_details":{"cached_tokens":50}}}',
    )

    assert usage_of(guessed).estimated
    assert usage_of(cut).clamped


async def test_a_price_that_is_not_known_is_absent_and_not_nothing() -> None:
    settlement = await settlement_of(
        GrpcRig(fakes.snapshot(price=None)),
        b'{"model":"m","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1}}',
    )

    assert not cost_of(settlement).HasField("total_nano_usd")
    assert not cost_of(settlement).HasField("price_version")


def test_who_served_is_named_with_every_attempt() -> None:
    call = served_call()
    call.attempts.append(attempt(started_ns=0, begun=0))
    served = served_of(call, ())

    assert ("up/model", "model", 2, "r1") == (
        served.deployment, served.upstream_model, served.attempts, served.request_id,
    )  # fmt: skip
    assert served.call_id.startswith("call_")
    assert not served.HasField("substituted")
    assert [[], []] == [list(served.dropped_params), list(served.notices)]


def test_what_was_left_out_is_named_whoever_left_it_out_and_bounded() -> None:
    call = served_call()
    call.attempts[-1].dropped = ("logit_bias",)
    served = served_of(call, ((b"x-checkrein-dropped-params", b"seed,user"), (b"server", b"x")))
    many = served_of(call, ((b"x-checkrein-dropped-params", b",".join([b"p"] * 100)),))

    assert ["logit_bias", "seed", "user"] == list(served.dropped_params)
    assert 32 == len(many.dropped_params)


def test_notices_say_what_was_observed_and_that_money_ended_the_reply() -> None:
    call = served_call()
    call.would_refuse.append(Fault.BUDGET_EXHAUSTED)
    call.admission = Admission(None, CallId(1), kind=class_of("m", "k", 1), limits=())  # type: ignore[arg-type]  # unused
    call.admission.truncated = True

    assert ["would_refuse=budget_exceeded", "budget_truncated"] == list(served_of(call, ()).notices)
