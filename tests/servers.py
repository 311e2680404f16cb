"""A server's translator in this very process, right in all things: a dialect, a grammar, options of the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tcfuzz import dialects
from tcfuzz.case import Case, Json, Message, Tool
from tcfuzz.targets.base import Capability, Delta, Turn
from tcfuzz.targets.local import LocalTarget

REQUEST = ("tool_choice", "parallel_tool_calls")
"""Options of a case that are fields of the request."""
ENOUGH = 24
"""Characters of a text that the model says before a grammar that does not allow it makes it say something else."""
ELSEWHERE = "<something else>"


class Server(LocalTarget):
    """It cuts streams by itself, is asked with JSON text, and its model says only what `allows` allows."""

    capabilities: frozenset[Capability] = LocalTarget.capabilities | {"grammar"}
    atoms: tuple[str, ...] = ()
    follows_template = False
    text_arguments = False
    cuts = True
    costly = True

    def __init__(self, dialect: str = "hermes") -> None:
        super().__init__(dialects.get(dialect))
        self.name = f"server:{dialect}"
        self.options = frozenset((*(self.options or ()), *REQUEST))

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        add_generation_prompt: bool = True,
        arguments_as_string: bool = False,
        options: Mapping[str, Json] | None = None,
    ) -> str:
        """See `Renders`."""
        return super().render(
            messages,
            tools,
            add_generation_prompt=add_generation_prompt,
            arguments_as_string=arguments_as_string,
            options=self.effective(options or {}),
        )

    def effective(self, options: Mapping[str, Json]) -> Mapping[str, Json]:
        """See `Converses`."""
        return {name: value for name, value in options.items() if name not in REQUEST}

    def cannot(self, case: Case) -> str | None:
        """See `Converses`."""
        allowed = case.reply is None or allows(Turn(case.messages, case.tools, case.options, None), case.reply)
        return None if allowed else "what the request rules out"

    def parse_in(self, turn: Turn, text: str) -> Message:
        """See `Converses`."""
        return self.parse(text, turn.tools)

    def stream_in(self, turn: Turn, chunks: Sequence[str]) -> list[list[Delta]]:
        """See `Converses`."""
        return self.stream(chunks, turn.tools)

    def admitted(self, turn: Turn, text: str) -> tuple[str, str]:
        """See `Constrains`."""
        assert self.dialect is not None
        said = self.dialect.parse(text, turn.tools)
        return text, text if self.allows(turn, said) else text[:ENOUGH] + ELSEWHERE

    def allows(self, turn: Turn, message: Message) -> bool:
        """Whether the grammar lets the model say this."""
        return allows(turn, message)

    def fresh(self) -> Server:
        """Another one."""
        assert self.dialect is not None
        return type(self)(self.dialect.name)


def allows(turn: Turn, message: Message) -> bool:
    """Whether what the request asks for is in a message."""
    choice, calls = turn.options.get("tool_choice"), message.tool_calls
    if choice in ("required", "named") and turn.tools and not calls:
        return False
    if choice == "named" and turn.tools and any(call.name != turn.tools[0].name for call in calls):
        return False
    return not (turn.options.get("parallel_tool_calls") is False and len(calls) > 1)
