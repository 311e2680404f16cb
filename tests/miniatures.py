"""Tiny translators with one planted bug each, and which oracle must find it, with which blame.

The bugs are those of real servers and agents. Each is a correct translator of `tests/translators.py` with one thing
changed; `also` names the oracles that see the same bug as a consequence, all others must stay silent. A miniature
is an object of the `python:` interface, so `tcfuzz target python:tests.miniatures:SortsKeys` works, too.
"""

from __future__ import annotations

import html
import itertools
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.translators import (
    ChatML,
    Coder,
    CoderReader,
    Dict,
    Found,
    Gemma,
    GemmaReader,
    Hermes,
    Live,
    Mistral,
    Piece,
    Qwen3,
    TaggedReader,
    ThinkingReader,
    Translator,
    arguments_of,
    dumps,
)

Make = type[Translator]


@dataclass(frozen=True)
class Miniature:
    """`kills`: the (oracle, blame) that must find it. `also`: further oracles that may.

    `alone`: it would stop this very process, so it needs one of its own, and cases with this feature only.
    `template`: it is compared with a reference template. `examples`: how many cases it takes to meet it.
    """

    make: Make
    kills: tuple[str, str]
    also: frozenset[str] = frozenset()
    alone: str = ""
    template: bool = False
    examples: int = 600

    @property
    def name(self) -> str:
        return self.make.__name__


BUGGY: list[Miniature] = []


def bug(kills: str, *also: str, alone: str = "", template: bool = False, examples: int = 600) -> Callable[[Make], Make]:
    """Declare the bug of a translator: `kills` is `oracle/blame`."""

    def declare(make: Make) -> Make:
        oracle, _, blame = kills.partition("/")
        BUGGY.append(Miniature(make, (oracle, blame), frozenset(also), alone, template, examples))
        return make

    return declare


