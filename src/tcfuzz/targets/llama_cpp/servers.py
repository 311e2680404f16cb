"""The two processes behind a target: one whose model ends at once, one whose model says a chosen text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from tcfuzz.dialects.base import Dialect
from tcfuzz.targets.llama_cpp import models
from tcfuzz.targets.llama_cpp.models import Vocabulary
from tcfuzz.targets.llama_cpp.server import OwnServer

DELAYS = (256, 1024, 4096)
"""How far a parrot looks back, in tokens: the shortest one that a text fits in is asked."""
CONTEXT = 65536
"""Tokens of context: no prompt is ever cut."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is under test.

    program: a llama-server. template: the text of a chat template, and its digest. model: what the template is called.
    vocabulary: of the models. timeout: seconds for a call.
    """

    program: Path
    version: str
    template: str
    digest: str
    model: str
    dialect: Dialect | None
    vocabulary: Vocabulary
    timeout: float = 5.0


class Servers:
    """The two processes: one with the model that ends at once, one with a parrot."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self.ends = self._server(lambda path: models.write_eos(path, setup.vocabulary))
        self._parrots: dict[int, OwnServer] = {}
        self._lock = Lock()

    def _server(self, write: Callable[[Path], None]) -> OwnServer:
        setup = self._setup
        return OwnServer(setup.program, write, template=setup.template, context=CONTEXT, timeout=setup.timeout)

    def parrot(self, delay: int | None = None) -> OwnServer:
        """The parrot of that delay, for which one of another delay is ended; None: whichever there is."""
        with self._lock:
            chosen = next(iter(self._parrots), DELAYS[0]) if delay is None else delay
            if chosen not in self._parrots:
                for other in self._parrots.values():
                    other.close()
                vocabulary = self._setup.vocabulary
                self._parrots = {chosen: self._server(lambda path: models.write_parrot(path, vocabulary, chosen))}
            return self._parrots[chosen]

    def close(self) -> None:
        """End both."""
        for server in (self.ends, *self._parrots.values()):
            server.close()
