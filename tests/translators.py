"""Small translators in the style of the ones that people write, correct as far as anyone knows.

They speak the `python:` interface (plain OpenAI dicts) and share no code with the reference dialects: two readings of
one format, written apart, must agree. `tests/miniatures.py` plants bugs in them.

A translator renders by itself and reads with a `reader`, which takes a text in pieces and gives back what is complete:
`("content", text)`, `("reasoning", text)` or `("call", {"name", "arguments", "id"})`, for whole texts and for streams.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

Dict = dict[str, Any]
Piece = tuple[str, Any]
Found = tuple[list[Dict], int]
"""The calls that stand at one place, and where they end."""

DECODER = json.JSONDecoder(strict=False)
SPACES = re.compile(r"[ \t\r\n]*")


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def arguments_of(call: Dict) -> Dict:
    """The arguments of a call in the history; clients send them as an object or as its JSON text."""
    arguments = call["function"]["arguments"]
    return json.loads(arguments) if isinstance(arguments, str) else arguments


def call_of(value: Any) -> Dict | None:
    """The call in a JSON object with `name` and `arguments`, if it is one."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str) or not value["name"]:
        return None
    arguments = value.get("arguments", {})
    if not isinstance(arguments, dict):
        return None
    return {"name": value["name"], "arguments": arguments, "id": value.get("id")}


def skip_spaces(text: str, at: int) -> int:
    found = SPACES.match(text, at)
    assert found is not None
    return found.end()


def partial(text: str, *markers: str) -> int:
    """How many characters at the end of a text may be the beginning of a marker."""
    longest = min(len(text), max(map(len, markers)) - 1)
    return next((n for n in range(longest, 0, -1) if any(m.startswith(text[-n:]) for m in markers)), 0)


# -- reading --------------------------------------------------------------------------------------------------------


class Reader:
    """Takes a text in pieces. `text` is what came and is not given back yet."""

    def __init__(self, tools: Sequence[Dict]) -> None:
        self.tools = {tool["function"]["name"]: tool["function"] for tool in tools}
        self.text = ""

    def take(self, more: str, *, final: bool) -> list[Piece]:
        self.text += more
        pieces, used = self.read(final)
        self.text = self.text[used:]
        return [(kind, value) for kind, value in pieces if value]

    def read(self, final: bool) -> tuple[list[Piece], int]:
        """What is complete in `text`, and how much of the text that is."""
        return [("content", self.text)], len(self.text)


class TaggedReader(Reader):
    """Content, and calls that begin with an opening tag and, most of them, end with a closing one."""

    opener = "<tool_call>"
    closer = "</tool_call>"

    def read(self, final: bool) -> tuple[list[Piece], int]:
        pieces: list[Piece] = []
        at = 0
        while (start := self.text.find(self.opener, at)) >= 0:
            pieces.append(("content", self.text[at:start]))
            inside = start + len(self.opener)
            found = self.calls_at(inside, final) if final or self.closer in self.text[inside:] else None
            if found is None and not final:
                return pieces, start
            if found is None:
                pieces.append(("content", self.opener))
                at = inside
                continue
            pieces.extend(("call", call) for call in found[0])
            at = found[1]
        end = len(self.text) - (0 if final else partial(self.text[at:], self.opener))
        return [*pieces, ("content", self.text[at:end])], end

    def calls_at(self, at: int, final: bool) -> Found | None:
        """The calls after an opening tag; None where there are none, or none that is complete."""
        try:
            value, end = self.decode(skip_spaces(self.text, at))
        except (ValueError, RecursionError):
            return None
        end = skip_spaces(self.text, end)
        if self.text.startswith(self.closer, end):
            end += len(self.closer)
        elif not final or end < len(self.text):
            return None
        call = self.call(value)
        return None if call is None else ([call], end)

    def decode(self, at: int) -> tuple[Any, int]:
        return DECODER.raw_decode(self.text, at)

    def call(self, value: Any) -> Dict | None:
        return call_of(value)