def strings_changed(value: Any, change: Callable[[str], Any]) -> Any:
    """A JSON value with every string changed, keys aside."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: strings_changed(item, change) for key, item in value.items()}
    return [strings_changed(item, change) for item in value] if isinstance(value, list) else value


def without(value: Any, keyword: str) -> Any:
    """A JSON value without a key, wherever it stands."""
    if isinstance(value, dict):
        return {key: without(item, keyword) for key, item in value.items() if key != keyword}
    return [without(item, keyword) for item in value] if isinstance(value, list) else value


def rotated(value: Dict) -> Dict:
    """An object with its first key last."""
    items = list(value.items())
    return dict(items[1:] + items[:1])


# -- accepts --------------------------------------------------------------------------------------------------------


@bug("accepts/renderer")
class RaisesAtNullContent(Hermes):
    """Joins texts, and null is none."""

    def text(self, message: Dict) -> str:
        return "" + message["content"]


@bug("accepts/renderer")
class NeedsParameters(Gemma):
    """Takes it for granted that a tool has parameters."""

    def declaration(self, tool: Dict) -> str:
        return super().declaration(tool) if tool["function"]["parameters"] else ""


@bug("accepts/parser")
class RefusesSecondCall(Hermes):
    """Parallel calls were never thought of."""

    def message(self, pieces: Sequence[Piece]) -> Dict:
        message = super().message(pieces)
        if len(message["tool_calls"]) > 1:
            raise NotImplementedError("more than one call")
        return message


@bug("accepts/parser")
class RefusesFractions(Coder):
    """Numbers are whole numbers, it was thought."""

    class reader(CoderReader):  # noqa: N801
        def value(self, tool: str, key: str, text: str) -> Any:
            value = super().value(tool, key, text)
            if isinstance(value, float):
                raise NotImplementedError("a number with a fraction")
            return value


@bug("accepts/stream", "stream-equals-whole")
class StreamRefusesSecondCall(Hermes):
    """Streams one call at most."""

    class live(Live):  # noqa: N801
        def call(self, call: Dict, index: int) -> Iterator[Dict]:
            if index:
                raise NotImplementedError("more than one call")
            return super().call(call, index)


@bug("accepts/parser", "total", "truncation", alone="value:empty-array")
class HangsAtEmptyList(Gemma):
    """Waits for an item that never comes."""

    class reader(GemmaReader):  # noqa: N801
        def items(self, at: int, closer: str, into: Any) -> tuple[Any, int]:
            while closer == "]" and self.text.startswith("]", at):
                pass
            return super().items(at, closer, into)


# -- round-trip -----------------------------------------------------------------------------------------------------


@bug("round-trip/parser", "marker-leak")
class SearchesTheEndTag(Hermes):
    """The first end tag ends the call, also one inside of a string."""

    class reader(TaggedReader):  # noqa: N801
        def decode(self, at: int) -> tuple[Any, int]:
            end = self.text.find(self.closer, at)
            return json.loads(self.text[at:] if end < 0 else self.text[at:end], strict=False), end if end >= 0 else len(
                self.text
            )


@bug("round-trip/parser", "schema-valid")
class StripsValues(Coder):
    """White space around an argument is taken for layout."""

    class reader(CoderReader):  # noqa: N801
        def value(self, tool: str, key: str, text: str) -> Any:
            return super().value(tool, key, text.strip())


@bug("round-trip/parser", "schema-valid")
class GuessesTypes(Coder):
    """What looks like a number is one, whatever the schema says."""

    class reader(CoderReader):  # noqa: N801
        def value(self, tool: str, key: str, text: str) -> Any:
            return int(text) if re.fullmatch(r"-?\d+", text) else super().value(tool, key, text)


@bug("round-trip/parser", "marker-leak")
class NamesAreWords(Hermes):
    r"""Finds tool names with `\w+`."""

    class reader(TaggedReader):  # noqa: N801
        def call(self, value: Any) -> Dict | None:
            call = super().call(value)
            return call if call and re.fullmatch(r"\w+", call["name"]) else None


@bug("round-trip/parser", "schema-valid", "marker-leak")
class SplitsAtCommas(Gemma):
    """Knows that strings are quoted, but not that values nest."""

    class reader(GemmaReader):  # noqa: N801
        def value(self, at: int) -> tuple[Any, int]:
            if not self.text.startswith("{", at):
                return super().value(at)
            end = self.text.index("}<tool_call|>", at)
            pairs = re.findall(r'(?:^|,)([^,:{]+):(<\|"\|>.*?<\|"\|>|[^,]*)', self.text[at + 1 : end], re.DOTALL)
            return {key: self.flat(text) for key, text in pairs}, end + 1

        def flat(self, text: str) -> Any:
            return text[5:-5] if text.startswith(self.quote) else self.bare(text)


@bug("round-trip/parser", "schema-valid")
class UnescapesTwice(Hermes):
    r"""Turns a backslash and an n that were meant as such into a newline."""

    class reader(TaggedReader):  # noqa: N801
        def call(self, value: Any) -> Dict | None:
            return super().call(strings_changed(value, lambda text: text.replace("\\n", "\n")))


@bug("round-trip/renderer")
class NumbersAreFloats(Hermes):
    """Numbers go through a double."""

    def arguments(self, call: Dict) -> Any:
        return json.loads(dumps(arguments_of(call)), parse_int=float)


@bug("round-trip/renderer")
class EscapesArguments(Hermes):
    """A template with auto-escaping."""

    def arguments(self, call: Dict) -> Any:
        return strings_changed(arguments_of(call), lambda text: html.escape(text, quote=False))


@bug("round-trip/renderer")
class ShowsFirstCall(Hermes):
    """Shows the first call of a turn only."""

    def calls(self, message: Dict) -> list[str]:
        return super().calls(message)[:1]


@bug("round-trip/self")
class WritesParameters(Hermes):
    """Writes a key that the format's readers know, but not its own."""

    def call_text(self, call: Dict) -> str:
        return super().call_text(call).replace('"arguments": ', '"parameters": ', 1)


@bug("round-trip/self", "total")
class WantsNewlines(Hermes):
    """Reads calls only in the layout that models write, and writes another."""

    class reader(TaggedReader):  # noqa: N801
        def calls_at(self, at: int, final: bool) -> Found | None:
            return super().calls_at(at, final) if self.text.startswith("\n", at) else None

    def call_text(self, call: Dict) -> str:
        return super().call_text(call).replace("<tool_call>\n", "<tool_call>", 1)


# -- key-order ------------------------------------------------------------------------------------------------------


@bug("key-order/parser")
class SortsReadKeys(Hermes):
    """Arguments land in a sorted map."""

    class reader(TaggedReader):  # noqa: N801
        def call(self, value: Any) -> Dict | None:
            return super().call(json.loads(json.dumps(value, sort_keys=True)))


