"""`cogito`: DeepSeek-R1's calls; the user's turn ends with the assistant's token, and a first line makes it think.

Source: the description of Cogito v2.1's template (2025-11); no published file was at hand. History goes on after
results without a header, a prompt with one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tcfuzz.case import Json, Message, Tool
from tcfuzz.dialects.base import like_header, refuse
from tcfuzz.dialects.deepseek_r1 import THOUGHT, DeepSeekR1, call_block, result_block
from tcfuzz.dialects.deepseek_v31 import ASSISTANT, BOS, EOS, USER

THINKING = "Enable deep thinking subroutine."
DEFAULT_SYSTEM = "You are a helpful assistant."
TOOL_PREAMBLE = "Functions, one JSON object each:"


def _system(head: Message | None, tools: Sequence[Tool], thinking: bool) -> str:
    text = f"{THINKING}\n\n{DEFAULT_SYSTEM}" if thinking else DEFAULT_SYSTEM
    if head and head.content:
        text += f"\n\n{head.content}" + ("\n\n" if thinking else "")
    if tools:
        text += f"\n{TOOL_PREAMBLE}\n" + "".join(map(declaration, tools))
    return text


def declaration(tool: Tool) -> str:
    """One tool, fenced and indented by four."""
    return f"```json\n{json.dumps(tool.to_openai(), ensure_ascii=False, indent=4)}\n```\n"


def _turns(messages: Sequence[Message]) -> Iterator[str]:
    for index, message in enumerate(messages):
        if message.role == "user":
            yield f"{USER}{message.content or ''}{ASSISTANT}"
        elif message.role == "tool":
            yield result_block(messages, index)
        else:
            yield (message.content or "") + call_block(message.tool_calls) + EOS


class Cogito(DeepSeekR1):
    """Cogito v2.1 with its switch for thinking."""

    name = "cogito"
    summary = "Cogito v2: DeepSeek-R1's calls, tools as fenced JSON"
    traits = replace(
        DeepSeekR1.traits,
        declares_tools=True,
        string_arguments="alike",
        prefix_stable=False,
        content_trim="beside-call",
    )

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = True, **options: Json
    ) -> str:
        refuse(like_header(messages, ASSISTANT))
        head = messages[0] if messages and messages[0].role == "system" else None
        spoken = [message for message in messages if message.role in ("user", "assistant", "tool")]
        thinking = bool(options.get("enable_thinking"))
        parts = [BOS, _system(head, tools, thinking), *_turns(spoken)]
        if add_generation_prompt:
            asked = bool(spoken) and spoken[-1].role == "user"
            parts.append(("" if asked else ASSISTANT) + (THOUGHT if thinking else ""))
        return "".join(parts)

    def template_limit(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Mapping[str, Json]
    ) -> str | None:
        return like_header(messages, ASSISTANT)