class ThinkingReader(TaggedReader):
    """The same after a `<think>` block."""

    begun = False

    def read(self, final: bool) -> tuple[list[Piece], int]:
        if self.begun:
            return super().read(final)
        start = self.text.lstrip(" \t\r\n")
        if not final and len(start) < len("<think>") and "<think>".startswith(start):
            return [], 0
        if not start.startswith("<think>"):
            self.begun = True
            return super().read(final)
        thought, closed, rest = start.removeprefix("<think>").partition("</think>")
        if not closed and not final:
            return [], 0
        self.begun = True
        self.text = rest.lstrip("\n")
        pieces, used = super().read(final)
        return [("reasoning", thought.strip("\n")), *pieces], used


class ChatMLReader(Reader):
    pass


class CoderReader(TaggedReader):
    """Calls whose arguments are raw text between tags; the tool's schema says what it means."""

    function = re.compile(r"<function=([^>\n]+)>")
    parameter = re.compile(r"<parameter=([^>\n]*)>")

    def decode(self, at: int) -> tuple[Any, int]:
        opening = self.function.match(self.text, at)
        if opening is None:
            raise ValueError("no function")
        name, arguments = opening[1], {}
        at = skip_spaces(self.text, opening.end())
        while (tag := self.parameter.match(self.text, at)) is not None:
            end = self.value_end(tag.end())
            arguments[tag[1]] = self.value(name, tag[1], self.text[tag.end() : end].removeprefix("\n"))
            at = skip_spaces(self.text, self.text.index(">", end) + 1)
        if not self.text.startswith("</function>", at):
            raise ValueError("no end of the function")
        return {"name": name, "arguments": arguments}, at + len("</function>")

    def value_end(self, start: int) -> int:
        """Where a value that begins at `start` ends, before the newline that closes it."""
        return self.text.index("\n</parameter>", start)

    def value(self, tool: str, key: str, text: str) -> Any:
        parameters = self.tools.get(tool, {}).get("parameters") or {}
        return cast(text, kinds(parameters.get("properties", {}).get(key), parameters))


def kinds(schema: Any, root: Dict, depth: int = 0) -> set[str]:
    """The type names that a schema allows; none where it does not say."""
    if not isinstance(schema, dict) or depth > 20:
        return set()
    declared = schema.get("type")
    found = set(declared) if isinstance(declared, list) else {declared} if isinstance(declared, str) else set()
    if not found and isinstance(schema.get("$ref"), str):
        target: Any = root
        for step in schema["$ref"].split("/")[1:]:
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
        found = kinds(target, root, depth + 1)
    for part in [] if found else [*schema.get("anyOf", []), *schema.get("oneOf", [])]:
        found |= kinds(part, root, depth + 1)
    if not found and schema.get("allOf"):
        found = set.union(*(kinds(part, root, depth + 1) for part in schema["allOf"]))
    if not found:
        values = [*schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]
        names = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
        found = {names.get(type(value), "null") for value in values}
    return found | {"null"} if found and schema.get("nullable") else found


def cast(text: str, allowed: set[str]) -> Any:
    """The value of a raw text, as one of these types if it can be one, else as a string."""
    word = text.strip().lower()
    if "null" in allowed and word in ("null", "none"):
        return None
    if "boolean" in allowed and word in ("true", "false"):
        return word == "true"
    readable = {"integer": (int, float), "number": (int, float), "array": (list,), "object": (dict,)}
    wanted = tuple(t for name in allowed for t in readable.get(name, ()))
    try:
        value = json.loads(text) if wanted else None
    except ValueError:
        return text
    return value if isinstance(value, wanted) and not isinstance(value, bool) else text


