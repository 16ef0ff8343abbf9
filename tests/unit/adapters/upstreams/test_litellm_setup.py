"""What is turned off in litellm, so that it only translates."""

import logging

import pytest

from tests.support.litellm_calls import real

pytestmark = pytest.mark.slow


async def test_litellm_keeps_to_itself() -> None:
    await real().get()
    import litellm

    assert (False, True, 0, None) == (
        litellm.telemetry,
        litellm.suppress_debug_info,
        litellm.num_retries,
        litellm.cache,
    )
    assert [] == [*litellm.callbacks, *litellm.success_callback, *litellm.failure_callback, *litellm.input_callback]
    assert logging.CRITICAL == logging.getLogger("LiteLLM").level


async def test_what_litellm_hooks_up_while_it_is_imported_is_taken_off_again() -> None:
    """One of its modules makes itself a cache, and asks to be told of every call."""
    await real().get()
    import litellm
    from litellm.caching.caching import Cache

    from router.adapters.upstreams import litellm_setup

    Cache()
    assert "cache" in litellm.input_callback
    litellm_setup.set_up_litellm()

    assert [] == [*litellm.input_callback, *litellm.success_callback]


async def test_whatever_the_provider_its_client_is_ours() -> None:
    await real().get()
    import litellm
    from litellm.llms.custom_httpx.http_handler import get_async_httpx_client

    from router.adapters.upstreams.litellm_wire import WireTransport

    clients = [
        get_async_httpx_client(litellm.LlmProviders.BEDROCK, params={"timeout": 3}).client,
        get_async_httpx_client(litellm.LlmProviders.COHERE).client,
        litellm.module_level_aclient.client,
        litellm.aclient_session,
    ]
    for client in clients:
        assert client is not None
        assert isinstance(client._transport, WireTransport)
        assert not client.follow_redirects
        assert not client._mounts


async def test_gemini_is_asked_directly() -> None:
    assert ["gemini"] == list((await real().get()).direct)
