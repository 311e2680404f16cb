"""The two processes behind a target: one whose model ends at once, one whose model says a chosen text."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition
from typing import Any

from tcfuzz.case import Json
from tcfuzz.dialects.base import Dialect
from tcfuzz.targets.llama_cpp import models
from tcfuzz.targets.llama_cpp.models import Vocabulary
from tcfuzz.targets.llama_cpp.server import Answers, OwnServer

DELAYS = (256, 1024, 4096)
"""How far a parrot looks back, in tokens: the shortest one that a text fits in is asked."""
CONTEXT = 65536
"""Tokens of context: no prompt is ever cut."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is under test.

    program: a llama-server. template: the text of a chat template, and its digest. model: what the template is called.
    vocabulary: of the models. timeout: seconds for a call. told: what the server tells every template by itself.
    """

    program: Path
    version: str
    template: str
    digest: str
    model: str
    dialect: Dialect | None
    vocabulary: Vocabulary
    timeout: float = 5.0
    told: Mapping[str, Json] = field(default_factory=dict)


class Servers:
    """The two processes: one with the model that ends at once, one with a parrot."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self.ends = self._server(lambda path: models.write_eos(path, setup.vocabulary))
        self._parrot = self._parrot_of(DELAYS[0])
        self._delay, self._asking = DELAYS[0], 0
        self._freed = Condition()

    def _server(self, write: Callable[[Path], None]) -> OwnServer:
        def written(path: Path) -> None:
            self._make_room()
            write(path)

        setup = self._setup
        return OwnServer(setup.program, written, template=setup.template, context=CONTEXT, timeout=setup.timeout)

    def _make_room(self) -> None:
        """End the processes of whichever target ran last: many templates, one after the other, have two in all."""
        global _last
        last, _last = _last(), weakref.ref(self)
        if last is not None and last is not self:
            last.close()

    def _parrot_of(self, delay: int) -> OwnServer:
        vocabulary = self._setup.vocabulary
        return self._server(lambda path: models.write_parrot(path, vocabulary, delay))

    def parrot(self, delay: int | None = None) -> Answers:
        """The parrot of that delay; None: whichever there is."""
        return _Parrot(self, delay)

    @contextmanager
    def asking(self, delay: int | None) -> Iterator[OwnServer]:
        """The parrot of that delay, for one request. One of another delay is ended first, once nobody asks it."""
        with self._freed:
            self._freed.wait_for(lambda: delay in (None, self._delay) or not self._asking)
            if delay not in (None, self._delay):
                assert delay is not None
                self._parrot.close()
                self._parrot, self._delay = self._parrot_of(delay), delay
            self._asking += 1
        try:
            yield self._parrot
        finally:
            with self._freed:
                self._asking -= 1
                self._freed.notify_all()

    def close(self) -> None:
        """End both; they are started again when they are asked."""
        for server in (self.ends, self._parrot):
            server.close()


def _nobody() -> Servers | None:
    return None


_last: Callable[[], Servers | None] = _nobody
"""Whose processes run."""


@dataclass(frozen=True, slots=True)
class _Parrot:
    """The parrot of a delay, whichever process it is when it is asked."""

    servers: Servers
    delay: int | None

    def post(self, path: str, body: Mapping[str, Json]) -> Any:
        """See `Answers`."""
        with self.servers.asking(self.delay) as server:
            return server.post(path, body)

    def text(self, path: str, body: Mapping[str, Json]) -> str:
        """See `Answers`."""
        with self.servers.asking(self.delay) as server:
            return server.text(path, body)

    def close(self) -> None:
        """The processes are `Servers`' to end."""