class GemmaReader(Reader):
    """Calls in tokens of their own, with tokens for quotes."""

    quote = '<|"|>'
    openers = ("<|tool_call>", "<|channel>", "<channel|>")
    closer = "<tool_call|>"
    number = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")

    def read(self, final: bool) -> tuple[list[Piece], int]:
        pieces: list[Piece] = []
        at = 0
        while (found := re.compile("|".join(map(re.escape, self.openers))).search(self.text, at)) is not None:
            pieces.append(("content", self.text[at : found.start()]))
            took = self.thought(found.end(), final) if found[0] == "<|channel>" else self.calls(found, final)
            if took is None:
                return pieces, found.start()
            pieces.extend(took[0])
            at = took[1]
        end = len(self.text) - (0 if final else partial(self.text[at:], *self.openers))
        return [*pieces, ("content", self.text[at:end])], end

    def thought(self, at: int, final: bool) -> tuple[list[Piece], int] | None:
        end = self.text.find("<channel|>", at)
        if end < 0 and not final:
            return None
        text = self.text[at:] if end < 0 else self.text[at:end]
        thought = text.removeprefix("thought\n").removesuffix("\n")
        return [("reasoning", thought)], len(self.text) if end < 0 else end + len("<channel|>")

    def calls(self, found: re.Match[str], final: bool) -> tuple[list[Piece], int] | None:
        if found[0] == "<channel|>":
            return [], found.end()
        if not final and self.closer not in self.text[found.end() :]:
            return None
        try:
            call, end = self.call(found.end(), final)
        except (ValueError, RecursionError):
            return ([("content", found[0])], found.end()) if final else None
        return [("call", call)], end

    def call(self, at: int, final: bool) -> tuple[Dict, int]:
        at = skip_spaces(self.text, at)
        if not self.text.startswith("call:", at):
            raise ValueError("no call")
        opening = self.text.index("{", at)
        name = self.text[at + len("call:") : opening].strip()
        if not name or "<|tool_call>" in name:
            raise ValueError("no name")
        arguments, end = self.value(opening)
        end = skip_spaces(self.text, end)
        if self.text.startswith(self.closer, end):
            end += len(self.closer)
        elif not final or end < len(self.text):
            raise ValueError("no end of the call")
        return {"name": name, "arguments": arguments, "id": None}, end

    def value(self, at: int) -> tuple[Any, int]:
        """The value at a place, and where it ends."""
        at = skip_spaces(self.text, at)
        if self.text.startswith(self.quote, at):
            start = at + len(self.quote)
            end = self.text.index(self.quote, start)
            return self.string(self.text[start:end]), end + len(self.quote)
        if self.text.startswith("{", at):
            return self.items(at + 1, "}", {})
        if self.text.startswith("[", at):
            return self.items(at + 1, "]", [])
        found = re.compile(r"[^,\]}]*").match(self.text, at)
        assert found is not None
        return self.bare(found[0].strip()), found.end()

    def items(self, at: int, closer: str, into: Any) -> tuple[Any, int]:
        """The items of an object or an array, up to its end."""
        at = skip_spaces(self.text, at)
        while not self.text.startswith(closer, at):
            if isinstance(into, dict):
                key, at = self.key(at)
                into[key], at = self.value(at)
            else:
                item, at = self.value(at)
                into.append(item)
            at = skip_spaces(self.text, at)
            if self.text.startswith(",", at):
                at = skip_spaces(self.text, at + 1)
            elif not self.text.startswith(closer, at):
                raise ValueError("neither comma nor end")
        return into, at + 1

    def key(self, at: int) -> tuple[str, int]:
        colon = self.text.index(":", at)
        return self.text[at:colon].strip(" \t\r\n"), colon + 1

    def string(self, text: str) -> Any:
        return text

    def bare(self, text: str) -> Any:
        if text in ("true", "false", "null"):
            return json.loads(text)
        return json.loads(text) if self.number.fullmatch(text) else text


