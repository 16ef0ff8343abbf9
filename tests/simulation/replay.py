"""Play seeds one by one and print their steps: `python -m tests.simulation.replay 4711`."""

import sys

from tests.simulation.run import play

if __name__ == "__main__":
    for text in sys.argv[1:]:
        print(f"seed {text}", *play(int(text)), sep="\n  ")
