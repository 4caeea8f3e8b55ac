"""`python -m stream.demo` is `leeway demo`."""

import sys

from stream.demo import main

raise SystemExit(main(sys.argv[1:]))
