"""The OpenAPI document of the local API's responses is true: schemathesis makes
requests from it, good and bad, and looks for an answer that it does not allow.
Its answer has what Open Responses asks for."""
import json
import os
import subprocess

import pytest

from responses_parts import ITEM, RESPONSE
from test_local_api import ROOT, TOKEN, Server
from test_openapi import DRAWN, EXAMPLES, SEED, tool
from waits import HANG_S, ended

PATH = os.path.join(ROOT, "proto", "openapi", "local.json")
with open(PATH, encoding="utf-8") as file:
    SCHEMAS = json.load(file)["components"]["schemas"]
# A well-formed body may still ask for what the model cannot: a schema that the
# grammar has no form for, a conversation longer than its context, the result
# of a call that nobody made.
CONFIG = """
[generation]
allow-x00 = false
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404", "429", "503"]
"""
# The methods of input_tokens are also those of a response with that id.
EXCLUDED = "unsupported_method,allow_header_conformance"
TURNS = ("coverage", "fuzzing")
if os.environ.get("FLOTILLA_PART") != "all":
    TURNS = TURNS[DRAWN % 2:][:1]


@pytest.fixture(scope="module")
def server(bin_dir, folder):
    one = Server(bin_dir, folder)
    yield one
    one.close()


def test_it_requires_what_open_responses_does():
    needed = {name for name in RESPONSE if name[-1] != "?"}
    assert needed <= set(SCHEMAS["response"]["required"])
    kinds = {form["properties"]["type"]["enum"][0]: set(form["required"])
             for form in SCHEMAS["item"]["anyOf"]}
    for item in ITEM:
        (kind,) = item["type"]
        assert {name for name in item if name[-1] != "?"} <= kinds[kind]


def test_schemathesis_finds_nothing_in_responses(server, folder):
    program = tool()
    if program is None:
        pytest.skip("schemathesis is not installed: "
                    "deploy/install-deps.sh --optional")
    for phases in TURNS:
        place = os.path.join(folder, phases)
        os.mkdir(place)
        with open(os.path.join(place, "schemathesis.toml"), "w") as config:
            config.write(CONFIG)
        with open(os.path.join(place, "out"), "w+") as out:
            run = subprocess.Popen(
                [program, "run", PATH, "--url",
                 "http://127.0.0.1:%d" % server.port, "-H",
                 "Authorization: Bearer " + TOKEN, "--max-examples", EXAMPLES,
                 "--checks", "all", "--exclude-checks", EXCLUDED,
                 "--phases", phases, "--no-color", "--seed", SEED,
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
