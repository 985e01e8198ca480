#!/usr/bin/env python3
"""Answers of a form: how many keep their schema, and how fast they come.

usage: bench_answers.py BIN_DIR [--runs N] [--seed N] [--tokens N] MODEL ...

Twenty schemas as apps write them, also with texts that have no bound, are each
asked for once greedily and N times at temperature 0.9, whole answers of
`/v1/chat/completions` with `response_format`.  Python's jsonschema says whether
an answer keeps its schema.  `closed` are valid answers that max_tokens ended.
Tokens a second are those of the answers, by the time from request to answer.
Ends with 1 if one answer was not valid.
"""
import argparse
import json
import os
import sys
import tempfile
import time

import jsonschema

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "integration"))

from test_local_api import Server  # noqa: E402

TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
FLAG = {"type": "boolean"}
TONES = {"type": "string", "enum": ["calm", "glad", "angry", "sad"]}


def has(required=None, **properties):
    return {"type": "object", "properties": properties,
            "required": list(properties) if required is None else required,
            "additionalProperties": False}


def many(items, **more):
    return {"type": "array", "items": items, **more}


SCHEMAS = {
    "a text": has(answer=TEXT),
    "a list of texts": has(steps=many(TEXT)),
    "a person": has(name=TEXT, age={"type": "integer", "minimum": 0,
                                    "maximum": 130}, email={
        "type": "string", "format": "email"}),
    "a tone": has(tone=TONES, reason=TEXT),
    "different tones": has(tones=many(TONES, uniqueItems=True, minItems=2)),
    "an address": has(street=TEXT, number=WHOLE, city=TEXT, zip={
        "type": "string", "pattern": "^[0-9]{5}$"}),
    "an order": has(id={"type": "string", "format": "uuid"}, lines=many(
        has(name=TEXT, count={"type": "integer", "minimum": 1},
            price={"type": "number", "minimum": 0}), minItems=1, maxItems=4)),
    "a meeting": has(title=TEXT, begins={"type": "string",
                                         "format": "date-time"},
                     guests=many(TEXT, maxItems=5)),
    "a verdict": has(is_right=FLAG, score={"type": "number", "minimum": 0,
                                           "maximum": 1}),
    "a text or nothing": has(note={"anyOf": [TEXT, {"type": "null"}]}),
    "labels of any name": {"type": "object", "additionalProperties": TEXT,
                           "minProperties": 1, "maxProperties": 3},
    "a point": has(x={"type": "number"}, y={"type": "number"}),
    "points": many(has(x=WHOLE, y=WHOLE), minItems=2, maxItems=6),
    "a tree": {"$ref": "#/$defs/node", "$defs": {"node": has(
        ["name"], name={"type": "string", "maxLength": 8},
        children=many({"$ref": "#/$defs/node"}, maxItems=2))}},
    "one of two": {"oneOf": [has(kind={"const": "a"}, left=WHOLE),
                             has(kind={"const": "b"}, right=TEXT)]},
    "some of many": has([], a=TEXT, b=WHOLE, c=FLAG, d=TONES),
    "a table": has(rows=many(many(WHOLE, minItems=3, maxItems=3),
                             maxItems=4)),
    "a version": has(version={"type": "string",
                              "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+$"}),
    "an alarm": has(severity={"enum": ["P1", "P2", "P3"]}, at={
        "type": "string", "format": "date"}, device={
            "type": "string", "minLength": 1, "maxLength": 12}),
    "a fixed head": has(head={"const": {"v": 1, "of": ["x"]}}, body=TEXT),
}


def ask(server, schema, temperature, seed, tokens):
    """The answer's text, its tokens, its end, and the seconds until it came."""
    began = time.monotonic()
    status, _, answer = server.call("POST", "/v1/chat/completions", {
        "messages": [{"role": "user", "content": "Answer in JSON."}],
        "temperature": temperature, "seed": seed, "max_tokens": tokens,
        "response_format": {"type": "json_schema", "json_schema": {
            "name": "answer", "schema": schema}}})
    took = time.monotonic() - began
    if status != 200:
        raise ValueError("status %d: %s" % (status, answer))
    choice = answer["choices"][0]
    return choice["message"]["content"], \
        answer["usage"]["completion_tokens"], choice["finish_reason"], took


def wrong(schema, text):
    """Why the text is no answer of the schema, or None."""
    try:
        value = json.loads(text)
    except ValueError:
        return "no JSON"
    checks = jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.FormatChecker())
    return next((error.message for error in checks.iter_errors(value)), None)


def measure(server, options):
    valid = closed = failed = tokens = 0
    seconds = 0.0
    for name, schema in SCHEMAS.items():
        for run in range(1 + options.runs):
            seed = options.seed + run
            try:
                text, count, end, took = ask(
                    server, schema, 0.9 if run else 0, seed, options.tokens)
            except ValueError as error:
                text, count, end, took = str(error), 0, None, 0
            why = wrong(schema, text)
            valid += why is None
            closed += why is None and end == "length"
            failed += why is not None
            tokens += count
            seconds += took
            if why is not None:
                print("  %s, run %d, seed %d: %s: %.200r" % (
                    name, run, seed, why, text), file=sys.stderr)
    return valid, closed, failed, tokens / seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin_dir")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=200)
    options = parser.parse_args()
    failures = 0
    print("| model | answers | valid | closed | failed | tokens/s |\n"
          "| --- | --- | --- | --- | --- | --- |", flush=True)
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            server = Server(options.bin_dir, folder, model=model)
            valid, closed, failed, speed = measure(server, options)
            server.close()
        failures += failed
        print("| %s | %d | %d | %d | %d | %.0f |" % (
            os.path.basename(model), valid + failed, valid, closed, failed,
            speed), flush=True)
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
