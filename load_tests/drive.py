"""Put the steady load on a router started for it, bounded in users and in time, and stop both. `make load`."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from clients.examples.local_router import KEY, local_router
from load_tests.loopback import require_loopback

_USERS: Final = 50
_USERS_PER_S: Final = 25
_RUN_S: Final = 20
_EXIT_S_MAX: Final = 30
_LOCUST: Final = str(Path(sys.executable).with_name("locust"))
_FILE: Final = str(Path(__file__).with_name("locustfile.py"))

# A provider that costs next to nothing: what is measured is the router.
_CONFIG: Final = f"""
version: 1
providers:
  - {{ name: scripted, kind: scripted, script: {{ first_token: 20ms, tokens_per_s: 400, reply_tokens: 32 }} }}
models:
  - name: load
    deployments: [{{ provider: scripted, model: load, price: {{ input: 2.00, output: 10.00 }} }}]
keys:
  - {{ name: load, key: {KEY} }}
"""


def main() -> int:
    with local_router(_CONFIG) as router:
        require_loopback(router.url)
        command = [_LOCUST, "--headless", "--locustfile", _FILE, "--host", router.url, "--only-summary"]
        command += ["--users", str(_USERS), "--spawn-rate", str(_USERS_PER_S), "--run-time", f"{_RUN_S}s"]
        command += ["--stop-timeout", "5", "--exit-code-on-error", "1"]
        done = subprocess.run(command, check=False, timeout=_RUN_S + _EXIT_S_MAX, cwd=Path(__file__).parents[1])
        print(f"what the ledger holds of it:\n{router.run('usage')}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