class PythonicReader(Reader):
    """A list of Python calls at the end of the text."""

    start = re.compile(r"\[\s*([^\W\d][\w.]*)\s*\(")
    begun = re.compile(r"\[\s*([^\W\d][\w.]*\s*)?$")
    token = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|["'()\[\]{}]""", re.DOTALL)

    def read(self, final: bool) -> tuple[list[Piece], int]:
        at = 0
        while (found := self.start.search(self.text, at)) is not None:
            start, at = found.start(), found.start() + 1
            if self.tools and found[1] not in self.tools:
                continue
            if not final:
                return [("content", self.text[:start])], start
            at = self.end(start)
            calls = [] if self.text[at:].strip() else self.calls(self.text[start:at])
            if calls:
                return [("content", self.text[:start]), *(("call", call) for call in calls)], len(self.text)
        held = None if final else self.begun.search(self.text)
        end = len(self.text) if held is None else held.start()
        return [("content", self.text[:end])], end

    def end(self, start: int) -> int:
        """Where the list that begins at `start` ends; the end of the text where it does not."""
        depth = 0
        for found in self.token.finditer(self.text, start):
            depth += (found[0] in "([{") - (found[0] in ")]}")
            if depth == 0:
                return found.end()
            if found[0] in "\"'":
                break
        return len(self.text)

    def calls(self, text: str) -> list[Dict]:
        try:
            with warnings.catch_warnings(action="ignore"):  # of escapes that Python does not know
                value = ast.parse(text, mode="eval").body
            return [self.call(item) for item in value.elts] if isinstance(value, ast.List) else []
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            return []

    def call(self, node: ast.expr) -> Dict:
        if not isinstance(node, ast.Call) or node.args or any(keyword.arg is None for keyword in node.keywords):
            raise ValueError("no call")
        name = ast.unparse(node.func)
        if self.tools and name not in self.tools:
            raise ValueError("no tool")
        return {"name": name, "arguments": {k.arg: self.literal(k.value) for k in node.keywords}, "id": None}

    def literal(self, node: ast.expr) -> Any:
        return ast.literal_eval(node)


class MistralReader(TaggedReader):
    """A JSON list of calls after one token."""

    opener = "[TOOL_CALLS]"
    closer = "]"

    def calls_at(self, at: int, final: bool) -> Found | None:
        try:
            value, end = self.decode(skip_spaces(self.text, at))
        except (ValueError, RecursionError):
            return None
        calls = [self.call(item) for item in value] if isinstance(value, list) else []
        whole = [call for call in calls if call is not None]
        return (whole, end) if whole and len(whole) == len(calls) else None


# -- streaming ------------------------------------------------------------------------------------------------------


