"""A configuration is compiled with its price files, or refused with what is wrong in them."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from router.config import ConfigInvalid, Loaded, Sources, compile_loaded, left_out, load, priced_names
from router.domain.pricing import Catalogue, ModelFacts, PriceCard, PriceRefused, Rates

TEXT = """\
version: 1
prices: { files: [a.json, b.json] }
providers: [{ name: openai, api_key: none }, { name: mine, preset: openai, api_key: none }, { name: s, kind: scripted }]
models:
  - name: m
    deployments:
      - { provider: openai, model: gpt-9 }
      - { provider: mine, model: gpt-9, name: special }
      - { provider: openai, model: x, price_as: other/y }
      - { provider: openai, model: own, price: { input: 1, output: 1 } }
      - { provider: s, model: z }
keys: [{ name: k, key: sk-test-key }]
"""
CARD = PriceCard(version="v", base=Rates(input=1, cached_input=1, cache_write=1, output=1))


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    file = tmp_path / "checkrein.yaml"
    file.write_text(TEXT)
    return load(Sources(explicit=file, env={}, overrides={}, system=file, user=file, project=file))


def test_the_catalogue_is_made_of_the_files_in_their_order(loaded: Loaded) -> None:
    asked: list[Sequence[str]] = []

    def catalogues(files: Sequence[str]) -> Catalogue:
        asked.append(files)
        return lambda _name: ModelFacts(price=CARD)

    snapshot = compile_loaded(loaded, revision=3, created_s=5, catalogues=catalogues)

    assert [["a.json", "b.json"]] == [[Path(file).name for file in files] for files in asked]
    assert (3, 5) == (snapshot.revision, snapshot.created_s)
    (found,) = snapshot.models.values()
    assert CARD == found.deployments[0].price


@pytest.mark.parametrize("problem", [PriceRefused("a.json:3: odd"), OSError("a.json is gone")])
def test_a_file_that_is_no_good_is_a_problem_of_the_configuration(loaded: Loaded, problem: Exception) -> None:
    def catalogues(_files: Sequence[str]) -> Catalogue:
        raise problem

    with pytest.raises(ConfigInvalid) as caught:
        compile_loaded(loaded, revision=1, created_s=0, catalogues=catalogues)
    (found,) = caught.value.problems
    assert ("prices.files", str(problem), 2) == (found.path, found.message, found.line)


def test_deployments_without_a_price_of_their_own_are_priced_by_name(loaded: Loaded) -> None:
    assert [("openai/gpt-9", "openai/gpt-9"), ("special", "openai/gpt-9"), ("openai/x", "other/y")] == [
        (priced.deployment, priced.name) for priced in priced_names(loaded.settings)
    ]


def test_deployments_of_a_provider_that_cannot_serve_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "checkrein.yaml"
    file.write_text(
        "providers: [{ name: groq, required: false }, { name: s, kind: scripted }]\n"
        "models: [{ name: m, deployments: [{ provider: groq, model: x, name: far }, { provider: s, model: y }] }]\n"
    )
    loaded = load(Sources(explicit=file, env={}, overrides={}, system=file, user=file, project=file))

    (out,) = left_out(loaded.settings)
    assert ("far", "groq", "x", "no key: set GROQ_API_KEY") == (out.deployment, out.provider, out.model, out.why)
