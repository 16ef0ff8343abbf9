"""LlamaIndex, with its class for servers that are like OpenAI's. `python llama_index_client.py http://127.0.0.1:8080`"""

import os
import sys

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

url, model = (*sys.argv[1:], "demo")[:2]
llm = OpenAILike(
    api_base=f"{url}/v1",
    api_key=os.environ["CHECKREIN_KEY"],
    model=model,
    is_chat_model=True,
    is_function_calling_model=True,
)
hello = [ChatMessage(role="user", content="Say hello.")]

print("chat:", llm.chat(hello).message.content)
print("chat, streamed:", "".join(piece.delta or "" for piece in llm.stream_chat(hello)))


def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny: {city}"


reply = llm.predict_and_call([FunctionTool.from_defaults(weather)], "What is the weather in Oslo?")
print("tool:", reply.response)
