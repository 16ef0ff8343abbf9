"""Hold the file that `checkrein init` writes: enough to make a first call, and to see where to go on."""

from typing import Final

_STARTER: Final = """\
# Checkrein. Every key is described in docs/config.md; absent keys have sensible defaults.
version: 1
store: { url: "sqlite:///./checkrein.db" }
providers:
  - { name: openai, required: false }     # serves when OPENAI_API_KEY is set, is left out when not
  - { name: demo, kind: scripted, script: { first_token: 50ms, tokens_per_s: 100 } }   # asks nobody
models:                                   # what clients name
  - name: demo
    deployments: [{ provider: demo, model: demo, price: { input: 2.00, output: 10.00 } }]   # USD per 1M tokens
  - name: gpt-5-mini
    deployments: [{ provider: openai, model: gpt-5-mini }]   # price and limits: from the catalogue
keys:                                     # a key that ends in -local works on this machine only
  - { name: first, key: "${CHECKREIN_KEY:-sk-local}", models: ["*"] }
"""


def starter_yaml() -> str:
    return _STARTER
