"""Proves the dialects: each against itself, with its own markers in every place, each parser against mutated texts,
each stream against the whole text.

python .ci/prove.py [--examples N] [--texts N] [--seed N] [DIALECT …]      (three to four minutes a dialect)

Four lines a dialect. Exit code 1 on any finding, whose details follow it.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence

from tcfuzz import dialects, oracles, strategies
from tcfuzz.campaign import judge
from tcfuzz.case import Case, Json, Message, Tool, ToolCall
from tcfuzz.deltas import collect
from tcfuzz.dialects import Dialect
from tcfuzz.diff import message_difference
from tcfuzz.finding import Fail
from tcfuzz.observation import Observation
from tcfuzz.oracles.stream import atoms_of, chunkings
from tcfuzz.strategies.conversations import Profile, build, tape_sizes
from tcfuzz.strategies.native import GARBAGE, OPENINGS, STRAY_SPACES
from tcfuzz.targets.local import LocalTarget, stream

EXAMPLES = TEXTS = 20_000
SHOWN = 5
LONGEST_IN_CHARACTERS = 2_000
"""Longer texts are streamed in larger pieces: one character at a time says nothing new there."""
EVERY_SPLIT = 50
"""Of so many texts one is split in two at every place."""


# -- against itself ----------------------------------------------------------------------------------------------------


def campaign(name: str, examples: int, seed: int) -> tuple[str, str]:
    """What `tcfuzz target local:NAME` says in one line, and all of it where that is not green."""
    with tempfile.TemporaryDirectory() as crashers:
        typed = ["target", f"local:{name}", "--max-examples", str(examples), "--seed", str(seed)]
        typed += ["--crashers", crashers]
        ran = subprocess.run([sys.executable, "-m", "tcfuzz", *typed], capture_output=True, text=True, check=False)
    last = next((line for line in ran.stdout.splitlines() if line.startswith(("ok ", "FAIL "))), "nothing was tested")
    verdicts = [line for line in ran.stdout.splitlines() if f"local:{name}: " in line] or [last]
    return verdicts[-1], "" if ran.returncode == 0 else f"{ran.stdout}{ran.stderr}(exit code {ran.returncode})"


# -- with its own markers in every place -------------------------------------------------------------------------------

TOOL = Tool("f", "Does it.", {"type": "object", "properties": {"a": {"type": "string"}, "n": {"type": "integer"}}})
QUESTION, CALLED = Message("user", "Hi."), ToolCall("f", {"a": "s"}, "call00000")
RULES = ("accepts", "round-trip", "key-order", "marker-leak", "content-kept", "no-vanishing", "prefix-stable")


def around(marker: str) -> tuple[str, ...]:
    """A marker alone, and with something at either side."""
    return marker, f"{marker}x", f"x{marker}", f"x\n{marker}\nx", f" {marker}", f"\n\n{marker}"


def histories(text: str) -> Iterator[tuple[Message, ...]]:
    """What a reply may follow: a question, a directed one, an earlier answer, a result."""
    yield (Message("user", text),)
    yield Message("system", text), QUESTION
    yield QUESTION, Message("assistant", text, "b"), QUESTION
    yield QUESTION, Message("assistant", "", "b", (CALLED,)), Message("tool", text, None, (), CALLED.id, CALLED.name)


def replies(text: str) -> Iterator[Message]:
    """A text as content, thought and argument, with and without a thought and a call beside it."""
    for calls in ((), (CALLED,)):
        yield from (Message("assistant", text, thought, calls) for thought in (None, "b"))
        yield Message("assistant", None if calls else "A", text, calls)
    for arguments in ({"a": text, "n": 1}, {"n": 1, text: "s"}):
        for thought in (None, "b"):
            yield Message("assistant", None, thought, (ToolCall("f", arguments, "call00001"),))


def placed(dialect: Dialect) -> Iterator[Case]:
    """Cases with each marker of a dialect in each place, under each value of each option."""
    traits = dialect.traits
    tools = () if traits.max_calls == 0 else (TOOL,)
    options: list[dict[str, Json]] = [{}, *({name: v} for name, values in traits.options.items() for v in values)]
    texts = [marker.text for marker in dialect.markers]
    for marker in dict.fromkeys([*texts, *(text.strip() for text in texts)]):
        told = [(history, reply) for text in around(marker) for history in histories("x") for reply in replies(text)]
        told += [(history, reply) for history in histories(marker) for reply in replies("A")]
        for history, reply in told:
            if not ((reply.tool_calls and not tools) or (reply.reasoning_content and not traits.reasoning)):
                spoken = history if tools else tuple(m for m in history if m.role != "tool" and not m.tool_calls)
                yield from (Case(tools, spoken, reply, chunks=(1,), options=chosen) for chosen in options)


def findings_of(dialect: Dialect) -> tuple[int, list[str]]:
    """How many such cases there are, and what is found in them."""
    rules = [oracle for oracle in oracles.registry if oracle.id in RULES]
    found: list[str] = []
    count = 0
    for case in placed(dialect):
        count += 1
        for rule, verdict in judge(Observation(case, LocalTarget(dialect)), rules):
            if isinstance(verdict, Fail):
                said = ", ".join(f"{finding.kind} ({finding.blame})" for finding in verdict.findings)
                found.append(f"{rule.id}: {said}: {case.reply} after {case.messages}, {dict(case.options)}")
    return count, found


# -- against mutated texts ---------------------------------------------------------------------------------------------


def mutated(dialect: Dialect, count: int, seed: int) -> Iterator[Case]:
    """Cases whose texts are damaged on purpose: replies damaged by the strategies, then further, by no plan at all."""
    choose = random.Random(f"{dialect.name} {seed}")
    native = strategies.feature_ids(dialect, utf8=False, native=True)
    formed = strategies.feature_ids(dialect, utf8=False)
    for number in range(count):
        chosen = choose.sample(native, choose.randint(1, 3)) + choose.sample(formed, choose.randint(0, 3))
        profile = Profile(
            dialect, frozenset(chosen), size="medium" if number % 50 == 0 else "small", utf8=False, native=True
        )
        suited = [feature for feature in strategies.registry if feature.id in profile.features]
        case = build(profile, suited, tuple(choose.randbytes(size) for size in tape_sizes(len(suited))))
        text = case.text or ""
        yield case.with_(text=battered(text, dialect, choose) if number % 2 else text)


def battered(text: str, dialect: Dialect, choose: random.Random) -> str:
    """A text with pieces cut out, doubled, moved and put in."""
    pieces = [*(marker.text for marker in dialect.markers), *GARBAGE, *OPENINGS, *STRAY_SPACES, "x", "1", "null"]
    for _ in range(choose.randint(1, 6)):
        start, end = sorted(choose.choices(range(len(text) + 1), k=2))
        piece = choose.choice((choose.choice(pieces), text[start:end], choose.choice(pieces)[:-1], ""))
        at = choose.randint(0, len(text))
        text = text[:at] + piece + text[at:] if choose.random() < 0.5 else text[:start] + piece + text[end:]
        text = text[:20_000]
    return text


def ways(case: Case, dialect: Dialect, number: int) -> Iterator[tuple[str, ...]]:
    """The chunkings of a text that are tried."""
    text = case.text or ""
    if len(text) > LONGEST_IN_CHARACTERS:
        size = 1 + len(text) // 500
        yield tuple(text[at : at + size] for at in range(0, len(text), size))
        return
    cuts = (2, len(text)) if number % EVERY_SPLIT == 0 and len(text) < 400 else (2,)
    yield from chunkings(text, atoms_of(text, dialect.special_tokens), list(text), case.chunks, cuts)


def texts(dialect: Dialect, count: int, seed: int) -> tuple[list[str], list[str], int]:
    """Where the parser raises, where a stream differs from the whole, and how many streams were read."""
    raised: list[str] = []
    differs: list[str] = []
    streams = 0
    for number, case in enumerate(mutated(dialect, count, seed)):
        text = case.text or ""
        try:
            whole = dialect.parse(text, case.tools)
        except Exception:  # noqa: BLE001 - any error is a finding
            raised.append(f"{text!r}: {traceback.format_exc().splitlines()[-1]}")
            continue
        for chunks in ways(case, dialect, number):
            streams += 1
            difference = streamed_otherwise(dialect, case, chunks, whole)
            if difference:
                differs.append(f"{chunks!r}: {difference}")
                break
    return raised, differs, streams


def streamed_otherwise(dialect: Dialect, case: Case, chunks: Sequence[str], whole: Message) -> str:
    """How a stream differs from the whole text; empty where it does not."""
    try:
        deltas = [delta for some in stream(dialect, chunks, case.tools) for delta in some]
    except Exception:  # noqa: BLE001
        return traceback.format_exc().splitlines()[-1]
    message, complaints = collect(deltas)
    found = message_difference(whole, message)
    if found is not None:
        return f"{found.kind} at {found.path}: {found.expected!r}, streamed {found.actual!r}"
    return "; ".join(complaint.text for complaint in complaints)


# -- one line each -----------------------------------------------------------------------------------------------------


def line(good: bool, name: str, what: str) -> None:
    print(f"{'ok  ' if good else 'FAIL'} {name}: {what}", flush=True)


def proven(name: str, arguments: argparse.Namespace) -> bool:
    """Whether all four proofs of a dialect hold."""
    dialect = dialects.get(name)
    said, report = campaign(name, arguments.examples, arguments.seed)
    line(not report, name, said.partition(": ")[2] or said)
    print(report, end="\n" if report else "")
    count, found = findings_of(dialect)
    line(not found, name, f"{count:,} cases with its own markers, {len(found)} findings")
    started = time.monotonic()
    raised, differs, streams = texts(dialect, arguments.texts, arguments.seed)
    seconds = time.monotonic() - started
    line(not raised, name, f"{arguments.texts:,} mutated texts, the parser raises for {len(raised)} of them")
    line(not differs, name, f"{streams:,} streams in {seconds:.0f} s, {len(differs)} say other than the whole text")
    for finding in [*found[:SHOWN], *raised[:SHOWN], *differs[:SHOWN]]:
        print(f"     {finding[:2000]}")
    return not (report or found or raised or differs)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=EXAMPLES, help=f"cases against itself ({EXAMPLES:,})")
    parser.add_argument("--texts", type=int, default=TEXTS, help=f"mutated texts ({TEXTS:,})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("names", metavar="DIALECT", nargs="*", help="all of them where none is named")
    arguments = parser.parse_args()
    results = [proven(name, arguments) for name in arguments.names or dialects.names()]
    print(f"{len(results)} dialects, {results.count(False)} with findings")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
