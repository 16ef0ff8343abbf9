"""Show a call from end to end: stream a completion, then what the ledger recorded of it. `make demo`."""

import http.client
import json
from urllib.parse import urlsplit

from clients.examples.local_router import KEY, LocalRouter, local_router, table

_PROMPT = "In one sentence: what does a checkrein do?"


def main() -> None:
    with local_router() as router:
        print(f"$ checkrein serve        # now on {router.url}\n\n> {_PROMPT}\n")
        call_id = _stream(router)
        print(f"\n\n$ curl {router.url}/checkrein/v1/calls/{call_id}\n{table(router.settled_call(call_id))}")
        print(f"\n$ checkrein usage\n{router.run('usage')}")


def _stream(router: LocalRouter) -> str:
    """Print the words as they come and return the call's id, which is in a header before the first word."""
    connection = http.client.HTTPConnection(urlsplit(router.url).netloc, timeout=10)
    body = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": _PROMPT}]}
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    reply = connection.getresponse()
    if reply.status != 200:
        raise SystemExit(reply.read().decode())
    for line in reply:
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                print(choice["delta"].get("content") or "", end="", flush=True)
    call_id = reply.headers["x-checkrein-call"]
    connection.close()
    return call_id


if __name__ == "__main__":
    main()
