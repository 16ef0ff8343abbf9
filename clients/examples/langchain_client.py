"""LangChain, with OpenAI's and Anthropic's classes. `python langchain_client.py http://127.0.0.1:8080`"""

import os
import sys

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

url, model = (*sys.argv[1:], "demo")[:2]
key = os.environ["CHECKREIN_KEY"]


@tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny: {city}"


for name, chat in {
    "ChatOpenAI": ChatOpenAI(base_url=f"{url}/v1", api_key=key, model=model),
    "ChatOpenAI, responses": ChatOpenAI(base_url=f"{url}/v1", api_key=key, model=model, use_responses_api=True),
    "ChatAnthropic": ChatAnthropic(base_url=url, api_key=key, model=model, max_tokens=200),
}.items():
    print(f"{name}:", chat.invoke("Say hello.").text)
    print(f"{name}, streamed:", "".join(chunk.text for chunk in chat.stream("Say hello.")))
    able, asked = chat.bind_tools([weather]), [HumanMessage("What is the weather in Oslo?")]
    said = able.invoke(asked)
    call = said.tool_calls[0]
    asked += [said, ToolMessage("sunny in Oslo", tool_call_id=call["id"])]
    print(f"{name}, tool:", call["name"], call["args"], "->", able.invoke(asked).text)

# Without the length check texts go as texts: it would have them counted with a table from the internet.
embeddings = OpenAIEmbeddings(base_url=f"{url}/v1", api_key=key, model=model, check_embedding_ctx_length=False)
print("OpenAIEmbeddings:", [len(vector) for vector in embeddings.embed_documents(["one", "two"])])
