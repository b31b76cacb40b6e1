"""`python -m knockguard` is the command `knockguard`."""

from knockguard.cli import main

main()