class Live:
    """One stream: deltas for what the reader finds complete."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.calls = 0

    def feed(self, chunk: str) -> list[Dict]:
        return list(self.deltas(self.reader.take(chunk, final=False)))

    def finish(self) -> list[Dict]:
        return list(self.deltas(self.reader.take("", final=True)))

    def deltas(self, pieces: Sequence[Piece]) -> Iterator[Dict]:
        for kind, value in pieces:
            if kind == "call":
                yield from self.call(value, self.calls)
                self.calls += 1
            else:
                yield {"content" if kind == "content" else "reasoning_content": value}

    def call(self, call: Dict, index: int) -> Iterator[Dict]:
        """The name first, then the arguments in two pieces, as servers send them."""
        opening = {"name": call["name"], "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call["id"] or f"call_{index}", "function": opening}]}
        text = json.dumps(call["arguments"])
        for part in (text[: len(text) // 2], text[len(text) // 2 :]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}


# -- translators ----------------------------------------------------------------------------------------------------


class Translator:
    """Reads with `reader`, streams with `live`; renders by itself."""

    dialect: ClassVar[str]
    reader: type[Reader] = Reader
    live: type[Live] = Live

    def parse(self, text: str, tools: Sequence[Dict]) -> Dict:
        return self.message(self.reader(tools).take(text, final=True))

    def stream(self, tools: Sequence[Dict]) -> Live:
        return self.live(self.reader(tools))

    def message(self, pieces: Sequence[Piece]) -> Dict:
        message: Dict = {"role": "assistant"}
        for key, kind in (("content", "content"), ("reasoning_content", "reasoning")):
            message[key] = "".join(value for piece, value in pieces if piece == kind) or None
        calls = [value for piece, value in pieces if piece == "call"]
        message["tool_calls"] = [self.call(call, index) for index, call in enumerate(calls)]
        return message

    def call(self, call: Dict, index: int) -> Dict:
        function = {"name": call["name"], "arguments": call["arguments"]}
        return {"id": call["id"] or f"call_{index}", "type": "function", "function": function}


class ChatML(Translator):
    """Plain turns."""

    dialect = "chatml"
    reader = ChatMLReader
    generation_prompt = "<|im_start|>assistant\n"

    def render(
        self, messages: Sequence[Dict], tools: Sequence[Dict], *, add_generation_prompt: bool = False, **options: Any
    ) -> str:
        turns = [self.turn(message["role"], self.text(message)) for message in messages]
        return "".join(turns) + (self.generation_prompt if add_generation_prompt else "")

    def text(self, message: Dict) -> str:
        return message["content"] or ""

    def turn(self, role: str, text: str) -> str:
        return f"<|im_start|>{role}\n{text}<|im_end|>\n"


class Hermes(ChatML):
    """Calls as JSON in tags, results in the user's turn."""

    dialect = "hermes"
    reader = TaggedReader
    default_system: str | None = "You are a helpful assistant."
    roles: tuple[str, ...] = ("system", "user")

    def render(
        self, messages: Sequence[Dict], tools: Sequence[Dict], *, add_generation_prompt: bool = False, **options: Any
    ) -> str:
        messages = list(messages)
        system = self.text(messages.pop(0)) if messages and messages[0]["role"] == "system" else self.default_system
        parts = [self.head(system, tools)]
        for index, message in enumerate(messages):
            if message["role"] == "tool":
                parts.append(self.result(messages, index))
            elif message["role"] == "assistant":
                parts.append(self.turn("assistant", self.answer(messages, index)))
            elif message["role"] in self.roles:
                parts.append(self.turn(message["role"], self.text(message)))
        return "".join(parts) + (self.generation(options) if add_generation_prompt else "")

    def generation(self, options: Dict) -> str:
        return self.generation_prompt

    def head(self, system: str | None, tools: Sequence[Dict]) -> str:
        declared = self.declarations(tools) if tools else None
        blocks = [block for block in (system, declared) if block is not None]
        return self.turn("system", "\n\n".join(blocks)) if blocks else ""

    def declarations(self, tools: Sequence[Dict]) -> str:
        lines = "\n".join(self.declaration(tool) for tool in tools)
        return f"These tools can be called:\n<tools>\n{lines}\n</tools>"

    def declaration(self, tool: Dict) -> str:
        return dumps(tool)

    def answer(self, messages: Sequence[Dict], index: int) -> str:
        content = self.text(messages[index])
        calls = self.calls(messages[index])
        return "\n".join([content, *calls] if content else calls)

    def calls(self, message: Dict) -> list[str]:
        return [self.call_text(call) for call in message.get("tool_calls", ())]

    def call_text(self, call: Dict) -> str:
        body = dumps({"name": call["function"]["name"], "arguments": self.arguments(call)})
        return f"<tool_call>\n{body}\n</tool_call>"

    def arguments(self, call: Dict) -> Any:
        return arguments_of(call)

    def result(self, messages: Sequence[Dict], index: int) -> str:
        """Results that follow each other share a turn."""
        first = index == 0 or messages[index - 1]["role"] != "tool"
        last = index + 1 == len(messages) or messages[index + 1]["role"] != "tool"
        text = f"\n<tool_response>\n{self.text(messages[index])}\n</tool_response>"
        return ("<|im_start|>user" if first else "") + text + ("<|im_end|>\n" if last else "")


