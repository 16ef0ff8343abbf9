"""Describe what clients may ask for: models, the deployments behind them, prices and stand-ins."""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from router.config.section import Section
from router.config.units import Count, ModelAlias, Name, Percent, Text, Usd, invalid
from router.domain.catalog import ReplyModel, UnknownPrices

Strategy = Literal["weighted", "least_busy", "latency", "cost", "expected_ttft"]
Capability = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class LimitSettings(Section):
    concurrency: Count | None = Field(default=None, description="Calls at the same time; null is no limit.")
    rpm: Count | None = Field(default=None, description="Requests a minute; null is no limit.")
    tpm: Count | None = Field(default=None, description="Tokens a minute, input and output; null is no limit.")
    input_tpm: Count | None = Field(default=None, description="Input tokens a minute; null is no limit.")
    output_tpm: Count | None = Field(default=None, description="Output tokens a minute; null is no limit.")
    smooth: bool = Field(
        default=False,
        description="Spread calls evenly over the minute, where an idle limit lets a minute's worth burst.",
    )
    observe: bool = Field(
        default=False, description="Count and tell what they would refuse (`would_refuse`), and refuse nothing."
    )


class InputMaximumSettings(Section):
    """A part without a maximum has no bound, and so no price under a budget."""

    image: Count | None = Field(default=None, description="Tokens that an image takes at most; null: nobody knows.")
    audio: Count | None = Field(default=None, description="Tokens that a sound takes at most; null: nobody knows.")
    file: Count | None = Field(default=None, description="Tokens that a file takes at most; null: nobody knows.")


class RateSettings(Section):
    input: Usd = Field(description="USD per million input tokens.")
    cached_input: Usd | None = Field(default=None, description="Of them, read from a cache; null: as input.")
    cache_write: Usd | None = Field(default=None, description="Of them, written to a cache; null: as input.")
    output: Usd = Field(description="USD per million output tokens.")


class PriceStepSettings(RateSettings):
    input_tokens: Count = Field(description="With more input than this, all tokens of the call cost these rates.")


UnitUsd = Annotated[Decimal, Field(ge=0, le=1_000)]
SmallUsd = Annotated[Decimal, Field(ge=0, le=1)]
"""Of a unit of which a call may have many: no cost leaves the range of an SQL integer."""


class ImagePriceSettings(Section):
    quality: Text | None = Field(default=None, description="Such as high; null: any.")
    size: Text | None = Field(default=None, description="Such as 1024x1024; null: any.")
    per_image: UnitUsd = Field(description="USD per image of this quality and size.")


class PriceSettings(RateSettings):
    """Tokens, and what else is charged. With a price by another unit, tokens without a price cost nothing."""

    input: Usd = Field(default=Decimal(0), description="USD per million input tokens.")
    output: Usd = Field(default=Decimal(0), description="USD per million output tokens.")
    per_image: UnitUsd | None = Field(default=None, description="USD per image that is made.")
    images: tuple[ImagePriceSettings, ...] = Field(
        default=(), description="Prices of images by quality and size; others cost `per_image`."
    )
    per_character: SmallUsd | None = Field(default=None, description="USD per character that is spoken.")
    per_second_audio: SmallUsd | None = Field(default=None, description="USD per second of sound that is written down.")
    per_query: UnitUsd | None = Field(default=None, description="USD per search of a rerank.")
    request: Usd = Field(default=Decimal(0), description="USD per request.")
    second: Usd = Field(default=Decimal(0), description="USD per second of the provider's work.")
    above: tuple[PriceStepSettings, ...] = Field(default=(), description="Dearer rates for long inputs.")

    @property
    def has_units(self) -> bool:
        return bool(self.images) or any(getattr(self, name) is not None for name in _UNIT_PRICES)

    @model_validator(mode="after")
    def _has_a_price(self) -> Self:
        for name in ("input", "output"):
            if name not in self.model_fields_set and not self.has_units:
                raise invalid(f"has no {name}", f"write {name}, in USD per million tokens, or a price by another unit")
        return self


