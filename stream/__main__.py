"""`python -m stream` is `leeway`."""

from stream.cli import main

main()
