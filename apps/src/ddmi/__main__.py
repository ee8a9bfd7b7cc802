"""`python -m ddmi`, and `accelerate launch -m ddmi` for several processes."""

import sys

from ddmi.cli import main

sys.exit(main())
