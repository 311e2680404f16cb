"""Reads the tool calls of a Gemma 4 model: enough for our agent."""

import re

CALL = re.compile(r"<\|tool_call>call:(\w+)\{(.*?)\}<tool_call\|>", re.DOTALL)


def parse_value(text: str) -> int | float | str:
    if text.startswith('<|"|>'):
        return text.replace('<|"|>', "")
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def parse_arguments(text: str) -> dict:
    """Split on the commas that are not inside of a string."""
    arguments = {}
    part, in_string = "", False
    for piece in re.split(r'(<\|"\|>|,)', text):
        if piece == '<|"|>':
            in_string = not in_string
        if piece == "," and not in_string:
            add_argument(arguments, part)
            part = ""
        else:
            part += piece
    add_argument(arguments, part)
    return arguments


def add_argument(arguments: dict, part: str) -> None:
    key, colon, value = part.partition(":")
    if colon:
        arguments[key.strip()] = parse_value(value.strip())


class Gemma4Parser:
    dialect = "gemma4"

    def parse(self, text: str, tools: list) -> dict:
        calls = []
        for i, match in enumerate(CALL.finditer(text)):
            function = {"name": match[1], "arguments": parse_arguments(match[2])}
            calls.append({"id": f"call_{i}", "type": "function", "function": function})
        content = CALL.sub("", text).strip()
        return {"role": "assistant", "content": content or None, "tool_calls": calls}


target = Gemma4Parser()
