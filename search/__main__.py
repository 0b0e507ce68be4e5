"""`python -m search` is `toprung`."""

from search.cli import main

main()