@bug("key-order/renderer")
class SortsKeys(Hermes):
    """`sort_keys=True`."""

    def arguments(self, call: Dict) -> Any:
        return dict(sorted(arguments_of(call).items()))


@bug("key-order/renderer", examples=1500)
class SortsNestedKeys(Hermes):
    """An ordered map outside, plain maps inside."""

    def arguments(self, call: Dict) -> Any:
        return {key: json.loads(json.dumps(item, sort_keys=True)) for key, item in arguments_of(call).items()}


# -- marker-leak ----------------------------------------------------------------------------------------------------


@bug("marker-leak/renderer")
class LeavesResultsOpen(Hermes):
    """The turn of the results never ends."""

    def result(self, messages: Sequence[Dict], index: int) -> str:
        return super().result(messages, index).removesuffix("<|im_end|>\n")


@bug("marker-leak/renderer", "prefix-stable")
class PromptsTwice(Hermes):
    """Opens the assistant's turn once more after results."""

    def render(self, messages: Sequence[Dict], tools: Sequence[Dict], **options: Any) -> str:
        twice = options.get("add_generation_prompt") and messages and messages[-1]["role"] == "tool"
        return super().render(messages, tools, **options) + (self.generation_prompt if twice else "")


@bug("marker-leak/parser", "round-trip")
class LeavesTheEndTag(Hermes):
    """The end tag is not consumed."""

    class reader(TaggedReader):  # noqa: N801
        def calls_at(self, at: int, final: bool) -> Found | None:
            found = super().calls_at(at, final)
            return found and (found[0], found[1] - len(self.closer))


@bug("marker-leak/parser", "round-trip", "stream-equals-whole")
class LeavesTheThinkTag(Qwen3):
    """The thought is cut off before its end tag."""

    class reader(ThinkingReader):  # noqa: N801
        def read(self, final: bool) -> tuple[list[Piece], int]:
            pieces, used = super().read(final)
            thought = any(kind == "reasoning" for kind, _ in pieces)
            return ([("content", "</think>"), *pieces] if thought else pieces), used


# -- content-kept ---------------------------------------------------------------------------------------------------


@bug("content-kept/renderer", "round-trip")
class EscapesContent(Hermes):
    """A template with auto-escaping."""

    def text(self, message: Dict) -> str:
        return html.escape(super().text(message))


@bug("content-kept/renderer")
class StripsUserText(ChatML):
    """White space around what the user says is dropped."""

    def text(self, message: Dict) -> str:
        return super().text(message).strip() if message["role"] == "user" else super().text(message)


@bug("content-kept/renderer")
class ToolsReplaceSystem(Hermes):
    """With tools, the system text gets lost."""

    def head(self, system: str | None, tools: Sequence[Dict]) -> str:
        return super().head("You call tools." if tools else system, tools)


@bug("content-kept/renderer", examples=2000)
class RemovesMarkers(Hermes):
    """Cleans what users say and tools return, to the user's loss."""

    def text(self, message: Dict) -> str:
        text = super().text(message)
        return re.sub(r"<\|im_(start|end)\|>", "", text) if message["role"] in ("user", "tool") else text


@bug("content-kept/renderer")
class ReversesResults(Hermes):
    """Takes results from the end of a list."""

    def result(self, messages: Sequence[Dict], index: int) -> str:
        first = last = index
        while first and messages[first - 1]["role"] == "tool":
            first -= 1
        while last + 1 < len(messages) and messages[last + 1]["role"] == "tool":
            last += 1
        turned = [*messages[:first], *reversed(messages[first : last + 1]), *messages[last + 1 :]]
        return super().result(turned, index)


@bug("content-kept/renderer", "marker-leak")
class LosesDeveloper(Coder):
    """Knows the role no more than an empty line."""

    def render(self, messages: Sequence[Dict], tools: Sequence[Dict], **options: Any) -> str:
        return super().render(messages, tools, **options)

    def turn(self, role: str, text: str) -> str:
        return "" if role == "developer" else super().turn(role, text)


# -- tools-declared -------------------------------------------------------------------------------------------------


@bug("tools-declared/renderer", examples=1200)
class DropsEnums(Hermes):
    """Declares no allowed values."""

    def declaration(self, tool: Dict) -> str:
        return dumps(without(tool, "enum"))