_UNIT_PRICES = ("per_image", "per_character", "per_second_audio", "per_query")


class DeploymentSettings(Section):
    name: Text | None = Field(default=None, description="Stable id under which state is kept; null: provider/model.")
    provider: Name = Field(description="Name of one of the providers.")
    model: Text = Field(description="The model's name at the provider.")
    tier: Annotated[int, Field(ge=1, le=100)] = Field(default=1, description="Lower tiers are tried first.")
    weight: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        default=1.0, description="Share of calls within the tier."
    )
    limits: LimitSettings = Field(default=LimitSettings(), description="What the deployment can take.")
    price: PriceSettings | None = Field(default=None, description="Own price; null: price_as or the catalogue.")
    price_as: Text | None = Field(default=None, description="Price as the catalogue's provider/model.")
    context_window: Count | None = Field(default=None, description="Tokens that fit; null: the catalogue's.")
    max_output_tokens: Count | None = Field(default=None, description="Longest reply; null: the catalogue's.")
    input_maximum: InputMaximumSettings = Field(
        default=InputMaximumSettings(),
        description="What input parts other than text take, so that budgets can hold it.",
    )
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = Field(
        default=None, description="The body's member that limits a reply; null: as the caller wrote it."
    )
    capabilities: tuple[Capability, ...] | None = Field(
        default=None, description="Such as tools, json_schema, vision; null: the catalogue's."
    )


class BudgetUsedSettings(Section):
    gte: Percent = Field(description="At or above so many percent.")


class ConditionSettings(Section):
    budget_used_pct: BudgetUsedSettings | None = Field(
        default=None, description="The fullest budget on the call's path."
    )
    priority: Name | None = Field(default=None, description="The call's priority class.")
    tag: Text | None = Field(default=None, description="The call bears this tag.")
    down: bool = Field(default=False, description="true: no deployment of the model can take a call now.")
    late: bool = Field(
        default=False, description="true: the call's timeout is shorter than the model's p95 to its first token."
    )


class SubstituteSettings(Section):
    model: ModelAlias = Field(description="The stand-in.")
    when: ConditionSettings = Field(description="When it stands in; all conditions must hold.")


class ModelSettings(Section):
    name: ModelAlias = Field(description="What clients ask for.")
    strategy: Strategy = Field(default="weighted", description="How a deployment is chosen within a tier.")
    deployments: tuple[DeploymentSettings, ...] = Field(min_length=1, description="Where the model runs.")
    fallbacks: tuple[ModelAlias, ...] = Field(default=(), description="Models to try when this one fails.")
    context_window_fallbacks: tuple[ModelAlias, ...] = Field(
        default=(), description="Models to try when the prompt does not fit."
    )
    content_policy_fallbacks: tuple[ModelAlias, ...] = Field(
        default=(), description="Models to try when a provider's policy refuses."
    )
    reply_model: ReplyModel = Field(
        default=ReplyModel.UPSTREAM,
        description="What the reply's `model` says: the provider's own bytes, or the name that was asked for.",
    )
    substitutes: tuple[SubstituteSettings, ...] = Field(
        default=(), description="Stand-ins chosen before dispatch, always announced; the first whose conditions hold."
    )
    quality: Annotated[float, Field(ge=0, le=1_000_000)] | None = Field(
        default=None, description="Your own figure of how good it is; only its order counts."
    )
    quality_floor: Annotated[float, Field(ge=0, le=1_000_000)] | None = Field(
        default=None, description="Least quality of what may stand in for it; null: any."
    )


class PricesSettings(Section):
    files: tuple[Text, ...] = Field(
        default=(), description="Price files in litellm's format, over the catalogue of the release; the last one wins."
    )
    unknown: UnknownPrices = Field(
        default=UnknownPrices.REFUSE,
        description="A model without a price under a USD budget: refuse, or assume the dearest.",
    )
