"""The unmodified OpenAI SDK against `checkrein serve`: only `base_url` and the key differ."""

from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:8080/v1", api_key="sk-local")
question = [{"role": "user", "content": "Say hello."}]

print(client.chat.completions.create(model="demo", messages=question).choices[0].message.content)

for chunk in client.chat.completions.create(model="demo", messages=question, stream=True):
    print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)
print()
