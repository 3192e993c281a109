"""`python -m arktos` is the `arktos` command."""

from arktos.cli import main

main()
