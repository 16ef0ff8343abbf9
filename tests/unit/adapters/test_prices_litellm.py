"""What becomes of litellm's price file: exact prices, tiers, windows, and no price rather than a wrong one."""

import hashlib
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec import Raw

from router.adapters.prices_litellm import (
    LitellmCatalogue,
    PriceFile,
    catalogues,
    litellm_catalogue,
    read_price_file,
)
from router.domain.pricing import ImageRate, ModelFacts, PriceCard, PriceRefused, Rates, UnitRates, bill
from router.domain.usage import TokenUsage

CHAT = '"mode":"chat","input_cost_per_token":0.000002,"output_cost_per_token":1e-05'
FILE = (
    '{"sample_spec":{"litellm_provider":"one of many","mode":"chat"},'
    '"gpt-9":{"litellm_provider":"openai","max_input_tokens":400000,"max_output_tokens":128000,'
    '"cache_read_input_token_cost":2e-07,"cache_creation_input_token_cost":2.5e-06,'
    '"input_cost_per_token_above_200k_tokens":4e-06,"output_cost_per_token_above_200k_tokens":1.5e-05,'
    '"cache_read_input_token_cost_above_200k_tokens":4e-07,"cache_creation_input_token_cost_above_200k_tokens":5e-06,'
    '"input_cost_per_token_above_200k_tokens_priority":9,"output_cost_per_token_batches":9,'
    '"cache_creation_input_token_cost_above_1hr_above_200k_tokens":9,"cache_creation_input_token_cost_above_1hr":9,'
    '"supports_function_calling":true,"supports_response_schema":true,"supports_vision":false,' + CHAT + "},"
    '"azure/gpt-9":{"litellm_provider":"azure","mode":"chat","input_cost_per_token":3e-06,"output_cost_per_token":0},'
    '"gemini-9":{"litellm_provider":"vertex_ai-language-models",' + CHAT + "},"
    '"anthropic.claude-9":{"litellm_provider":"bedrock_converse",' + CHAT + "},"
    '"claude-9":{"litellm_provider":"anthropic",' + CHAT + "},"
    '"exact":{"litellm_provider":"openai","mode":"chat","input_cost_per_token":1.2345678901234567e-07,'
    '"output_cost_per_token":0.1},'
    '"two-tiers":{"litellm_provider":"openai","input_cost_per_token_above_272k_tokens":6e-06,'
    '"input_cost_per_token_above_128k_tokens":4e-06,' + CHAT + "},"
    '"ranged":{"litellm_provider":"dashscope","mode":"chat","tiered_pricing":['
    '{"range":[0,256000.0],"input_cost_per_token":5e-08,"output_cost_per_token":4e-07},'
    '{"range":[256000.0,1000000.0],"input_cost_per_token":2.5e-07,"output_cost_per_token":2e-06,'
    '"output_cost_per_reasoning_token":3e-06,"cache_read_input_token_cost":1e-07}]},'
    '"thinker":{"litellm_provider":"openai","output_cost_per_reasoning_token":3e-05,' + CHAT + "},"
    '"cheap-write":{"litellm_provider":"deepseek","cache_creation_input_token_cost":0,'
    '"input_cost_per_token_cache_hit":1e-07,' + CHAT + "},"
    '"asked":{"litellm_provider":"perplexity","input_cost_per_request":0.005,' + CHAT + "},"
    '"embedder":{"litellm_provider":"openai","mode":"embedding","input_cost_per_token":2e-08},'
    '"painter":{"litellm_provider":"openai","mode":"image_generation","output_cost_per_image":0.04},'
    '"openai/hd/1024-x-1792/painter":{"litellm_provider":"openai","input_cost_per_image":0.12},'
    '"512-x-512/painter":{"litellm_provider":"openai","input_cost_per_pixel":1e-07,"output_cost_per_pixel":0.0},'
    '"other/hd/512-x-512/painter":{"litellm_provider":"other","input_cost_per_image":9},'
    '"hd/512-x-512/sketcher":{"litellm_provider":"openai","output_cost_per_image":0.5},'
    '"hd/512-x-512/gpt-4o":{"litellm_provider":"openai","output_cost_per_image":0.5},'
    '"speaker":{"litellm_provider":"openai","mode":"audio_speech","input_cost_per_character":1.5e-05},'
    '"hearer":{"litellm_provider":"openai","mode":"audio_transcription","input_cost_per_second":3.083e-05,'
    '"output_cost_per_second":0.0},'
    '"ranker":{"litellm_provider":"openai","mode":"rerank","input_cost_per_query":0.002,'
    '"input_cost_per_token":0.0,"output_cost_per_token":0.0},'
    '"scribe":{"litellm_provider":"openai","mode":"audio_transcription","input_cost_per_second":0.0001,'
    '"input_cost_per_token":1e-06,"input_cost_per_audio_token":2.5e-06,"output_cost_per_token":1e-05},'
    '"talker":{"litellm_provider":"openai","mode":"chat","input_cost_per_audio_token":1,"output_cost_per_image":1,'
    '"input_cost_per_token":1e-06,"output_cost_per_token":1e-05},'
    '"half":{"litellm_provider":"openai","mode":"chat","input_cost_per_token":1e-06},'
    '"odd":{"litellm_provider":"openai","mode":"chat","input_cost_per_token":"ask","output_cost_per_token":1}}'
)