@bug("tools-declared/renderer")
class CutsDescriptions(Hermes):
    """Saves tokens."""

    def declaration(self, tool: Dict) -> str:
        function = tool["function"]
        return dumps({**tool, "function": {**function, "description": (function.get("description") or "")[:12]}})


@bug("tools-declared/renderer")
class DeclaresOneTool(Hermes):
    """Declares the first tool alone."""

    def declarations(self, tools: Sequence[Dict]) -> str:
        return super().declarations(tools[:1])


@bug("tools-declared/renderer")
class DropsRequired(Gemma):
    """Every parameter looks optional."""

    def declaration(self, tool: Dict) -> str:
        return super().declaration(without(tool, "required"))


# -- deterministic --------------------------------------------------------------------------------------------------


class Sometimes(Hermes):
    """Once in eight times, as a random map order shows in a map of a few keys."""

    def __init__(self) -> None:
        self.random = random.Random(8)

    def now(self) -> bool:
        return self.random.randrange(8) == 0


@bug("deterministic/renderer", "key-order", "prefix-stable", "arguments-as-string", "round-trip")
class RendersAnyOrder(Sometimes):
    """Arguments in the order of a random map."""

    def arguments(self, call: Dict) -> Any:
        return rotated(arguments_of(call)) if self.now() else arguments_of(call)


@bug("deterministic/parser", "key-order")
class ParsesAnyOrder(Sometimes):
    """Arguments in the order of a random map, the other way."""

    def call(self, call: Dict, index: int) -> Dict:
        return super().call({**call, "arguments": rotated(call["arguments"])} if self.now() else call, index)


@bug("deterministic/renderer")
class NamesItsInstance(Hermes):
    """Every start of the server shows in the prompt."""

    starts = itertools.count()

    def __init__(self) -> None:
        self.default_system = f"You are assistant {next(self.starts)}."


# -- stream-equals-whole --------------------------------------------------------------------------------------------


@bug("stream-equals-whole/stream", examples=2500)
class NeverFlushes(Hermes):
    """What is held back at the end stays there."""

    class live(Live):  # noqa: N801
        def finish(self) -> list[Dict]:
            return []


@bug("stream-equals-whole/stream")
class HoldsNothingBack(Hermes):
    """A tag that comes in two pieces is shown to the user."""

    class live(Live):  # noqa: N801
        def feed(self, chunk: str) -> list[Dict]:
            deltas = super().feed(chunk)
            if self.reader.text and "<tool_call>" not in self.reader.text:
                deltas.append({"content": self.reader.text})
                self.reader.text = ""
            return deltas


@bug("stream-equals-whole/stream")
class NamesEveryPiece(Hermes):
    """Sends the name with each piece of the arguments."""

    class live(Live):  # noqa: N801
        def call(self, call: Dict, index: int) -> Iterator[Dict]:
            for delta in super().call(call, index):
                delta["tool_calls"][0]["function"]["name"] = call["name"]
                yield delta


@bug("stream-equals-whole/stream")
class CountsFromZeroAgain(Hermes):
    """Every call has index 0."""

    class live(Live):  # noqa: N801
        def call(self, call: Dict, index: int) -> Iterator[Dict]:
            return super().call(call, 0)


@bug("stream-equals-whole/stream")
class StripsChunks(ChatML):
    """White space at the edge of a chunk gets lost."""

    class live(Live):  # noqa: N801
        def feed(self, chunk: str) -> list[Dict]:
            return super().feed(chunk.strip())


@bug("stream-equals-whole/stream")
class StreamsThoughtsAsContent(Qwen3):
    """Knows thoughts in whole answers only."""

    class live(Live):  # noqa: N801
        def deltas(self, pieces: Sequence[Piece]) -> Iterator[Dict]:
            return super().deltas([("content" if kind == "reasoning" else kind, value) for kind, value in pieces])


@bug("stream-equals-whole/stream")
class EncodesStreamTwice(Hermes):
    """Arguments are JSON text already when they are made JSON text."""

    class live(Live):  # noqa: N801
        def call(self, call: Dict, index: int) -> Iterator[Dict]:
            return super().call({**call, "arguments": json.dumps(call["arguments"])}, index)


# -- arguments-as-string --------------------------------------------------------------------------------------------


