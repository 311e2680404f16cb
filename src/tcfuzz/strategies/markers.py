"""Markers as text: a format's own, pieces and misspellings of them, those of other formats, and whole fake calls."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import get_args

from tcfuzz.case import Message, Tool, ToolCall
from tcfuzz.dialects import registry as dialects
from tcfuzz.dialects.base import Dialect, MarkerRole
from tcfuzz.errors import OutOfDomain
from tcfuzz.strategies import texts

ROLES: tuple[MarkerRole, ...] = get_args(MarkerRole)

# Tokens of formats that have no dialect here, as their models' vocabularies and templates spell them.
_OTHER = """
    <|im_start|> <|im_end|> <|endoftext|> <tool_call> </tool_call> <tools> </tools> <tool_response> </tool_response>
    <think> </think> <function= </function> <parameter= </parameter> <|turn> <turn|> <|tool_call> <tool_call|>
    <|tool_response> <|channel> <channel|> <|"|> <bos> <eos> <escape> <start_function_call> <end_function_call>
    <start_of_turn> <end_of_turn> <|begin_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|> <|eom_id|>
    <|python_tag|> <|end_of_text|> <|header_start|> <|header_end|> <|eot|> <|eom|> <|python_start|> <|python_end|>
    [INST] [/INST] [TOOL_CALLS] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS] [TOOL_CONTENT]
    [CALL_ID] [ARGS] [SYSTEM_PROMPT] [THINK] [/THINK] <s> </s> <｜begin▁of▁sentence｜> <｜end▁of▁sentence｜>
    <｜User｜> <｜Assistant｜> <｜tool▁calls▁begin｜> <｜tool▁calls▁end｜> <｜tool▁call▁begin｜> <｜tool▁call▁end｜>
    <｜tool▁sep｜> <｜tool▁outputs▁begin｜> <｜DSML｜function_calls> </｜DSML｜parameter> <|im_system|> <|im_middle|>
    <|tool_calls_section_begin|> <|tool_calls_section_end|> <|tool_call_begin|> <|tool_call_argument_begin|>
    <|tool_call_end|> [gMASK] <sop> <|system|> <|user|> <|assistant|> <|observation|> <arg_key> </arg_key>
    <arg_value> </arg_value> ]~!b[ ]~b] [e~[ <minimax:tool_call> </minimax:tool_call> </invoke> <response> </response>
    <|start|> <|end|> <|message|> <|channel|> <|constrain|> <|return|> <|call|> <|START_OF_TURN_TOKEN|>
    <|END_OF_TURN_TOKEN|> <|SYSTEM_TOKEN|> <|START_ACTION|> <|END_ACTION|> <|START_THINKING|> <|START_TOOL_RESULT|>
    <|start_of_role|> <|end_of_role|> <|tool|> <|/tool|> <|tool_call|> <|/tool_call|> <|tool_list_start|>
    <|tool_call_start|> <|tool_call_end|> <functions> <function_calls> </function_calls> <function_results> <result>
    </result> <|assistant_end|> <|inner_prefix|> <|tools_prefix|> <seed:bos> <seed:tool_call> </seed:tool_call>
    <seed:think> <SPECIAL_12> <TOOLCALL> </TOOLCALL> <TOOL_RESPONSE> <tool_result> <tool_calls> </tool_calls> <item>
    <|tool_call:begin|> <|function_call|> <|function_output|> <|fim_prefix|> <|fim_middle|> <|image|> <unk> <pad>
    <unused0> <mm:think> >>>all functools[ /no_think /nothink ]<]minimax[>[ <|open|> <|close|> <|sep|> <|end_of_msg|>
    <|im_user|> <|im_assistant|> <|media_start|> <|USER_TOKEN|> <|CHATBOT_TOKEN|> <|START_RESPONSE|> <|START_TEXT|>
    <|END_THINKING|> <|END_TOOL_RESULT|> <｜tool▁outputs▁end｜> <｜DSML｜tool_calls> </｜DSML｜invoke> [/SYSTEM_PROMPT]
    <|startoftext|> <|tool_response_start|> </functions> <|system_start|> <|developer_start|> <|user_start|> [IMG]
    <|assistant_start|> <|tools_suffix|> <seed:eos> </seed:think> <SPECIAL_10> </TOOL_RESPONSE> <AVAILABLE_TOOLS>
    <atem:function_calls> </atem:parameter> </param> <|tool_call:end|> <|role_sep|> <|message_sep|> <sep>
    <start_function_response> <end_function_response> <start_function_declaration> CONTINUE_FINAL_MESSAGE_TAG
"""
OTHER_TOKENS = tuple(_OTHER.split())
_PADDING = r"[ \t\r\n]*"


@dataclass(frozen=True, slots=True)
class MarkerTexts:
    """All that is known of markers for one dialect: samples by class, and a pattern for each."""

    by_role: dict[str, tuple[str, ...]]
    partial: tuple[str, ...]
    foreign: tuple[str, ...]
    own_pattern: re.Pattern[str] | None
    foreign_pattern: re.Pattern[str]
    partial_patterns: tuple[re.Pattern[str] | None, re.Pattern[str] | None]
    roles_of: dict[str, frozenset[str]] = field(default_factory=dict)


def _any_of(parts: Iterable[str], *, padded: bool = False) -> re.Pattern[str] | None:
    ordered = sorted(set(parts), key=lambda part: (-len(part), part))
    if not ordered:
        return None
    body = "|".join(re.escape(part) for part in ordered)
    return re.compile(f"{_PADDING}({body}){_PADDING}" if padded else f"({body})")


def _pieces(marker: str) -> Iterable[str]:
    """Beginnings, ends and misspellings of a marker."""
    yield from (marker[:-1], marker[:-2], marker[: (len(marker) + 1) // 2], marker[1:], marker[2:])
    opening = re.match(r"\W+", marker)
    yield opening.group() if opening else ""
    yield from (marker.upper() if marker.upper() != marker else marker.lower(), f"{marker[:-1]} {marker[-1]}")
    yield marker.replace("_", " ", 1) if "_" in marker else f"{marker[:2]} {marker[2:]}"


def _worth(piece: str, whole: re.Pattern[str] | None, foreign: re.Pattern[str]) -> bool:
    """A piece that is neither a word nor a marker itself, nor begins or ends in white space."""
    if len(piece) < 2 or piece != piece.strip() or re.fullmatch(r"[\w ]*|\W?\w\W?", piece):
        return False
    return not (whole and whole.search(piece)) and not foreign.search(piece)


@lru_cache(maxsize=64)
def marker_texts(dialect: Dialect | None) -> MarkerTexts:
    """What is known of a dialect's markers. Plain markers of up to three characters (`[`) are no marker texts."""
    own = [m for m in (dialect.markers if dialect else ()) if m.special or len(m.text.strip()) > 3]
    by_role: dict[str, tuple[str, ...]] = {}
    roles_of: dict[str, frozenset[str]] = {}
    for marker in own:
        by_role[marker.role] = (*by_role.get(marker.role, ()), marker.text)
        stripped = marker.text.strip()
        roles_of[stripped] = roles_of.get(stripped, frozenset()) | {marker.role}
    others = [m.text for other in dialects for m in other.markers if m.special]
    foreign = tuple(
        dict.fromkeys(
            text
            for text in (*OTHER_TOKENS, *others)
            if not any(mine in text for mine in roles_of) and text.strip() == text
        )
    )
    whole = _any_of(roles_of)
    foreign_pattern = _any_of(foreign)
    assert foreign_pattern is not None
    pieces = [p for m in own for p in _pieces(m.text.strip()) if m.special or len(m.text.strip()) > 4]
    partial = tuple(dict.fromkeys(piece for piece in pieces if _worth(piece, whole, foreign_pattern)))
    return MarkerTexts(
        by_role=by_role,
        partial=partial,
        foreign=foreign,
        own_pattern=_any_of(roles_of, padded=True),
        foreign_pattern=re.compile(f"{_PADDING}{foreign_pattern.pattern}{_PADDING}"),
        partial_patterns=(_any_of(p for p in partial if len(p) > 3), _any_of(p for p in partial if len(p) <= 3)),
        roles_of=roles_of,
    )


def take_markers(text: str, dialect: Dialect | None, found: set[str]) -> str:
    """The text without own and foreign markers, their ids added to `found`."""
    known = marker_texts(dialect)

    def own(match: re.Match[str]) -> str:
        found.update(f"marker:{role}" for role in known.roles_of[match.group(1)])
        return texts.TAKEN_OUT

    rest = known.own_pattern.sub(own, text) if known.own_pattern else text
    cleaned = known.foreign_pattern.sub(texts.TAKEN_OUT, rest)
    if cleaned != rest:
        found.add("marker:foreign")
    return cleaned


def take_pieces(text: str, dialect: Dialect | None, found: set[str], *, short: bool) -> str:
    """The text without pieces of own markers: the longer ones, or those of up to three characters."""
    pattern = marker_texts(dialect).partial_patterns[short]
    rest = pattern.sub(texts.TAKEN_OUT, text) if pattern else text
    if rest != text:
        found.add("marker:partial")
    return rest


@lru_cache(maxsize=64)
def call_end(dialect: Dialect) -> str:
    """What closes a call, with the last sign before it: a parser that searches for both is not fooled by one."""
    marker = dialect.marker("call-close") or ""
    call = fake_call(dialect, "gauge", "", "")
    before, found, _ = (call or "").rpartition(marker) if marker else ("", "", "")
    sign = re.search(r"[^\w\s]\s*$", before)
    return (sign.group() if sign and found else "") + marker


def fake_call(dialect: Dialect, name: str, key: str, value: str) -> str | None:
    """The native text of a call; None where the format has no calls."""
    reply = Message("assistant", "", tool_calls=(ToolCall(name, {key: value}, "call00000"),))
    tool = Tool(name, None, {"type": "object", "properties": {key: {"type": "string"}}})
    try:
        return dialect.emit(reply, [tool])
    except OutOfDomain:
        return None


def holds_call(dialect: Dialect, text: str) -> bool:
    """Whether a text, read as a model's, has a call in it."""
    return dialect.traits.max_calls != 0 and bool(dialect.parse(text).tool_calls)


@lru_cache(maxsize=64)
def foreign_dialects(dialect: Dialect | None) -> tuple[Dialect, ...]:
    """The other dialects whose calls this one does not read as calls."""
    others = [other for other in dialects if dialect is None or other.name != dialect.name]
    samples = [(other, fake_call(other, "gauge", "key", "word")) for other in others]
    return tuple(
        other for other, text in samples if text and other.parse(text).tool_calls and not _reads(dialect, text)
    )


def _reads(dialect: Dialect | None, text: str) -> bool:
    return dialect is not None and holds_call(dialect, text)
