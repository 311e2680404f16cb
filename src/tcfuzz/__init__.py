"""tcfuzz: a property-based fuzzer for tool-call translators."""

__version__ = "0.1.0"
