"""`python -m tcfuzz`."""

from tcfuzz.cli import entry_point

entry_point()
