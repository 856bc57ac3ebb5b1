"""`python -m trainer` is `latentline-train`."""

from trainer.cli import main

raise SystemExit(main())
