"""`jinja`: a chat template, rendered as Hugging Face does; replies are parsed by the dialect's reference."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tcfuzz import dialects
from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import Dialect
from tcfuzz.errors import UsageError
from tcfuzz.hf import ChatTemplate
from tcfuzz.targets.base import Delta
from tcfuzz.targets.local import ALL, stream

_TELLING = frozenset(
    {"turn", "call-open", "call-close", "param-open", "param-close", "quote", "separator", "reasoning-open"}
)
"""Roles of markers that tell one format from another; other markers are shared by whole families."""


class JinjaTarget:
    """The template in a file. Raises UsageError where it cannot be read or compiled, or its dialect be told."""

    name = "jinja"
    capabilities = ALL
    is_template = True
    utf8 = False

    def __init__(self, path: Path, dialect: Dialect | None = None) -> None:
        self._path = path
        self._text = _read(path)
        self._reference = dialect or guess_dialect(self._text, path)
        self._own = copy.deepcopy(self._reference)
        self._template = ChatTemplate(self._text, name=str(path))
        self.model = path.stem
        self.version = hashlib.sha256(self._text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        self.dialect: Dialect | None = self._reference
        named = (option for option in self._reference.traits.options if re.search(rf"\b{option}\b", self._text))
        self.options: frozenset[str] | None = frozenset(named)

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        add_generation_prompt: bool = True,
        arguments_as_string: bool = False,
        options: Mapping[str, Json] | None = None,
    ) -> str:
        """See `Renders`. What the template raises goes through as it is."""
        return self._template.render(
            [message.to_openai(arguments_as_string=arguments_as_string) for message in messages],
            [tool.to_openai() for tool in tools] or None,
            add_generation_prompt=add_generation_prompt,
            **dict(options or {}),
        )

    def parse(self, text: str, tools: Sequence[Tool]) -> Message:
        """See `Parses`."""
        return self._own.parse(text, tools)

    def stream(self, chunks: Sequence[str], tools: Sequence[Tool]) -> list[list[Delta]]:
        """See `Streams`."""
        return stream(self._own, chunks, tools)

    def fresh(self) -> JinjaTarget:
        """The template compiled anew."""
        return JinjaTarget(self._path, self._reference)

    def close(self) -> None:
        """Nothing to give back."""


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot read the template {path} ({error.strerror}): check the path after --template"
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"the template {path} is no UTF-8 text: save it as UTF-8") from None


def guess_dialect(text: str, path: Path) -> Dialect:
    """The one dialect whose markers a template's text has. Raises UsageError for none or several."""
    found = {dialect.name: tells for dialect in dialects.registry if (tells := _tells(dialect, text))}
    fits = [name for name, tells in found.items() if not any(tells < other for other in found.values())]
    if len(fits) == 1:
        return dialects.get(fits[0])
    if fits:
        raise UsageError(f"the template {path} fits {', '.join(fits)}: add --dialect with one of them")
    known = ", ".join(dialects.names())
    raise UsageError(f"the template {path} has no known dialect's markers: add --dialect with one of {known}")


def _tells(dialect: Dialect, text: str) -> frozenset[str]:
    """A dialect's telling markers if a template has all of them, else none."""
    tells = frozenset(marker.text for marker in dialect.markers if marker.role in _TELLING)
    return tells if all(tell in text for tell in tells) else frozenset()
