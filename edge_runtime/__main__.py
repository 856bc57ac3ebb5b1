"""`python -m edge_runtime`: the same as `latentline-edge`."""

import sys

from edge_runtime.cli import main

sys.exit(main())