@bug("arguments-as-string/renderer")
class EncodesTwice(Hermes):
    """Arguments that are JSON text already are encoded once more."""

    def arguments(self, call: Dict) -> Any:
        return call["function"]["arguments"]


@bug("arguments-as-string/renderer")
class WantsObjects(Hermes):
    """Goes through the items of what may be a text."""

    def arguments(self, call: Dict) -> Any:
        return dict(call["function"]["arguments"].items())


# -- ids ------------------------------------------------------------------------------------------------------------


@bug("ids/parser")
class OneId(Hermes):
    """Every call is call 0."""

    def call(self, call: Dict, index: int) -> Dict:
        return super().call(call, 0)


@bug("ids/parser")
class OneIdIsEnough(Hermes):
    """Only the first call gets an id."""

    def call(self, call: Dict, index: int) -> Dict:
        return {**super().call(call, index), **({"id": None} if index else {})}


@bug("ids/parser")
class InventsIds(Mistral):
    """Ids of its own in place of the model's."""

    def call(self, call: Dict, index: int) -> Dict:
        return {**super().call(call, index), "id": f"generated{index}"}


@bug("ids/renderer")
class BindsByPlace(Gemma):
    """The first result belongs to the first call."""

    def result(self, calls: Sequence[Dict], message: Dict, place: int) -> str:
        call = calls[min(place, len(calls) - 1)]
        return super().result(calls, {**message, "tool_call_id": call["id"]}, place)


@bug("ids/renderer")
class BindsIdsByPlace(Mistral):
    """The same where ids are on the wire."""

    def result(self, messages: Sequence[Dict], index: int) -> str:
        first = max(place for place in range(index) if messages[place]["role"] != "tool")
        calls = messages[first]["tool_calls"]
        call = calls[min(index - first - 1, len(calls) - 1)]
        turned = [*messages[:index], {**messages[index], "tool_call_id": call["id"]}, *messages[index + 1 :]]
        return super().result(turned, index)


# -- total ----------------------------------------------------------------------------------------------------------


@bug("total/parser")
class RaisesAtMalformed(Hermes):
    """Malformed JSON is the caller's problem."""

    class reader(TaggedReader):  # noqa: N801
        def calls_at(self, at: int, final: bool) -> Found | None:
            found = super().calls_at(at, final)
            if found is None and final:
                json.loads(self.text[at:].partition(self.closer)[0])
            return found


@bug("total/parser", alone="native:long-repeat")
class ScansAgain(Hermes):
    """Looks for an end tag in all of the rest, from each of the opening tags."""

    class reader(TaggedReader):  # noqa: N801
        whole = re.compile("<tool_call>(.*?)</tool_call>", re.DOTALL)

        def read(self, final: bool) -> tuple[list[Piece], int]:
            self.expected = len(self.whole.findall(self.text)) if final else 0
            return super().read(final)


@bug("total/parser", "round-trip", "stream-equals-whole")
class TakesBracketsForTags(ChatML):
    """Drops what follows an angle bracket."""

    def parse(self, text: str, tools: Sequence[Dict]) -> Dict:
        return super().parse(text.partition("<")[0], tools)


# -- no-vanishing ---------------------------------------------------------------------------------------------------


@bug("no-vanishing/parser", "truncation")
class Vanishes(Hermes):
    """A call that it cannot read comes back as nothing."""

    class reader(TaggedReader):  # noqa: N801
        def calls_at(self, at: int, final: bool) -> Found | None:
            return super().calls_at(at, final) or (([], len(self.text)) if final else None)


@bug("no-vanishing/parser", "truncation")
class DropsBadCalls(Coder):
    """A call that ends and cannot be read is thrown away."""

    class reader(CoderReader):  # noqa: N801
        def calls_at(self, at: int, final: bool) -> Found | None:
            end = self.text.find(self.closer, at)
            bad = final and end >= 0
            return super().calls_at(at, final) or (([], end + len(self.closer)) if bad else None)


# -- truncation -----------------------------------------------------------------------------------------------------


def closed(text: str) -> str:
    """JSON text with what is open in it closed."""
    closers: list[str] = []
    inside = escaped = False
    for char in text:
        if inside:
            inside = escaped or char != '"'
            escaped = not escaped and char == "\\"
        elif char == '"':
            inside = True
        elif char in "{[":
            closers.append("}" if char == "{" else "]")
        elif char in "}]" and closers:
            closers.pop()
    return text + ('"' if inside else "") + "".join(reversed(closers))


