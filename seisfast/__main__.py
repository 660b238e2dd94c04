"""``python -m seisfast`` is the command line."""

from seisfast.cli import main

raise SystemExit(main())
