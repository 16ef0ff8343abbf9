"""A router that answers what a test says, for the commands that ask one."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

from router.cli.commands import main


class AnsweringRouter:
    """Answers requests one after the other with what is in `answers`, and keeps what was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, object]] = []
        self.asked: list[tuple[str, str, object]] = []
        self.bearers: set[str] = set()
        self.headers: dict[str, str] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                site.asked.append((self.command, self.path, json.loads(body) if body else None))
                site.bearers.add(self.headers["authorization"])
                status, reply = site.answers.pop(0)
                content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                for name, value in site.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - names of the library

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    def run(self, *arguments: str) -> int:
        """Run a command against it; returns the exit status."""
        return main([*arguments, "--url", f"http://127.0.0.1:{self.server.server_port}"])


@contextlib.contextmanager
def answering_router() -> Iterator[AnsweringRouter]:
    site = AnsweringRouter()
    thread = threading.Thread(target=lambda: site.server.serve_forever(poll_interval=0.01))
    thread.start()
    yield site
    site.server.shutdown()
    thread.join()
    site.server.server_close()