@bug("truncation/parser")
class ClosesBrackets(Hermes):
    """Repairs JSON that was cut off."""

    class reader(TaggedReader):  # noqa: N801
        def calls_at(self, at: int, final: bool) -> Found | None:
            found = super().calls_at(at, final)
            if found is not None or not final or self.closer in self.text[at:] or self.opener in self.text[at:]:
                return found
            try:
                call = self.call(json.loads(closed(self.text[at:])))
            except ValueError:
                return None
            return call and ([call], len(self.text))


@bug("truncation/parser", "no-vanishing")
class DropsCutCalls(Hermes):
    """A call without an end is thrown away."""

    class reader(TaggedReader):  # noqa: N801
        def calls_at(self, at: int, final: bool) -> Found | None:
            cut = final and self.closer not in self.text[at:]
            return super().calls_at(at, final) or (([], len(self.text)) if cut else None)


@bug("truncation/parser")
class EmptyCallsForCutOnes(Hermes):
    """A call that cannot be read is a call without name and arguments."""

    class reader(TaggedReader):  # noqa: N801
        def calls_at(self, at: int, final: bool) -> Found | None:
            empty = {"name": "", "arguments": {}, "id": None}
            cut = final and self.closer not in self.text[at:]
            return super().calls_at(at, final) or (([empty], len(self.text)) if cut else None)


@bug("truncation/parser")
class EndsOpenStrings(Gemma):
    """A string without an end, and all around it, ends with the text."""

    class reader(GemmaReader):  # noqa: N801
        def call(self, at: int, final: bool) -> tuple[Dict, int]:
            try:
                return super().call(at, final)
            except ValueError:
                if not final or self.closer in self.text[at:]:
                    raise
            rest, before = self.text[at:], self.text
            inside = rest.count(self.quote) % 2 == 1
            self.text += (self.quote if inside else "") + "}" + self.closer
            try:
                return super().call(at, final)[0], len(before)
            finally:
                self.text = before


# -- schema-valid ---------------------------------------------------------------------------------------------------


@bug("schema-valid/parser", "round-trip")
class WordsAreStrings(Gemma):
    """Knows numbers, but not true, false and null."""

    class reader(GemmaReader):  # noqa: N801
        def bare(self, text: str) -> Any:
            return text if text in ("true", "false", "null") else super().bare(text)


@bug("schema-valid/parser", "round-trip")
class AllIsText(Coder):
    """Never asks the schema."""

    class reader(CoderReader):  # noqa: N801
        def value(self, tool: str, key: str, text: str) -> Any:
            return text


# -- prefix-stable --------------------------------------------------------------------------------------------------


@bug("prefix-stable/renderer")
class CountsMessages(Hermes):
    """The system turn says how long the conversation is."""

    def render(self, messages: Sequence[Dict], tools: Sequence[Dict], **options: Any) -> str:
        self.default_system = f"You are a helpful assistant. This is message {len(messages)}."
        return super().render(messages, tools, **options)


@bug("prefix-stable/renderer", "content-kept")
class MovesSystem(ChatML):
    """The system text moves to the last question."""

    def render(self, messages: Sequence[Dict], tools: Sequence[Dict], **options: Any) -> str:
        heads = [message for message in messages[:1] if message["role"] == "system"]
        rest = list(messages[len(heads) :])
        last = max((index for index, message in enumerate(rest) if message["role"] == "user"), default=0)
        return super().render([*rest[:last], *heads, *rest[last:]], tools, **options)


# -- reference-identical --------------------------------------------------------------------------------------------


@bug("reference-identical/renderer", template=True)
class BeginsTheText(ChatML):
    """Writes the token that the tokenizer writes, too."""

    def render(self, messages: Sequence[Dict], tools: Sequence[Dict], **options: Any) -> str:
        return "<s>" + super().render(messages, tools, **options)


@bug("reference-identical/renderer", template=True)
class AddsSystem(ChatML):
    """Has a system text of its own where none is given."""

    def render(self, messages: Sequence[Dict], tools: Sequence[Dict], **options: Any) -> str:
        given = any(message["role"] in ("system", "developer") for message in messages[:1])
        head = "" if given else self.turn("system", "You are helpful.")
        return head + super().render(messages, tools, **options)