class Qwen3(Hermes):
    """The same with thoughts, of which history keeps those since the last question."""

    dialect = "qwen3"
    reader = ThinkingReader
    default_system = None

    def generation(self, options: Dict) -> str:
        skipped = "<think>\n\n</think>\n\n" if options.get("enable_thinking") is False else ""
        return self.generation_prompt + skipped

    def answer(self, messages: Sequence[Dict], index: int) -> str:
        message = messages[index]
        content, calls = self.text(message), "\n".join(self.calls(message))
        thought = (message.get("reasoning_content") or "").strip("\n")
        current = index > self.last_question(messages)
        between = "\n" if content and calls else ""
        if current and (message.get("reasoning_content") or index + 1 == len(messages)):
            return f"<think>\n{thought}\n</think>\n\n" + content.lstrip("\n") + between + calls
        return content + between + calls

    def last_question(self, messages: Sequence[Dict]) -> int:
        for index in reversed(range(len(messages))):
            text = self.text(messages[index])
            wrapped = text.startswith("<tool_response>") and text.endswith("</tool_response>")
            if messages[index]["role"] == "user" and not wrapped:
                return index
        return len(messages) - 1


class Coder(Hermes):
    """Calls as tags with raw text inside."""

    dialect = "qwen3-coder"
    reader = CoderReader
    roles = ("system", "developer", "user")

    def head(self, system: str | None, tools: Sequence[Dict]) -> str:
        return super().head(system, tools) if tools or system != self.default_system else ""

    def declaration(self, tool: Dict) -> str:
        function = tool["function"]
        parameters = function.get("parameters") or {}
        lines = [f"<function>\n<name>{function['name']}</name>"]
        if "description" in function:
            lines.append(f"<description>{function['description'].strip()}</description>")
        for name, schema in parameters.get("properties", {}).items():
            lines.append(f"<parameter>\n<name>{name}</name>")
            lines.extend(f"<{key}>{self.spell(value)}</{key}>" for key, value in self.keywords(schema))
            lines.append("</parameter>")
        extra = {key: value for key, value in parameters.items() if key not in ("type", "properties")}
        lines.extend(f"<{key}>{self.spell(value)}</{key}>" for key, value in extra.items())
        return "\n".join([*lines, "</function>"])

    def keywords(self, schema: Any) -> list[tuple[str, Any]]:
        if not isinstance(schema, dict):
            return []
        return [(k, v.strip() if k == "description" and isinstance(v, str) else v) for k, v in schema.items()]

    def answer(self, messages: Sequence[Dict], index: int) -> str:
        content, calls = self.text(messages[index]), "\n".join(self.calls(messages[index]))
        return f"{content.strip()}\n\n{calls}" if content.strip() and calls else calls or content

    def call_text(self, call: Dict) -> str:
        lines = [f"<tool_call>\n<function={call['function']['name']}>"]
        lines.extend(f"<parameter={k}>\n{self.spell(v)}\n</parameter>" for k, v in self.arguments(call).items())
        return "\n".join([*lines, "</function>\n</tool_call>"])

    def spell(self, value: Any) -> str:
        return dumps(value) if isinstance(value, (dict, list)) else str(value)

    def result(self, messages: Sequence[Dict], index: int) -> str:
        first = index == 0 or messages[index - 1]["role"] != "tool"
        last = index + 1 == len(messages) or messages[index + 1]["role"] != "tool"
        text = f"<tool_response>\n{self.text(messages[index])}\n</tool_response>\n"
        return ("<|im_start|>user\n" if first else "") + text + ("<|im_end|>\n" if last else "")


