"""`python -m marketplace.cli`, where the command itself is not on the path."""

import sys

from marketplace.cli import main

sys.exit(main())
