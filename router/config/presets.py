"""Know the providers that people name without explaining them: where they are, how they speak, whose key fits."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from router.domain.catalog import OPENAI_DIALECTS, ProviderKind
from router.domain.dialects.dialect import Dialect


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    base_url: str
    kind: ProviderKind = ProviderKind.OPENAI_COMPATIBLE
    key_variable: str | None = None
    """None: it is open, as servers on one's own machine are."""
    allow_private: bool = False
    litellm_provider: str | None = None
    dialects: frozenset[Dialect] | None = None
    """Where they are not those of its kind."""


CAN_SPEAK: Final[Mapping[ProviderKind, frozenset[Dialect]]] = MappingProxyType(
    {
        ProviderKind.OPENAI_COMPATIBLE: frozenset(Dialect),
        ProviderKind.ANTHROPIC: frozenset((Dialect.MESSAGES,)),
        ProviderKind.LITELLM: frozenset((Dialect.CHAT,)),
        ProviderKind.SCRIPTED: OPENAI_DIALECTS | {Dialect.RESPONSES, Dialect.MESSAGES},
    }
)
"""The routes that a kind of provider may have."""
USUALLY_SPEAKS: Final = MappingProxyType({**CAN_SPEAK, ProviderKind.OPENAI_COMPATIBLE: OPENAI_DIALECTS})
"""Of those that imitate OpenAI's, not all have all."""


def _local(base_url: str) -> Preset:
    return Preset(base_url=base_url, allow_private=True)


def _litellm(provider: str, key_variable: str | None = None) -> Preset:
    """litellm knows the address."""
    return Preset(base_url="", kind=ProviderKind.LITELLM, litellm_provider=provider, key_variable=key_variable)


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "openai": Preset(
            base_url="https://api.openai.com/v1",
            key_variable="OPENAI_API_KEY",
            dialects=OPENAI_DIALECTS | {Dialect.RESPONSES, Dialect.IMAGES, Dialect.AUDIO, Dialect.MODERATIONS},
        ),
        "anthropic": Preset(
            base_url="https://api.anthropic.com/v1", kind=ProviderKind.ANTHROPIC, key_variable="ANTHROPIC_API_KEY"
        ),
        "gemini": Preset(
            base_url="https://generativelanguage.googleapis.com/v1beta/openai", key_variable="GEMINI_API_KEY"
        ),
        "openrouter": Preset(base_url="https://openrouter.ai/api/v1", key_variable="OPENROUTER_API_KEY"),
        "mistral": Preset(base_url="https://api.mistral.ai/v1", key_variable="MISTRAL_API_KEY"),
        "groq": Preset(base_url="https://api.groq.com/openai/v1", key_variable="GROQ_API_KEY"),
        "deepseek": Preset(base_url="https://api.deepseek.com/v1", key_variable="DEEPSEEK_API_KEY"),
        "together": Preset(base_url="https://api.together.xyz/v1", key_variable="TOGETHER_API_KEY"),
        "fireworks": Preset(base_url="https://api.fireworks.ai/inference/v1", key_variable="FIREWORKS_API_KEY"),
        "xai": Preset(base_url="https://api.x.ai/v1", key_variable="XAI_API_KEY"),
        "cerebras": Preset(base_url="https://api.cerebras.ai/v1", key_variable="CEREBRAS_API_KEY"),
        "nvidia": Preset(base_url="https://integrate.api.nvidia.com/v1", key_variable="NVIDIA_API_KEY"),
        "moonshot": Preset(base_url="https://api.moonshot.ai/v1", key_variable="MOONSHOT_API_KEY"),
        "deepinfra": Preset(base_url="https://api.deepinfra.com/v1/openai", key_variable="DEEPINFRA_API_KEY"),
        "sambanova": Preset(base_url="https://api.sambanova.ai/v1", key_variable="SAMBANOVA_API_KEY"),
        "perplexity": Preset(base_url="https://api.perplexity.ai", key_variable="PERPLEXITY_API_KEY"),
        "gemini-native": _litellm("gemini", "GEMINI_API_KEY"),
        "vertex": _litellm("vertex_ai"),
        "bedrock": _litellm("bedrock", "AWS_BEARER_TOKEN_BEDROCK"),
        "azure": _litellm("azure", "AZURE_API_KEY"),
        "cohere": _litellm("cohere_chat", "COHERE_API_KEY"),
        "ollama": _local("http://127.0.0.1:11434/v1"),
        "vllm": _local("http://127.0.0.1:8000/v1"),
        "llamacpp": _local("http://127.0.0.1:8080/v1"),
        "lmstudio": _local("http://127.0.0.1:1234/v1"),
    }
)
