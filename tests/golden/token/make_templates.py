#!/usr/bin/env python3
"""The texts that jinja2 makes of templates/*.jinja and tools/*.jinja, for
test_jinja.c: run by hand.

usage: make_templates.py   (needs python3-jinja2; writes templates/*.txt and
                            tools/*.json)

The environment is the one in which published templates are rendered.  A
conversation that the template refuses gives the line REFUSED, or the word in
place of a text.  tools/cases.json has tools once; a case says how many of them
it has.  null: jinja2 fails in another way, which is not compared."""
import datetime
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


def tojson(value, ensure_ascii=False, indent=None, separators=None,
           sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent,
                      separators=separators, sort_keys=sort_keys)


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", Generation])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env


def with_tools(folder):
    env = environment()
    known = json.loads((folder / "cases.json").read_text())
    now = datetime.datetime.fromisoformat(known["now"])
    env.globals["strftime_now"] = now.strftime
    for path in sorted(folder.glob("*.jinja")):
        template, out = env.from_string(path.read_text()), {}
        for case in json.loads(json.dumps(known["cases"])):
            name = case.pop("case")
            names = {"tools": None, "documents": None,
                     "add_generation_prompt": True, **case,
                     "bos_token": known["bos_token"],
                     "eos_token": known["eos_token"]}
            if "tools" in case:
                names["tools"] = known["tools"][:case["tools"]]
            try:
                out[name] = template.render(**names)
            except (TypeError, jinja2.UndefinedError):
                out[name] = None
            except jinja2.TemplateError:
                out[name] = "REFUSED"
        path.with_suffix(".json").write_text(json.dumps(out, indent=0) + "\n")


def main():
    with_tools(pathlib.Path(__file__).parent / "tools")
    folder = pathlib.Path(__file__).parent / "templates"
    talks = json.loads((folder / "conversations.json").read_text())
    env = environment()
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
