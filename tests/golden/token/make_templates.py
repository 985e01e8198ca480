#!/usr/bin/env python3
"""The texts that jinja2 makes of templates/*.jinja, for test_jinja.c: run by
hand.

usage: make_templates.py   (needs python3-jinja2; writes templates/*.txt)

The environment is the one in which published templates are rendered.  A
conversation that the template refuses gives the line REFUSED."""
import json
import pathlib

import jinja2
import jinja2.ext
import jinja2.sandbox


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


def raise_exception(message):
    raise jinja2.TemplateError(message)


def tojson(value, indent=None, ensure_ascii=False):
    return json.dumps(value, indent=indent, ensure_ascii=ensure_ascii)


def main():
    folder = pathlib.Path(__file__).parent / "templates"
    talks = json.loads((folder / "conversations.json").read_text())
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", Generation])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    with (folder / "conversations.txt").open("w") as file:
        for talk in talks:
            words = [f"{r} {c.encode().hex() or '-'}" for r, c in talk]
            print(*words, file=file)
    for path in sorted(folder.glob("*.jinja")):
        template = env.from_string(path.read_text())
        out = []
        for talk in talks:
            messages = [{"role": r, "content": c} for r, c in talk]
            try:
                text = template.render(
                    messages=messages, tools=None, documents=None,
                    add_generation_prompt=True, bos_token="<s>",
                    eos_token="</s>")
                out.append(text.encode().hex())
            except jinja2.TemplateError as error:
                assert not isinstance(error, jinja2.UndefinedError), (path, error)
                out.append("REFUSED")
        path.with_suffix(".txt").write_text("\n".join(out) + "\n")


main()