class Gemma(Translator):
    """Everything of one tool step stands in one model turn."""

    dialect = "gemma4"
    reader = GemmaReader

    def render(
        self,
        messages: Sequence[Dict],
        tools: Sequence[Dict],
        *,
        add_generation_prompt: bool = False,
        enable_thinking: bool = False,
        preserve_thinking: bool = False,
        **options: Any,
    ) -> str:
        messages = list(messages)
        opens = bool(messages) and messages[0]["role"] in ("system", "developer")
        system = self.text(messages.pop(0)) if opens else ""
        prompt = "<bos>"
        if opens or tools or enable_thinking:
            think = "<|think|>\n" if enable_thinking else ""
            prompt += f"<|turn>system\n{think}{system}{''.join(map(self.declaration, tools))}<turn|>\n"
        questions = [index for index, message in enumerate(messages) if message["role"] == "user"]
        asked = questions[-1] if questions else -1
        spoken: Dict | None = None
        for index, message in enumerate(messages):
            if message["role"] != "tool":
                shown = index > asked or (preserve_thinking and bool(message.get("tool_calls")))
                joins = message["role"] == "assistant" and spoken is not None and spoken["role"] == "assistant"
                prompt += "" if joins else f"<|turn>{self.role(message)}\n"
                prompt += self.body(messages, index, shown)
                spoken = message
        return prompt + (self.generation(messages, spoken, enable_thinking) if add_generation_prompt else "")

    def generation(self, messages: Sequence[Dict], spoken: Dict | None, thinking: bool) -> str:
        if spoken is None or not spoken.get("tool_calls"):
            return "<|turn>model\n"
        return "<|channel>thought\n" if thinking and messages[-1]["role"] == "tool" else ""

    def role(self, message: Dict) -> str:
        return "model" if message["role"] == "assistant" else message["role"]

    def text(self, message: Dict) -> str:
        text = message["content"] or ""
        if message["role"] == "assistant":
            text = re.sub(r"(?s)<\|channel>.*?(<channel\|>|$)", "", text).replace("<channel|>", "")
        return text.strip()

    def body(self, messages: Sequence[Dict], index: int, shown: bool) -> str:
        message = messages[index]
        calls, content = message.get("tool_calls", ()), self.text(message)
        thought = message.get("reasoning_content") if shown else None
        results = self.results(messages, index) if calls else []
        answers = [self.result(calls, result, place) for place, result in enumerate(results)]
        text = f"<|channel>thought\n{thought}\n<channel|>" if thought else ""
        text += "".join(map(self.call_text, calls)) + "".join(answers) + content
        following = [m["role"] for m in messages[index + 1 :] if m["role"] != "tool"]
        if calls and not results:
            return text + "<|tool_response>"
        if message["role"] == "assistant" and following[:1] == ["assistant"]:
            return text
        return text if results and not content and not following else text + "<turn|>\n"

    def results(self, messages: Sequence[Dict], index: int) -> list[Dict]:
        after = [m["role"] == "tool" for m in messages[index + 1 :]] + [False]
        return list(messages[index + 1 : index + 1 + after.index(False)])

    def call_text(self, call: Dict) -> str:
        return f"<|tool_call>call:{call['function']['name']}{self.spell(arguments_of(call))}<tool_call|>"

    def result(self, calls: Sequence[Dict], message: Dict, place: int) -> str:
        named = [call["function"]["name"] for call in calls if call.get("id") == message.get("tool_call_id")]
        name = named[0] if named else message.get("name", "unknown")
        return f"<|tool_response>response:{name}{{value:{self.spell(message['content'])}}}<tool_response|>"

    def spell(self, value: Any, keys: str = "") -> str:
        if isinstance(value, str):
            return f'<|"|>{value}<|"|>'
        if isinstance(value, dict):
            items = sorted(value.items(), key=lambda item: item[0].lower())
            return "{" + ",".join(f"{keys}{k}{keys}:{self.spell(v, keys)}" for k, v in items) + "}"
        if isinstance(value, list):
            return "[" + ",".join(self.spell(item, keys) for item in value) + "]"
        return json.dumps(value)

    def declaration(self, tool: Dict) -> str:
        function = tool["function"]
        body = f"declaration:{function['name']}{{description:{self.spell(function.get('description') or '')}"
        if function.get("parameters"):
            body += f',parameters:{{{",".join(self.object_parts(function["parameters"]))},type:<|"|>OBJECT<|"|>}}'
        return f"<|tool>{body}}}<tool|>"

    def object_parts(self, schema: Dict) -> list[str]:
        properties = sorted((schema.get("properties") or {}).items(), key=lambda item: item[0].lower())
        shown = ",".join(f"{name}:{{{self.property(sub)}}}" for name, sub in properties)
        parts = [f"properties:{{{shown}}}"]
        return [*parts, f"required:{self.spell(schema['required'])}"] if schema.get("required") else parts

    def property(self, schema: Any) -> str:
        schema = schema if isinstance(schema, dict) else {}
        parts = []
        if schema.get("description"):
            parts.append(f"description:{self.spell(schema['description'])}")
        if schema.get("enum"):
            parts.append(f"enum:{self.spell(schema['enum'], self.quote)}")
        if isinstance(schema.get("items"), dict):
            parts.append(f"items:{self.spell(schema['items'], self.quote)}")
        if schema.get("nullable"):
            parts.append("nullable:true")
        if schema.get("type") == "object":
            parts.extend(self.object_parts(schema))
        return ",".join([*parts, f"type:{self.spell(str(schema.get('type', '')).upper())}"])

    quote = '<|"|>'


