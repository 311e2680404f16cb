"""docs/dialects.md is true: its table is the registry's, its steps work on the format of docs/writing-a-dialect.md."""

import importlib.util
import re
import sys
import types
from pathlib import Path

import pytest

from tcfuzz import dialects
from tests import proofs

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TEMPLATE = """\
{%- if tools %}{{ "[[tools]]" }}
    {%- for tool in tools %}{{ (tool | tojson) + ("" if loop.last else "\\n") }}{% endfor %}
    {{- "[[end]]\\n" }}
{%- endif %}
{%- for message in messages %}
    {{- "[[" + message.role + "]]" + (message.content or "") }}
    {%- for call in message.tool_calls or [] %}
        {{- "[[call]]" + call.function.name + "\\n" + (call.function.arguments | tojson) + "[[/call]]" }}
    {%- endfor %}
    {{- "[[end]]\\n" }}
{%- endfor %}
{%- if add_generation_prompt %}{{ "[[assistant]]" }}{% endif %}
"""


def writer():
    spec = importlib.util.spec_from_file_location("docs_dialects", DOCS / "dialects.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code(page, language):
    (body,) = re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return body


def test_the_table_is_up_to_date():
    written = (DOCS / "dialects.md").read_text("utf-8")
    assert written == writer().page(), "run: python docs/dialects.py"


def test_a_row_for_every_dialect():
    rows = re.findall(r"^\| `(.*?)` \|", writer().table(), re.MULTILINE)
    assert tuple(rows) == dialects.names()


def test_comparisons_are_told_from_examples():
    proof = writer()._proof
    assert proof(dialects.get("gemma4-large")).startswith("[gemma4_31b_chat_template](../tests/integration/")
    assert "command-r7b" in proof(dialects.get("command-r7b"))
    assert proof(dialects.get("llama4")).startswith("examples: [")


@pytest.fixture
def brackets(monkeypatch):
    module = types.ModuleType("tcfuzz.dialects.brackets")
    exec(code("writing-a-dialect.md", "python"), vars(module))
    monkeypatch.setitem(sys.modules, "tcfuzz.dialects.brackets", module)
    return module.Brackets


@pytest.mark.parametrize(
    "broken", [None, ("[[end]]\\n", "[[end]]"), ('tojson) + "[[/call]]"', 'tojson(indent=1)) + "[[/call]]"')]
)
def test_the_proof_of_the_page_proves(broken, brackets, monkeypatch, tmp_path):
    (tmp_path / "brackets.jinja").write_text(TEMPLATE.replace(*broken) if broken else TEMPLATE, "utf-8")
    monkeypatch.setattr(proofs, "TEMPLATES", tmp_path)
    namespace = {"__name__": "test_template_brackets"}
    exec(code("dialects.md", "python"), namespace)
    (proof,) = namespace["PROOFS"]
    if broken is None:
        namespace["test_prompts_are_the_templates_byte_for_byte"](proof)
        namespace["test_a_reply_is_what_the_template_adds"](proof)
    else:
        with pytest.raises(AssertionError, match="seed"):
            namespace["test_prompts_are_the_templates_byte_for_byte"](proof)


def test_the_first_look_of_the_page_renders(brackets, monkeypatch, tmp_path, capsys):
    (tmp_path / "chat_template.jinja").write_text(TEMPLATE, "utf-8")
    monkeypatch.chdir(tmp_path)
    exec(code("dialects.md", "py"), {"__name__": "look"})
    assert '[[call]]add\n{"b": 2, "a": "x", "c": null}[[/call]]' in capsys.readouterr().out
