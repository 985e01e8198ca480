#!/usr/bin/env python3
"""Calls of tools: how many keep their schema, plain and streamed.

usage: bench_calls.py BIN_DIR [--runs N] [--seed N] MODEL[=TEMPLATE] ...

Each of 20 tools is asked for N times, in turn with `required` and by its name,
plain and as a stream, at temperature 0.9.  Python's jsonschema says whether
arguments keep the schema.  A call that max_tokens ended must say `length`:
`closed` are those whose JSON is whole and valid all the same, `cut` the others.
Prints a row for each model and each failure with its seed, and ends with 1 if
one call did not fit.
"""
import argparse
import collections
import json
import os
import sys
import tempfile
import time

import jsonschema

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from test_local_api import Server  # noqa: E402

TOKENS = 500
CONTEXT = 2048
WORD = {"type": "string", "maxLength": 12}
COUNT = {"type": "integer", "minimum": 0, "maximum": 99}
PLACE = {"type": "object", "properties": {"name": WORD, "x": COUNT},
         "required": ["name", "x"], "additionalProperties": False}


def takes(required=None, **properties):
    return {"type": "object", "properties": properties,
            "required": list(properties) if required is None else required,
            "additionalProperties": False}


SCHEMAS = {
    "nothing": takes(),
    "find_city": takes(city=WORD),
    "wait_days": takes(days={"type": "integer", "minimum": 1, "maximum": 9}),
    "set_heat": takes(celsius={"type": "number", "minimum": -5,
                               "maximum": 40}),
    "use_unit": takes(unit={"type": "string", "enum": ["C", "F", "K"]}),
    "switch": takes(lamp=WORD, on={"type": "boolean"}),
    "maybe": takes([], a=WORD, b={"type": "boolean"}, c=COUNT),
    "tag": takes(tags={"type": "array", "items": WORD, "minItems": 1,
                       "maxItems": 3}),
    "add_all": takes(numbers={"type": "array", "items": COUNT,
                              "maxItems": 5}),
    "go_to": takes(place=PLACE),
    "route": takes(stops={"type": "array", "items": PLACE, "minItems": 1,
                          "maxItems": 2}),
    "refer": {**takes(at={"$ref": "#/$defs/place"}),
              "$defs": {"place": PLACE}},
    "on_day": takes(day={"type": "string", "format": "date"}),
    "at_time": takes(time={"type": "string", "format": "date-time"}),
    "by_code": takes(code={"type": "string",
                           "pattern": "^[A-Z]{2}-[0-9]{3}$"}),
    "either": takes(value={"anyOf": [COUNT, {"type": "null"}]}),
    "note": takes(text={"type": ["string", "null"], "maxLength": 12},
                  more={"anyOf": [WORD, {"type": "null"}]}),
    "fixed": takes(kind={"const": "alarm"}, level={"enum": [1, 2, 3]}),
    "order": takes(["id", "items"], id=COUNT, items={
        "type": "array", "minItems": 1, "maxItems": 2, "items": takes(
            name=WORD, count=COUNT, gift={"type": "boolean"})},
        note=WORD, paid={"type": "boolean"}),
    "many": takes(a=WORD, b=COUNT, c={"type": "boolean"}, d=WORD,
                  e={"type": "number", "minimum": 0, "maximum": 1}, f=WORD,
                  g={"type": "array", "items": {"type": "boolean"},
                     "maxItems": 4}, h={"type": "null"}),
}
TOOLS = {name: {"type": "function", "function": {
    "name": name, "description": "Does " + name.replace("_", " "),
    "parameters": schema}} for name, schema in SCHEMAS.items()}
VALIDATORS = {
    name: jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.FormatChecker())
    for name, schema in SCHEMAS.items()}


def ask(server, body):
    """Calls as (name, arguments) and the reason of the end."""
    status, _, answer = server.call("POST", "/v1/chat/completions", body)
    if status != 200:
        raise ValueError("status %d: %s" % (status, answer))
    if not body["stream"]:
        choice = answer["choices"][0]
        return [(c["function"]["name"], c["function"]["arguments"])
                for c in choice["message"].get("tool_calls", ())], \
            choice["finish_reason"]
    calls, reason = [], None
    if not answer.endswith("data: [DONE]\n\n"):
        raise ValueError("a stream without an end")
    for line in answer.split("\n"):
        if not line.startswith("data: {"):
            continue
        choice = json.loads(line[6:])["choices"][0]
        reason = choice["finish_reason"] or reason
        for delta in choice["delta"].get("tool_calls", ()):
            if "id" in delta:
                if delta["index"] != len(calls):
                    raise ValueError("calls out of order")
                calls.append((delta["function"]["name"], ""))
            name, before = calls[delta["index"]]
            calls[delta["index"]] = (name, before
                                     + delta["function"]["arguments"])
    return calls, reason


def whole(name, calls):
    """Why a call does not fit, or None."""
    if not calls:
        return "no call"
    for called, arguments in calls:
        if called != name:
            return "a call of %r" % called
        try:
            value = json.loads(arguments)
        except ValueError:
            return "no JSON: %r" % arguments
        for error in VALIDATORS[name].iter_errors(value):
            return "%s: %r" % (error.message, arguments)
    return None


def one(server, name, run, seed):
    """good, closed or cut; ValueError: it failed."""
    named = {"type": "function", "function": {"name": name}}
    calls, reason = ask(server, {
        "messages": [{"role": "user", "content": "Use a tool."}],
        "tools": [TOOLS[name]], "tool_choice": named if run & 2 else "required",
        "stream": bool(run & 1), "temperature": 0.9, "seed": seed,
        "max_tokens": TOKENS, "parallel_tool_calls": run % 8 >= 4})
    why = whole(name, calls)
    if reason == "length":
        return "cut" if why else "closed"
    if why or reason != "tool_calls":
        raise ValueError(why or "finish_reason %r" % reason)
    return "good"


def measure(server, options):
    found = collections.Counter()
    for place, name in enumerate(SCHEMAS):
        for run in range(options.runs):
            seed = options.seed + place * options.runs + run
            try:
                found[one(server, name, run, seed)] += 1
            except ValueError as error:
                found["failed"] += 1
                print("  %s, run %d, seed %d: %s" % (
                    name, run, seed, str(error)[:300]), file=sys.stderr)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin_dir")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    failed = 0
    print("seeds %d to %d\n" % (
        options.seed, options.seed + options.runs * len(SCHEMAS) - 1))
    print("| model | calls | valid | closed | cut | failed | s |\n"
          "| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for entry in options.models:
        model, _, template = entry.partition("=")
        name = os.path.basename(model)
        if template:
            name += ", " + (template.split("/")[-2] if "/" in template
                            else template)
        with tempfile.TemporaryDirectory() as folder:
            more = ("--template", template) if template else ()
            server = Server(options.bin_dir, folder, model=model,
                            options=("--context", str(CONTEXT), *more))
            began = time.monotonic()
            found = measure(server, options)
            took = time.monotonic() - began
            server.close()
        failed += found["failed"]
        print("| %s | %d | %d | %d | %d | %d | %.0f |" % (
            name, found.total(), found["good"], found["closed"], found["cut"],
            found["failed"], took), flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