class Llama4(Translator):
    """Calls as a list of Python calls."""

    dialect = "llama4"
    reader = PythonicReader

    def render(
        self, messages: Sequence[Dict], tools: Sequence[Dict], *, add_generation_prompt: bool = False, **options: Any
    ) -> str:
        messages = list(messages)
        head = [messages.pop(0)["content"] or ""] if messages and messages[0]["role"] == "system" else []
        if tools:
            head.append("Tools, to be called as Python functions:\n" + json.dumps(tools, ensure_ascii=False, indent=1))
        turns = [self.turn("system", "\n\n".join(filter(None, head)))] if head else []
        turns.extend(map(self.show, messages))
        ending = "<|header_start|>assistant<|header_end|>\n\n" if add_generation_prompt else ""
        return "<|begin_of_text|>" + "".join(turns) + ending

    def turn(self, role: str, text: str) -> str:
        return f"<|header_start|>{role}<|header_end|>\n\n{text}<|eot|>"

    def show(self, message: Dict) -> str:
        content = message["content"] or ""
        if message["role"] == "tool":
            return self.turn("ipython", dumps(content))
        calls = message.get("tool_calls", ())
        return self.turn(message["role"], content + (f"[{', '.join(map(self.call_text, calls))}]" if calls else ""))

    def call_text(self, call: Dict) -> str:
        arguments = ", ".join(f"{key}={self.literal(value)}" for key, value in arguments_of(call).items())
        return f"{call['function']['name']}({arguments})"

    def literal(self, value: Any) -> str:
        return repr(value)


class Mistral(Translator):
    """Tools and system text move to the last user turn; calls and results carry ids."""

    dialect = "mistral-nemo"
    reader = MistralReader

    def render(
        self, messages: Sequence[Dict], tools: Sequence[Dict], *, add_generation_prompt: bool = False, **options: Any
    ) -> str:
        messages = list(messages)
        system = self.text(messages.pop(0)) + "\n\n" if messages and messages[0]["role"] == "system" else ""
        declared = f"[AVAILABLE_TOOLS]{dumps(list(tools))}[/AVAILABLE_TOOLS]" if tools else ""
        last = max((index for index, message in enumerate(messages) if message["role"] == "user"), default=-1)
        prompt = "<s>"
        for index, message in enumerate(messages):
            if message["role"] == "user":
                head = (declared, system) if index == last else ("", "")
                prompt += f"{head[0]}[INST]{head[1]}{self.text(message)}[/INST]"
            elif message["role"] == "tool":
                prompt += self.result(messages, index)
            else:
                prompt += self.answer(message) + "</s>"
        return prompt

    def text(self, message: Dict) -> str:
        return message["content"] or ""

    def answer(self, message: Dict) -> str:
        calls = message.get("tool_calls")
        return f"[TOOL_CALLS][{', '.join(map(self.call_text, calls))}]" if calls else self.text(message)

    def call_text(self, call: Dict) -> str:
        return dumps({"name": call["function"]["name"], "arguments": arguments_of(call), "id": call["id"]})

    def result(self, messages: Sequence[Dict], index: int) -> str:
        message = messages[index]
        text = f'{{"content": {self.text(message)}, "call_id": "{message["tool_call_id"]}"}}'
        return f"[TOOL_RESULTS]{text}[/TOOL_RESULTS]"


CORRECT: tuple[type[Translator], ...] = (ChatML, Hermes, Qwen3, Coder, Gemma, Llama4, Mistral)
