"""`exaone-4.0`: turns with the role in brackets, Hermes calls on one line, results as JSON objects.

Source: the chat template of EXAONE-4.0-32B (2025-07). History shows an empty thought before each answer; the real one
is shown of a last answer with text, and only with `skip_think` off. The prompt opens a thought if asked to, or else
closes an empty one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import Dialect, Marker, ToolIndex, Traits, like_thought, refuse, refuse_markers, to_json
from tcfuzz.dialects.hermes import CALL_CLOSE, CALL_OPEN, read_content_and_calls
from tcfuzz.dialects.qwen3 import THINK_CLOSE, THINK_MARKERS, THINK_OPEN
from tcfuzz.dialects.qwen35 import read_thought
from tcfuzz.dialects.syntax.reader import Machine, Reader, Sink
from tcfuzz.errors import OutOfDomain

ROLES = ("system", "user", "assistant", "tool")
END = "[|endofturn|]"
GENERATION_PROMPT = "[|assistant|]\n"
THOUGHT = f"{THINK_OPEN}\n"
THOUGHT_END = f"\n{THINK_CLOSE}\n\n"
TOOL_OPEN, TOOL_CLOSE = "<tool>", "</tool>"
RESULT_OPEN, RESULT_CLOSE = "<tool_result>", "</tool_result>"
TOOL_PREAMBLE = "Tools, a JSON object in tags each. Answer with a JSON object in tool_call tags to call one."


def turn(role: str, text: str) -> str:
    """One turn."""
    return f"[|{role}|]\n{text}{END}\n"


def tool_list(tools: Sequence[Tool]) -> str:
    """The declarations, each in a tag on a line of its own."""
    lines = "".join(f"\n{TOOL_OPEN}{to_json(tool.to_openai())}{TOOL_CLOSE}" for tool in tools)
    return f"# Available Tools\n{TOOL_PREAMBLE}{lines}"


def results_turn(messages: Sequence[Message], index: int) -> str:
    """The text of the tool message at `index`: consecutive results share one turn."""
    opens = index == 0 or messages[index - 1].role != "tool"
    closes = index == len(messages) - 1 or messages[index + 1].role != "tool"
    result = f"{RESULT_OPEN}{to_json({'result': messages[index].content})}{RESULT_CLOSE}"
    return ("[|tool|]\n" if opens else "") + result + (f"{END}\n" if closes else "\n")


def thought(reasoning: str) -> str:
    """The reasoning as the model writes it before its answer."""
    return THOUGHT + reasoning + THOUGHT_END


def answer(message: Message) -> str:
    """Content and calls. The name is not escaped: the canonical template writes it raw between quotes."""
    calls = [
        f'{CALL_OPEN}{{"name": "{call.name}", "arguments": {to_json(dict(call.arguments))}}}{CALL_CLOSE}'
        for call in message.tool_calls
    ]
    return "\n".join([message.content, *calls] if message.content else calls)


class Exaone4(Dialect):
    """EXAONE 4.0 with its switches for thinking and for showing it."""

    name = "exaone-4.0"
    summary = "EXAONE 4.0: roles in brackets, Hermes calls on one line, results as JSON"
    markers = (
        *(Marker(f"[|{role}|]", "turn") for role in ROLES),
        Marker(END, "turn"),
        Marker(CALL_OPEN, "call-open"),
        Marker(CALL_CLOSE, "call-close"),
        Marker(RESULT_OPEN, "result-open"),
        Marker(RESULT_CLOSE, "result-close"),
        Marker(TOOL_OPEN, "tools-open", special=False),
        Marker(TOOL_CLOSE, "tools-close", special=False),
        *THINK_MARKERS,
    )
    turn_ends = (f"{END}\n", END)
    thought_end = THOUGHT_END
    traits = Traits(
        kind="json",
        reasoning=True,
        reasoning_in_history=False,
        text_json=frozenset({"tool"}),
        string_arguments="encoded-twice",
        developer=False,
        options={"enable_thinking": (False, True), "skip_think": (False, True)},
    )

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        refuse(_misread(messages, options))
        directed = bool(messages) and messages[0].role == "system"
        parts = [turn("system", tool_list(tools))] if messages and tools and not directed else []
        for index, message in enumerate(messages):
            if message.role not in ROLES:
                raise OutOfDomain(f"no turn for the role {message.role}")
            if message.role == "tool":
                parts.append(results_turn(messages, index))
            elif message.role == "assistant":
                shown = index == len(messages) - 1 and not options.get("skip_think", True)
                parts.append(turn("assistant", _shown(message, reasoning=shown)))
            else:
                listed = f"\n\n{tool_list(tools)}" if tools and directed and index == 0 else ""
                parts.append(turn(message.role, (message.content or "") + listed))
        if add_generation_prompt:
            thinks = options.get("enable_thinking") is True
            parts.append(GENERATION_PROMPT + (THOUGHT if thinks else thought("")))
        return "".join(parts)

    def emit(self, reply: Message, tools: Sequence[Tool]) -> str:
        refuse_markers(reply.reasoning_content, [THINK_CLOSE], "reasoning")
        reasoning = reply.reasoning_content or ""
        if reasoning.strip():
            return thought(reasoning) + answer(reply)
        if _begins_as_thought(reply.content):
            raise OutOfDomain("content begins as reasoning does")
        return answer(reply)

    def machine(self, read: Reader, out: Sink, tools: ToolIndex) -> Machine:
        yield from read_thought(read, out)
        yield from read_content_and_calls(read, out)

    def opened_by(self, prompt: str) -> str:
        return THOUGHT if prompt.endswith(GENERATION_PROMPT + THOUGHT) else ""

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        if not messages and tools:
            return "drops the tools where there is no message"
        if any(m.content is None and m.role in ("system", "user") for m in messages):
            return "writes null content as None"
        if any(m.role == "assistant" and THINK_CLOSE in (m.content or "") for m in messages):
            return "takes a text for a thought that has its tag"
        return _misread(messages, options)


def _shown(message: Message, *, reasoning: bool) -> str:
    """An assistant's turn as history shows it: nothing where it holds neither text nor calls."""
    block = thought(message.reasoning_content or "" if reasoning and message.content else "")
    return block + answer(message) if message.content or message.tool_calls else ""


def _begins_as_thought(text: str | None) -> bool:
    return (text or "").lstrip().startswith((THINK_OPEN, THINK_CLOSE))


def _misread(messages: Sequence[Message], options: Mapping[str, Json]) -> str | None:
    hidden = bool(options.get("skip_think", True))
    return like_thought(messages, (THINK_OPEN, THINK_CLOSE), hidden=hidden, spaced=True)
