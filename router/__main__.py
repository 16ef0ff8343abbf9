"""Run the command line as `python -m router`."""

import sys

from router.cli.commands import main

sys.exit(main())
