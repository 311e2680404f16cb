"""Tiny models for llama-server: one that ends at once, and one that says what stands in its prompt.

A server needs a model only to have something to say. Both are one layer of the `llama` architecture, with 256 byte
tokens and the special tokens of whatever format is tested: less than a megabyte, loaded in a moment.

The *eos* model gives each token but the end token the same logit, so that a reply is exactly what was prefilled. The
*parrot*'s one attention head looks a fixed number of tokens back, DELAY, and says the token there, so that it speaks
whatever text a prompt holds at that distance from its end: see `user_content`.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tcfuzz.errors import UsageError
from tcfuzz.targets.llama_cpp.gguf_file import import_gguf, read

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFWriter
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Weights = dict[str, Floats]

BYTES = 256
"""So many byte tokens come first, token N for byte N."""
CONTEXT = 131072
"""The longest context that a model claims to know; the server's own `-c` decides."""

_HEAD = 32
"""Numbers in the attention head, and bits of a token's code."""
_BASE = 100.0
"""RoPE's base. The score one token beside DELAY is 7 % less, everywhere else up to 100,000 tokens it is less still."""
_PEAK = 1000.0
"""The score at DELAY before softmax: the next best weighs e⁻⁶⁸, and half floats are still exact enough."""
_ECHO = 100.0
"""How much louder the token DELAY back is than the newest one, whose code is in the sum, too."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a tiny model: bytes, then `bos`, `eos`, `stop` and the special ones of a format.

    `control` tokens are hidden where a server hides control tokens, `plain` ones (user-defined) are one piece and
    always shown. `bos` and `eos` are control tokens whether listed or not, so is `stop`, the end-of-turn token where it
    is another than `eos`. Use `vocabulary` to make one of a format's lists.
    """

    control: tuple[str, ...]
    plain: tuple[str, ...]
    bos: str
    eos: str
    stop: str = ""

    @cached_property
    def special(self) -> tuple[str, ...]:
        """All tokens that are no bytes, in the order of their ids."""
        named = (token for token in (self.bos, self.eos, self.stop) if token)
        return tuple(dict.fromkeys((*named, *self.control, *self.plain)))

    @property
    def size(self) -> int:
        return BYTES + len(self.special)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The ids of the special tokens."""
        return {token: BYTES + index for index, token in enumerate(self.special)}

    @cached_property
    def ends(self) -> frozenset[str]:
        """The tokens at which the server ends an answer, as far as it knows them by name."""
        known = {token for token in self.special if token in _ENDS} | {self.eos, self.stop} - {""}
        if {"<|call|>", "<|return|>"} <= known or {"<|calls|>", "<|flush|>"} <= known:
            known.discard("<|end|>")
        if "<|tool_response>" in known:
            known.discard("</s>")
        return frozenset(known)

    @cached_property
    def _longest_first(self) -> tuple[str, ...]:
        return tuple(sorted(self.special, key=lambda token: -len(token.encode())))

    def encode(self, text: str) -> list[int]:
        """The ids that the server makes of a text, special tokens included.

        The longest special token takes its places first, from the left, then the next one what is left; the rest is
        bytes. Raises UnicodeEncodeError for a text that is no Unicode: no request could carry it.
        """
        parts: list[str | int] = [text]
        for token in self._longest_first:
            if token in text:
                parts = [piece for part in parts for piece in _cut(part, token, self.ids[token])]
        return [each for part in parts for each in ([part] if isinstance(part, int) else part.encode())]


_ENDS = frozenset(
    {
        *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>"),
        *("<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>"),
        *("<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~["),
        *(
            "<|fim_pad|>",
            "<fim-pad>",
            "<fim_pad>",
            "<PAD>",
            "[PAD]",
            "<|fim_repo|>",
            "<|repo_name|>",
            "<fim-repo>",
            "<REPO>",
        ),
        *("<reponame>", "<|file_sep|>"),
    }
)
"""Tokens that end an answer by their mere name, whatever a model's file says of them."""


def _cut(part: str | int, token: str, number: int) -> Iterable[str | int]:
    """A part of a text without the places of a token, and the token's id there."""
    if isinstance(part, int):
        yield part
        return
    for index, piece in enumerate(part.split(token)):
        if index:
            yield number
        if piece:
            yield piece


