"""Parts that the programs of Python packages share: the server, a question, a
tool, and how the result of each call is told.

A program runs in the environment of its packages, knows nothing of pytest, and
prints a line of JSON for each call: its name and its error, if it has one."""
import asyncio
import importlib.metadata
import inspect
import json
import os
import sys
import traceback

URL = os.environ["FLOTILLA_URL"]  # http://127.0.0.1:PORT
KEY = os.environ["FLOTILLA_KEY"]
MODEL = "caller"  # calls a tool where there is one: ../reciter.py
VECTORS = "tiny"
RANKER = "ranker"
QUESTION = "What is the weather in Paris?"
ASKED = [{"role": "user", "content": QUESTION}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}},
        "required": ["city"], "additionalProperties": False}
TOOL = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a city.",
    "parameters": CITY}}
IMAGE = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/"
         "iZk9HQAAAABJRU5ErkJggg==")

calls = {}


def call(function):
    """A row of the table in calls.py, of the same name."""
    calls[function.__name__] = function
    return function


def same(seen, wanted):
    assert seen == wanted, "%r is not %r" % (seen, wanted)


def is_city(arguments):
    """Arguments, parsed, are as the schema says."""
    same(set(arguments), {"city"})
    assert arguments["city"] and isinstance(arguments["city"], str), arguments


def refused(kind, words, ask):
    """Asking raises the client's own error, with these words."""
    try:
        ask()
    except kind as error:
        assert words in str(error), error
    else:
        raise AssertionError("it was answered")


def versions(packages):
    return {name: importlib.metadata.version(name) for name in packages}


def main(*packages):
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # some print advice
    print(json.dumps({"versions": versions(packages)}), file=told, flush=True)
    loop = asyncio.new_event_loop()  # of all: a client belongs to one
    for name in sys.argv[1:] or calls:
        error = None
        try:
            found = calls[name]()
            if inspect.iscoroutine(found):
                loop.run_until_complete(found)
        except Exception:
            error = traceback.format_exc()
        print(json.dumps({"call": name, "error": error}), file=told,
              flush=True)
    os._exit(0)  # some leave threads behind that send statistics
