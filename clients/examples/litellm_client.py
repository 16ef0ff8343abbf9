"""litellm as a client, in OpenAI's and Anthropic's dialects. `python litellm_client.py http://127.0.0.1:8080`"""

import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its price file is fetched from the internet otherwise

import litellm

url, model = (*sys.argv[1:], "demo")[:2]
key = os.environ["CHECKREIN_KEY"]
question = [{"role": "user", "content": "Say hello."}]

for name, base in {"openai": f"{url}/v1", "anthropic": url}.items():
    ask = {"model": f"{name}/{model}", "api_base": base, "api_key": key, "messages": question}
    print(f"{name}:", litellm.completion(**ask).choices[0].message.content)
    chunks = litellm.completion(**ask, stream=True)
    print(f"{name}, streamed:", "".join(chunk.choices[0].delta.content or "" for chunk in chunks))

city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
tools = [{"type": "function", "function": {"name": "weather", "parameters": city}}]
asked = [{"role": "user", "content": "What is the weather in Oslo?"}]
said = litellm.completion(model=f"openai/{model}", api_base=f"{url}/v1", api_key=key, messages=asked, tools=tools)
call = said.choices[0].message.tool_calls[0].function
print("tool:", call.name, call.arguments)

reply = litellm.responses(model=f"openai/{model}", api_base=f"{url}/v1", api_key=key, input="Say hello.")
print("responses:", reply.output[0].content[0].text)

vectors = litellm.embedding(model=f"openai/{model}", api_base=f"{url}/v1", api_key=key, input=["one", "two"])
print("embeddings:", [len(one["embedding"]) for one in vectors.data])