def vocabulary(special: Sequence[str], control: Sequence[str], bos: str, eos: str, stop: str = "") -> Vocabulary:
    """A vocabulary of a format's special tokens, those in `control` as control tokens, the others as plain ones.

    A token that a byte token is already is left out.
    """
    alone = set(_byte_texts())
    kept = [token for token in dict.fromkeys((*control, *special)) if token and token not in alone]
    hidden = {*control, bos, eos, stop}
    return Vocabulary(
        control=tuple(token for token in kept if token in hidden),
        plain=tuple(token for token in kept if token not in hidden),
        bos=bos or eos,
        eos=eos,
        stop=stop,
    )


def template_of(path: Path) -> str | None:
    """A model's chat template, that for tools where it has two. Raises UsageError for what is no GGUF model."""
    return read(path).template


def special_tokens_of(path: Path) -> Vocabulary:
    """The special tokens of a real model. Raises UsageError for what is no GGUF model, or names no end of a text."""
    said = read(path)
    end = said.eos or said.stop
    if not end:
        raise UsageError(f"{path}: the model names no token that ends a text: give its template as a .jinja file")
    return vocabulary(said.plain, said.control, said.bos, end, said.stop if said.eos else "")


def user_content(vocabulary: Vocabulary, text: str, stop: str, tail: str, delay: int) -> str | None:
    """The user's message that makes a parrot of this delay answer with `text` and then stop.

    `tail` is what the prompt holds behind that message's content, `stop` the token that ends an answer. None where
    text, stop and tail are more than `delay` tokens together, where they would run into each other as tokens, or where
    the text holds a token that ends the answer early.
    """
    wanted = vocabulary.encode(text + stop)
    padding = delay - len(wanted) - len(vocabulary.encode(tail))
    if padding < 0 or any(vocabulary.ids[token] in wanted[:-1] for token in vocabulary.ends):
        return None
    content = f".{text}{stop}{'.' * padding}"  # the dot in front is for templates that strip a message
    seen = vocabulary.encode(content + tail)
    return content if seen[1 : 1 + len(wanted)] == wanted and len(seen) == delay + 1 else None


def write_eos(path: Path, vocabulary: Vocabulary, template: str | None = None) -> None:
    """Write the model that ends at once, as a whole file or not at all; the same bytes for the same vocabulary.

    Raises TargetUnavailable without the packages of `tcfuzz[llama-cpp]`, UsageError where the file cannot be written.
    """
    import_gguf()
    import numpy as np

    weights = _silent(vocabulary, width=_NARROW, head=_NARROW)
    weights["token_embd"] = np.ones((vocabulary.size, _NARROW), np.float32)
    weights["output"][vocabulary.ids[vocabulary.stop or vocabulary.eos]] = 1.0
    _write(path, "tcfuzz eos", vocabulary, weights, _NARROW, template)


def write_parrot(path: Path, vocabulary: Vocabulary, delay: int, template: str | None = None) -> None:
    """Write the model that says, at temperature 0, the token `delay` positions back; otherwise as `write_eos`.

    It is exact for delays up to 8192 in contexts of twice that.
    """
    import_gguf()
    import numpy as np

    width = _HEAD + 1  # a token's code, and a one that query and key are made of
    codes = np.array(_codes(_texts(vocabulary)), np.float32)
    weights = _silent(vocabulary, width, _HEAD)
    weights["token_embd"] = np.hstack([codes, np.ones((vocabulary.size, 1), np.float32)])
    weights["output"][:, :_HEAD] = codes
    weights["blk.0.attn_q"][:, _HEAD] = _query(delay - 1)
    weights["blk.0.attn_k"][0::2, _HEAD] = 1.0
    weights["blk.0.attn_v"][:, :_HEAD] = np.eye(_HEAD)
    weights["blk.0.attn_output"][:_HEAD] = np.eye(_HEAD) * _ECHO
    _write(path, f"tcfuzz parrot {delay}", vocabulary, weights, _HEAD, template)


_NARROW = 2
"""The width of a model that has nothing to say."""


