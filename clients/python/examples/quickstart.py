"""One chat, one stream, one refused budget, one deadline.

`CHECKREIN_KEY=sk-... python quickstart.py 127.0.0.1:50051 demo`; CHECKREIN_POOR_KEY is a key whose budget is used up,
CHECKREIN_SLOW_MODEL a model that takes long to begin. `clients/router.yaml` has both.
"""

import os
import sys

from checkrein import CallContext, CheckreinError, Client
from checkrein.errors import BudgetExhausted, Timeout
from checkrein.v1.chat_pb2 import ChatCompletionRequest, ChatContent, ChatMessage

target, model = (*sys.argv[1:], "demo")[:2] if sys.argv[1:] else ("127.0.0.1:50051", "demo")
question = ChatMessage(role="user", content=ChatContent(text="Say hello."))
request = ChatCompletionRequest(model=model, messages=[question])

with Client(target, api_key=os.environ["CHECKREIN_KEY"], timeout=60, context=CallContext(agent="quickstart")) as client:
    reply = client.chat(request, context=CallContext(tags=["example"]))
    print("chat:", reply.completion.choices[0].message.content.text)
    print("  call", reply.served.call_id, "at", reply.served.deployment, "cost", reply.cost.total_nano_usd, "nano-USD")

    with client.stream(request) as stream:
        print("stream: ", end="")
        for text in stream.text():
            print(text, end="", flush=True)
    assert stream.summary is not None
    print("\n  tokens", stream.summary.usage.output_tokens, "cost", stream.summary.cost.total_nano_usd, "nano-USD")

    slow = ChatCompletionRequest(model=os.environ.get("CHECKREIN_SLOW_MODEL", model), messages=[question])
    try:
        client.chat(slow, timeout=0.3)  # seconds
    except Timeout as error:
        print("deadline:", error)
    else:
        print("deadline: the reply was there in time")

poor_key = os.environ.get("CHECKREIN_POOR_KEY")
if poor_key is None:
    sys.exit("budget: CHECKREIN_POOR_KEY names no key to be refused")
with Client(target, api_key=poor_key) as client:
    try:
        client.chat(request)
    except BudgetExhausted as error:
        print("budget:", error)
    except CheckreinError as error:
        sys.exit(f"budget: not refused for it, but by {error}")
    else:
        sys.exit("budget: it is not used up")