@pytest.fixture
def catalogue(tmp_path: Path) -> LitellmCatalogue:
    file = tmp_path / "prices.json"
    file.write_text(FILE)
    return LitellmCatalogue(file, "9.9")


def per_million(input: str, cached: str, write: str, output: str) -> Rates:  # noqa: A002 - the meter's name
    nano = [int(Decimal(usd) * 10**9) for usd in (input, cached, write, output)]
    return Rates(input=nano[0], cached_input=nano[1], cache_write=nano[2], output=nano[3])


def rates_of(catalogue: LitellmCatalogue, name: str) -> Rates:
    return price_of(catalogue, name).base


def price_of(catalogue: LitellmCatalogue, name: str) -> PriceCard:
    facts = catalogue(name)
    assert facts is not None
    assert facts.price is not None
    return facts.price


def test_an_entry_becomes_everything_we_know_of_a_model(catalogue: LitellmCatalogue) -> None:
    assert ModelFacts(
        price=PriceCard(
            version="litellm-9.9",
            base=per_million("2", "0.2", "2.5", "10"),
            above=((200_000, per_million("4", "0.4", "5", "15")),),
        ),
        context_window=400_000,
        max_output_tokens=128_000,
        capabilities=frozenset({"tools", "json_schema"}),
    ) == catalogue("openai/gpt-9")


def test_a_catalogued_price_gives_the_golden_amount(catalogue: LitellmCatalogue) -> None:
    price = price_of(catalogue, "openai/gpt-9")

    assert 3_556_000 == bill(TokenUsage(input=2_006, cached_input=1_920, output=300), price)
    assert 815_004_000 == bill(TokenUsage(input=200_001, output=1_000), price)


@pytest.mark.parametrize(
    "name", ["openai/gpt-9", "gpt-9", "anthropic/claude-9", "vertex_ai/gemini-9", "bedrock/anthropic.claude-9"]
)
def test_a_model_is_found_by_its_key_or_below_its_provider(catalogue: LitellmCatalogue, name: str) -> None:
    assert per_million("2", "0.2", "2.5", "10").input == rates_of(catalogue, name).input


def test_a_full_key_wins_over_the_same_model_elsewhere(catalogue: LitellmCatalogue) -> None:
    assert per_million("3", "3", "3", "0") == rates_of(catalogue, "azure/gpt-9")


@pytest.mark.parametrize(
    "name",
    ["openai/claude-9", "vertex/gemini-9", "openai/gpt-10", "sample_spec", "openai/sample_spec", "openai/", ""],
)
def test_another_name_is_not_known(catalogue: LitellmCatalogue, name: str) -> None:
    assert catalogue(name) is None


def test_prices_are_the_digits_of_the_file_rounded_up_once(catalogue: LitellmCatalogue) -> None:
    rates = rates_of(catalogue, "openai/exact")

    assert 123_456_790 == rates.input  # 123 456 789.012…
    assert 100_000_000_000_000 == rates.output  # a float would say 100000000000000.01


def test_tiers_come_in_ascending_order_and_keep_the_prices_they_do_not_name(catalogue: LitellmCatalogue) -> None:
    above = price_of(catalogue, "openai/two-tiers").above

    assert ((128_000, per_million("4", "4", "4", "10")), (272_000, per_million("6", "6", "6", "10"))) == above


def test_priced_ranges_are_tiers(catalogue: LitellmCatalogue) -> None:
    price = price_of(catalogue, "dashscope/ranged")

    assert per_million("0.05", "0.05", "0.05", "0.4") == price.base
    assert ((256_000, per_million("0.25", "0.1", "0.25", "3")),) == price.above


def test_of_two_prices_for_one_meter_the_higher_counts(catalogue: LitellmCatalogue) -> None:
    assert per_million("2", "2", "2", "30") == rates_of(catalogue, "openai/thinker")


