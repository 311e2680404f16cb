"""Model files: the package that reads and writes them, and what one says of its own template."""

from __future__ import annotations

from types import ModuleType

from tcfuzz.errors import UsageError


def import_gguf() -> ModuleType:
    """The `gguf` package, imported where it is needed. Raises UsageError where it is missing."""
    try:
        import gguf
    except ImportError as error:
        raise UsageError(
            f"llama.cpp's model files need the package {error.name or 'gguf'}: pip install 'tcfuzz[llama-cpp]'"
        ) from None
    return gguf
