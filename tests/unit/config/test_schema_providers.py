import pytest
from pydantic import ValidationError

from router.config.schema_providers import ProviderSettings
from router.domain.catalog import FinishRepair


def provider(**given: object) -> ProviderSettings:
    return ProviderSettings.model_validate({"name": "p", "kind": "openai_compatible", **given})


@pytest.mark.parametrize(
    ("url", "kept"),
    [("https://h/v1/", "https://h/v1"), ("http://127.0.0.1:9101/v1", "http://127.0.0.1:9101/v1"), ("", "")],
)
def test_a_base_url_is_kept_without_its_last_slash(url: str, kept: str) -> None:
    assert kept == provider(base_url=url).base_url


@pytest.mark.parametrize(
    "url",
    [
        "h/v1",
        "ftp://h",
        "https://",
        "https://u:p@h/v1",
        "https://h/v1?k=1",
        "https://h/#x",
        "http://h:x/",
        "http://[::1",
    ],
)
def test_what_is_more_or_less_than_a_base_url_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        provider(base_url=url)

    assert ["checkrein_invalid_secret"] == [error["type"] for error in caught.value.errors()]


def test_parameters_that_sound_like_secrets_are_hidden() -> None:
    params = {"api_key": "hunter2", "aws_Secret_x": "hunter2", "api_version": "1"}

    assert {"api_key": "***", "aws_Secret_x": "***", "api_version": "1"} == provider(params=params).model_dump(
        mode="json"
    )["params"]
    assert "hunter2" not in repr(provider(params=params))


@pytest.mark.parametrize("proxy", ["http://p:3128", "http://u:w@p:3128/", ""])
def test_a_proxy_is_kept_as_it_is_written(proxy: str) -> None:
    network = provider(network={"proxy": proxy}).network

    assert network.proxy is not None
    assert proxy == network.proxy.reveal()


@pytest.mark.parametrize("proxy", ["p:3128", "https://p:1", "socks5://p:1", "http://u:hunter2@p:x", "http://p:1/x"])
def test_what_is_no_proxy_is_refused_without_being_quoted(proxy: str) -> None:
    with pytest.raises(ValidationError) as caught:
        provider(network={"proxy": proxy})

    assert ["checkrein_invalid_secret"] == [error["type"] for error in caught.value.errors()]


def test_replies_are_repaired_unless_it_says_otherwise() -> None:
    assert FinishRepair.TOOL_CALLS is provider().repair.finish_reason
    assert FinishRepair.KEEP is provider(repair={"finish_reason": "keep"}).repair.finish_reason
    with pytest.raises(ValidationError):
        provider(repair={"finish_reason": "stop"})
