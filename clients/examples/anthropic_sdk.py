"""The unmodified Anthropic SDK: only `base_url` and the key differ. `python anthropic_sdk.py http://127.0.0.1:8080`"""

import os
import sys

from anthropic import Anthropic

url, model = (*sys.argv[1:], "demo")[:2]
client = Anthropic(base_url=url, api_key=os.environ["CHECKREIN_KEY"])
question = [{"role": "user", "content": "Say hello."}]

message = client.messages.create(model=model, max_tokens=200, system="Be kind.", messages=question)
print("messages:", message.content[0].text, message.stop_reason, message.usage.output_tokens)

with client.messages.stream(model=model, max_tokens=200, messages=question) as stream:
    print("messages, streamed:", "".join(stream.text_stream), stream.get_final_message().usage.output_tokens)

city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
tools = [{"name": "weather", "description": "Tells the weather.", "input_schema": city}]
asked = [{"role": "user", "content": "What is the weather in Oslo?"}]
said = client.messages.create(model=model, max_tokens=200, messages=asked, tools=tools)
call = next(block for block in said.content if block.type == "tool_use")
print("messages, tool:", call.name, call.input, said.stop_reason)
result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny in Oslo"}
asked += [{"role": "assistant", "content": said.content}, {"role": "user", "content": [result]}]
answer = client.messages.create(model=model, max_tokens=200, messages=asked, tools=tools)
print("messages, after the tool:", answer.content[0].text)

with client.messages.stream(model=model, max_tokens=200, messages=asked[:1], tools=tools) as stream:
    print("messages, tool streamed:", stream.get_final_message().content[0].input)