def _query(distance: int) -> Floats:
    """The query whose product with the key is greatest at so many tokens back, and there `_PEAK` when scaled.

    Each pair of numbers is turned by RoPE with its own speed. A query that is turned back by a distance agrees in all
    its pairs with the key at that distance, and with no other.
    """
    import numpy as np

    speeds = _BASE ** (-np.arange(0, _HEAD, 2) / _HEAD)
    strength = _PEAK * np.sqrt(_HEAD) / (_HEAD / 2)
    query = np.zeros(_HEAD)
    query[0::2] = strength * np.cos(-speeds * distance)
    query[1::2] = strength * np.sin(-speeds * distance)
    return query.astype(np.float32)


def _codes(tokens: Iterable[bytes]) -> list[list[int]]:
    """A code for each token, no two the same: as many ones and minus ones as the head has numbers."""
    numbers: dict[int, None] = {}
    for token in tokens:
        code = _hash(token)
        while code in numbers:
            code = _hash(token := token + b"\xff")
        numbers[code] = None
    return [[1 if code >> place & 1 else -1 for place in range(_HEAD)] for code in numbers]


def _hash(token: bytes) -> int:
    return int.from_bytes(hashlib.sha256(token).digest()[: _HEAD // 8], "big")


def _texts(vocabulary: Vocabulary) -> list[bytes]:
    """What each token stands for, with a byte that no text has behind special tokens: `a` may be one, too."""
    return [bytes([each]) for each in range(BYTES)] + [token.encode() + b"\xff" for token in vocabulary.special]


def _silent(vocabulary: Vocabulary, width: int, head: int) -> Weights:
    """The weights of a layer that adds nothing, before an output that knows no token."""
    import numpy as np

    def zeros(*shape: int) -> Floats:
        return np.zeros(shape, np.float32)

    return {
        "token_embd": zeros(vocabulary.size, width),
        "output_norm": np.ones(width, np.float32),
        "output": zeros(vocabulary.size, width),
        "blk.0.attn_norm": np.ones(width, np.float32),
        "blk.0.attn_q": zeros(head, width),
        "blk.0.attn_k": zeros(head, width),
        "blk.0.attn_v": zeros(head, width),
        "blk.0.attn_output": zeros(width, head),
        "blk.0.ffn_norm": np.ones(width, np.float32),
        "blk.0.ffn_gate": zeros(1, width),
        "blk.0.ffn_up": zeros(1, width),
        "blk.0.ffn_down": zeros(width, 1),
    }


def _write(path: Path, name: str, vocabulary: Vocabulary, weights: Weights, head: int, template: str | None) -> None:
    """A GGUF file beside its place, then moved there."""
    stage = ""
    try:
        handle, stage = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        os.close(handle)
        _fill(stage, name, vocabulary, weights, head, template)
        Path(stage).replace(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error}): name another folder") from None
    finally:
        if stage:
            Path(stage).unlink(missing_ok=True)


def _fill(stage: str, name: str, vocabulary: Vocabulary, weights: Weights, head: int, template: str | None) -> None:
    gguf = import_gguf()
    writer = gguf.GGUFWriter(stage, "llama")
    writer.add_name(name)
    writer.add_block_count(1)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(weights["token_embd"].shape[1])
    writer.add_feed_forward_length(1)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(_BASE)
    writer.add_layer_norm_rms_eps(1e-6)
    _add_tokens(writer, vocabulary)
    if template is not None:
        writer.add_chat_template(template)
    for tensor, values in weights.items():
        writer.add_tensor(f"{tensor}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokens(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    kinds = import_gguf().TokenType
    plain = set(vocabulary.plain) - {vocabulary.bos, vocabulary.eos, vocabulary.stop}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*_byte_texts(), *vocabulary.special])
    writer.add_token_types(
        [kinds.NORMAL] * BYTES
        + [kinds.USER_DEFINED if token in plain else kinds.CONTROL for token in vocabulary.special]
    )
    writer.add_token_merges(["!! !!"])  # one must be there; no text starts with pieces of two characters
    writer.add_bos_token_id(vocabulary.ids[vocabulary.bos])
    writer.add_eos_token_id(vocabulary.ids[vocabulary.eos])
    if vocabulary.stop:
        writer.add_eot_token_id(vocabulary.ids[vocabulary.stop])
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)


def _byte_texts() -> list[str]:
    """How byte-level vocabularies write each byte: printable Latin-1 as it is, the others from U+0100 on."""
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(BYTES) if byte not in shown]
    return [chr(byte if byte in shown else 0x100 + hidden.index(byte)) for byte in range(BYTES)]
