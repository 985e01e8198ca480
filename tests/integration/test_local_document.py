"""The OpenAPI document of the local API is true: schemathesis makes requests
from it, good and bad, and looks for an answer that it does not allow.  It names
each path, and a response has what Open Responses asks for."""
import json
import os
import re
import subprocess

import pytest

from responses_parts import ITEM, RESPONSE
from test_apps import write
from test_local_api import MODEL, ROOT, Server
from test_openapi import EXAMPLES, SEED, drawn, tool
from waits import HANG_S, ended

PATH = os.path.join(ROOT, "proto", "openapi", "local.json")
with open(PATH, encoding="utf-8") as file:
    DOCUMENT = json.load(file)
SCHEMAS = DOCUMENT["components"]["schemas"]
# A well-formed body may still ask for what the model cannot: a schema that the
# grammar has no form for, a conversation longer than its context, the result
# of a call that nobody made.  The numbers are not for apps, and a model
# without a release has no assets to read.
CONFIG = """
[generation]
allow-x00 = false
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404", "429", "503"]
[[operations]]
include-name = "GET /metrics"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401"]
[[operations]]
include-tag = "assets"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "403", "404"]
"""
# The methods of input_tokens are also those of a response with that id.
EXCLUDED = "unsupported_method,allow_header_conformance"
PROBER = "0123456789abcdef-prober"
# One turn is played, which the tree draws.
TURNS = (("coverage", "openai", "flotilla", "assets"),
         ("coverage,stateful", "responses", "batches"),
         ("coverage", "anthropic", "ollama"),
         ("fuzzing",))
TAGS = {tag for _, *tags in TURNS for tag in tags}


def serve(bin_dir, folder):
    """A server that has all of it on.  Whatever a body asks for, its answer
    ends soon: the token's answers have a limit."""
    token = write(os.path.join(folder, "prober.token"), PROBER + "\n")
    rules = write(os.path.join(folder, "rules.yaml"), json.dumps({
        "tokens": {"prober": {"file": token, "answer_tokens_max": 32}}}))
    return Server(bin_dir, folder, "tiny=" + MODEL, (
        "--rules", rules, "--batch-folder", os.path.join(folder, "batches")))


@pytest.fixture(scope="module")
def server(bin_dir, folder):
    one = serve(bin_dir, folder)
    yield one
    one.close()


def routes():
    """Method and path of each row of the agent's tables."""
    for name in ("api/fronts.c", "api/api.c", "batch/batch.c"):
        with open(os.path.join(ROOT, "agent", "serve", name)) as file:
            for method, path in re.findall(
                    r'^ +\{(?:"(\w+)", )?"(/\S+)", ', file.read(), re.M):
                # a name with slashes is one parameter of the document
                yield method.lower() or "post", path.replace("...", "{name}")


def test_it_names_each_path_and_no_other():
    named = {(method, path) for path, calls in DOCUMENT["paths"].items()
             for method in calls}
    assert set(routes()) == named


def test_a_turn_covers_each_tag():
    assert TAGS == {tag for calls in DOCUMENT["paths"].values()
                    for call in calls.values() for tag in call["tags"]}


def test_it_requires_what_open_responses_does():
    needed = {name for name in RESPONSE if name[-1] != "?"}
    assert needed <= set(SCHEMAS["response"]["required"])
    kinds = {form["properties"]["type"]["enum"][0]: set(form["required"])
             for form in SCHEMAS["item"]["anyOf"]}
    for item in ITEM:
        (kind,) = item["type"]
        assert {name for name in item if name[-1] != "?"} <= kinds[kind]


def test_schemathesis_finds_nothing(server, folder):
    program = tool()
    if program is None:
        pytest.skip("schemathesis is not installed: "
                    "deploy/install-deps.sh --optional")
    for phases, *tags in drawn("local-turns", TURNS):
        place = os.path.join(folder, "-".join((phases, *tags)))
        os.mkdir(place)
        with open(os.path.join(place, "schemathesis.toml"), "w") as config:
            config.write(CONFIG)
        with open(os.path.join(place, "out"), "w+") as out:
            run = subprocess.Popen(
                [program, "run", PATH, "--url",
                 "http://127.0.0.1:%d" % server.port, "-H",
                 "Authorization: Bearer " + PROBER, "--max-examples", EXAMPLES,
                 "--checks", "all", "--exclude-checks", EXCLUDED,
                 "--phases", phases,
                 *[word for tag in tags for word in ("--include-tag", tag)],
                 "--no-color", "--seed", SEED,
                 "--request-timeout", str(HANG_S),
                 "--suppress-health-check", "too_slow"],
                cwd=place, stdout=out, stderr=subprocess.STDOUT)
            code = ended(run, lambda: server.metric(
                "flotilla_requests_total"))
            out.seek(0)
            text = out.read()
        print(text[-8000:])
        assert code == 0
        assert "generated" in text
    assert server.metric("flotilla_tokens_out_total") > 0