def test_writing_to_a_cache_never_costs_less_than_reading_the_prompt(catalogue: LitellmCatalogue) -> None:
    assert per_million("2", "0.1", "2", "10") == rates_of(catalogue, "deepseek/cheap-write")


def test_a_price_per_request_is_kept(catalogue: LitellmCatalogue) -> None:
    assert 5_000_000 == price_of(catalogue, "perplexity/asked").per_request


def test_an_embedding_has_no_output_to_price(catalogue: LitellmCatalogue) -> None:
    assert per_million("0.02", "0.02", "0.02", "0") == rates_of(catalogue, "openai/embedder")


def test_a_model_without_both_token_prices_has_none(catalogue: LitellmCatalogue) -> None:
    facts = catalogue("openai/half")

    assert facts is not None
    assert facts.price is None


@pytest.mark.parametrize(
    ("name", "units"),
    [
        (
            "painter",
            UnitRates(
                image=40_000_000 * 10**6,
                images=(
                    ImageRate(quality="hd", size="1024x1792", rate=120_000_000 * 10**6),
                    ImageRate(quality=None, size="512x512", rate=26_214_400 * 10**6),
                ),
            ),
        ),
        ("sketcher", UnitRates(images=(ImageRate(quality="hd", size="512x512", rate=500_000_000 * 10**6),))),
        ("speaker", UnitRates(character=15_000 * 10**6)),
        ("hearer", UnitRates(audio_ms=30_830_000)),
        ("ranker", UnitRates(query=2_000_000 * 10**6)),
    ],
)
def test_images_characters_sound_and_searches_have_their_price(
    catalogue: LitellmCatalogue, name: str, units: UnitRates
) -> None:
    facts = catalogue(f"openai/{name}")

    assert facts is not None
    assert facts.price is not None
    assert (units, False) == (facts.price.units, facts.price.charges_tokens)


def test_sound_that_is_paid_for_in_tokens_is_not_paid_for_by_the_second_too(catalogue: LitellmCatalogue) -> None:
    facts = catalogue("openai/scribe")

    assert facts is not None
    assert facts.price is not None
    assert facts.price.units is None
    assert per_million("2.5", "2.5", "2.5", "10") == rates_of(catalogue, "openai/scribe")


def test_a_model_that_talks_has_no_prices_by_other_units(catalogue: LitellmCatalogue) -> None:
    facts = catalogue("openai/talker")

    assert facts is not None
    assert facts.price is not None
    assert facts.price.units is None
    assert per_million("1", "1", "1", "10") == rates_of(catalogue, "openai/talker")


def test_an_entry_that_is_not_understood_is_not_known(catalogue: LitellmCatalogue) -> None:
    assert catalogue("openai/odd") is None


