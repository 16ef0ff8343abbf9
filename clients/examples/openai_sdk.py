"""The unmodified OpenAI SDK: only `base_url` and the key differ. `python openai_sdk.py http://127.0.0.1:8080`"""

import os
import sys

from openai import OpenAI

url, model = (*sys.argv[1:], "demo")[:2]
client = OpenAI(base_url=f"{url}/v1", api_key=os.environ["CHECKREIN_KEY"])
question = [{"role": "user", "content": "Say hello."}]

print("chat:", client.chat.completions.create(model=model, messages=question).choices[0].message.content)
print("chat, streamed:", end=" ")
for chunk in client.chat.completions.create(model=model, messages=question, stream=True):
    print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)
print()

city = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
tools = [{"type": "function", "function": {"name": "weather", "parameters": city}}]
messages = [{"role": "user", "content": "What is the weather in Oslo?"}]
said = client.chat.completions.create(model=model, messages=messages, tools=tools).choices[0].message
call = said.tool_calls[0]
print("chat, tool:", call.function.name, call.function.arguments)
messages += [said, {"role": "tool", "tool_call_id": call.id, "content": "sunny in Oslo"}]
answer = client.chat.completions.create(model=model, messages=messages, tools=tools)
print("chat, after the tool:", answer.choices[0].message.content)

response = client.responses.create(model=model, input="Say hello.")
print("responses:", response.output_text, response.usage.output_tokens)
with client.responses.stream(model=model, input="Say hello.", instructions="Be kind.") as stream:
    pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
print("responses, streamed:", "".join(pieces) == stream.get_final_response().output_text, len(pieces))
tools = [{"type": "function", "name": "weather", "parameters": city, "strict": True}]
call = client.responses.create(model=model, input="What is the weather in Oslo?", tools=tools).output[0]
print("responses, tool:", call.name, call.arguments)

vectors = client.embeddings.create(model=model, input=["one", "two"]).data
print("embeddings:", [len(one.embedding) for one in vectors])