@pytest.mark.parametrize("content", [None, b"[]", b"{", b"\xff"])
def test_without_a_readable_file_no_model_is_known_and_the_reason_is_given(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "prices.json"
    if content is not None:
        file.write_bytes(content)
    catalogue = LitellmCatalogue(file, "9.9")

    assert catalogue("openai/gpt-9") is None
    assert "cannot be read" in str(catalogue.problem())


def test_without_litellm_no_model_is_known_and_the_reason_is_given() -> None:
    catalogue = LitellmCatalogue(None, "none")

    assert catalogue("openai/gpt-9") is None
    assert "litellm is not installed" in str(catalogue.problem())


def test_the_installed_file_is_read_without_importing_litellm() -> None:
    code = (
        "import sys; from router.adapters.prices_litellm import litellm_catalogue; c = litellm_catalogue();"
        "p = c('openai/gpt-5').price; print(c.problem(), p.version == c.version, 'litellm' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout

    assert "None True False\n" == said


@pytest.mark.parametrize(
    "name", ["openai/gpt-5", "azure/gpt-5", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-pro"]
)
def test_the_installed_file_knows_the_usual_models(name: str) -> None:
    facts = litellm_catalogue()(name)

    assert facts is not None
    assert facts.price is not None
    assert facts.context_window is not None
    assert facts.price.base.input > facts.price.base.cached_input > 0
    assert facts.price.base.output > facts.price.base.input
    assert {"tools", "json_schema", "vision"} <= facts.capabilities


def test_every_installed_entry_of_a_language_model_is_understood() -> None:
    catalogue = litellm_catalogue()
    assert catalogue._file is not None
    entries = json.loads(catalogue._file.read_bytes())
    names = [name for name, entry in entries.items() if entry.get("mode") in ("chat", "responses", "embedding")]

    assert len(names) > 2_000
    assert [] == [name for name in names if catalogue(name) is None]


GOOD = b'{\n"gpt-9": {"litellm_provider": "openai", "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}\n}'


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            '"input_cost_per_token":-1e-6,"output_cost_per_token":1',
            "input_cost_per_token: -0.000001 USD is not a price",
        ),
        ('"input_cost_per_token":"NaN","output_cost_per_token":1', "input_cost_per_token: NaN USD is not a price"),
        ('"input_cost_per_token":1,"output_cost_per_token":"Infinity"', "output_cost_per_token: Infinity USD"),
        ('"input_cost_per_token":1,"output_cost_per_token":1001', "output_cost_per_token: 1001 USD is not a price"),
        ('"input_cost_per_token":1', "no output price"),
        ('"input_cost_per_token":[1]', "input_cost_per_token: Expected"),
        (
            '"input_cost_per_request":-1,"input_cost_per_token":1,"output_cost_per_token":1',
            "input_cost_per_request: -1",
        ),
        (
            '"tiered_pricing":[{"range":[0,9],"input_cost_per_token":-1,"output_cost_per_token":1}]',
            "-1 USD is not a price",
        ),
    ],
)
def test_what_cannot_be_a_price_is_an_error_of_an_operators_file_and_no_price_of_ours(
    entry: str, said: str, tmp_path: Path
) -> None:
    text = f'{{\n"other": {{}},\n"x/odd": {{{entry}}}\n}}'
    (tmp_path / "ours.json").write_text(text)

    with pytest.raises(PriceRefused) as caught:
        PriceFile(text.encode(), "prices.json")("x/odd")
    assert str(caught.value).startswith(f"prices.json:3: x/odd: {said}")
    facts = LitellmCatalogue(tmp_path / "ours.json", "9.9")("x/odd")
    assert facts is None or facts.price is None


@pytest.mark.parametrize(
    ("content", "said"), [(b'{"a":\n{"x": NaN}}', "prices.json:2: "), (b"[1]", "prices.json: "), (b"", "prices.json")]
)
def test_a_file_that_is_no_list_of_models_says_where(content: bytes, said: str) -> None:
    with pytest.raises(PriceRefused, match="not a JSON object of models") as caught:
        PriceFile(content, "prices.json")
    assert str(caught.value).startswith(said)


def test_a_file_beyond_the_bound_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.adapters.prices_litellm.FILE_BYTES_MAX", 20)
    (tmp_path / "prices.json").write_bytes(GOOD)

    with pytest.raises(PriceRefused, match="more than"):
        read_price_file(tmp_path / "prices.json")


def test_the_version_of_a_file_is_its_digest() -> None:
    one, other = PriceFile(GOOD, "a.json"), PriceFile(GOOD + b"\n", "a.json")

    assert f"prices:{hashlib.sha256(GOOD).hexdigest()[:12]}" == one.version
    assert one.version != other.version
    facts = one("openai/gpt-9")
    assert facts is not None
    assert facts.price is not None
    assert one.version == facts.price.version


def test_entries_are_put_into_a_file_and_the_others_stay() -> None:
    after = PriceFile(PriceFile(GOOD, "a").with_entries({"new": Raw(b'{"input_cost_per_token":\n 1.50}')}), "a")

    assert ["gpt-9", "new"] == after.names()
    assert (2, 3) == (after.line("gpt-9"), after.line("new"))
    entry = after.entry("new")
    assert entry is not None
    assert b'{"input_cost_per_token": 1.50}' == bytes(entry[1])
    assert after("openai/gpt-9") is not None


def test_the_last_file_wins_and_what_it_does_not_say_is_told_by_those_below(tmp_path: Path) -> None:
    entries = {
        "low": {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6, "max_input_tokens": 7},
        "high": {"input_cost_per_token": 2e-6, "output_cost_per_token": 2e-6, "supports_vision": True},
    }
    for name, entry in entries.items():
        (tmp_path / name).write_text(json.dumps({"x/m": entry, f"x/{name}": entry}))
    over = catalogues()
    look_up = over([str(tmp_path / "low"), str(tmp_path / "high")])

    facts = look_up("x/m")
    assert facts is not None
    assert facts.price is not None
    assert (2_000_000_000, 7, frozenset({"vision"})) == (
        facts.price.base.input,
        facts.context_window,
        facts.capabilities,
    )
    assert look_up("x/low") is not None
    assert look_up("x/nothing") is None
    assert over([])("openai/gpt-4o") == look_up("openai/gpt-4o")
