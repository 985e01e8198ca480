"""The OpenAPI document: served, complete, and true.  The real answers of all
tests are held against it (openapi_parts.py); here schemathesis makes requests
from it, good and bad, and looks for an answer that it does not allow."""
import os
import shutil
import subprocess

import pytest

import draw
import openapi_parts
from controller_parts import BIN, ROOT, Device, Publisher, metric, start
from waits import HANG_S, ended, until

# A schema says which requests are well-formed.  412, 422 and 423 say that a
# value does not fit the fleet: a tag, a confirmation, a freeze.  Our JSON
# reader takes no NUL, and free members cannot say so in their names.
CONFIG = """
[generation]
allow-x00 = false
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422", "423",
                     "429"]
"""
TURNS = (("coverage,stateful",), ("fuzzing", "--include-method", "GET"),
         ("fuzzing", "--exclude-method", "GET"))
# One turn is played, which the tree draws, with the same requests each time.
EXAMPLES, SEED = ("50", str(draw.seed())) if draw.now().is_all else ("8", "19")


def drawn(kind, turns):
    """The drawn ones of these turns."""
    print(draw.say(kind))
    named = {" ".join(turn): turn for turn in turns}
    return [named[name] for name in draw.drawn(kind)]


def tool():
    """The program, from build/openai or from the system."""
    for bin_dir in (os.path.dirname(BIN), os.path.join(ROOT, "build")):
        path = os.path.join(bin_dir, "openai", "bin", "schemathesis")
        if os.path.exists(path):
            return path
    return shutil.which("schemathesis")


@pytest.fixture(scope="module")
def full(controller, folder):
    """A controller that has one of each."""
    device = Device(controller, folder, "gw-1", controller.enrol_token(),
                    labels={"site": "lyon"}).connect()
    publisher = Publisher(controller, folder)
    publisher.publish("1.0.0")
    rollout = start(controller, "tiny@1.0.0", on_fail="rollback")
    device.order("deploy")
    device.report(1)
    device.is_heard()
    order = controller.ask("POST", "/v1/orders", {
        "op": "config", "everywhere": True, "heartbeat_ms": 1000,
        "confirm": "test"})
    assert order.status == 202
    until("the device is told", lambda: controller.ask(
        "GET", "/v1/rollouts/" + rollout["id"]).json["phases"])
    yield controller
    device.client.close()


def test_it_is_served_as_it_stands_in_the_tree(controller):
    answer = controller.ask("GET", "/openapi.json", token="")
    assert answer.status == 200 and answer.json == openapi_parts.DOCUMENT
    assert answer.json["openapi"].startswith("3.1")


def test_a_problem_leads_to_its_meaning_and_its_place(controller):
    answer = controller.ask("POST", "/v1/rollouts", {
        "release": "tiny@1.0.0", "phases": [{"devices": 1}, {"devices": 0}]})
    assert answer.headers.get_content_type() == "application/problem+json"
    problem = answer.json
    assert problem["errors"][0]["pointer"] == "/phases/1/devices"
    assert problem["instance"] == "/v1/rollouts" and problem["request_id"]
    meaning = controller.ask("GET", problem["type"], token="").json
    assert meaning["id"] == problem["code"] == "rest.schema"
    assert meaning["meaning"] == problem["title"]
    assert meaning["status"] == answer.status == 400
    wrong = controller.ask("GET", "/v1/devices?limit=0").json
    assert wrong["errors"][0]["parameter"] == "limit"
    other = controller.ask("GET", "/v1/devices?limit=0").json
    assert other["request_id"] != wrong["request_id"]
    assert controller.ask("GET", "/errors/no.such").status == 404
    none = controller.ask("GET", "/v1/nothing")
    assert none.headers.get_content_type() == "application/problem+json"
    assert "/openapi.json" in none.json["fix"]
    assert "local-api" not in none.json["fix"]


def test_a_body_that_is_refused_for_its_form_is_no_valid_one(controller):
    for path in ("/v1/releases", "/v1/trust/statements", "/v1/emergencies"):
        body = openapi_parts.DOCUMENT["paths"][path]["post"]["requestBody"]
        schema = body["content"]["application/json"]["schema"]
        assert body["required"], path
        assert "lacks" in openapi_parts.wrong({}, schema), path
        assert controller.ask("POST", path, {}).status in (400, 422), path
    none = {"v": 1, "orders": []}
    assert openapi_parts.wrong(none, schema) is None
    assert controller.ask("POST", path, none).status == 202


def test_every_name_in_a_path_comes_from_an_answer():
    paths = openapi_parts.DOCUMENT["paths"]
    linked = {name for calls in paths.values() for call in calls.values()
              for answer in call["responses"].values()
              for name in answer.get("links", {})}
    for path, calls in paths.items():
        if "{" in path and path != "/errors/{id}":
            assert linked & {one["operationId"] for one in calls.values()}, path


def test_only_releases_have_names_with_a_version():
    for path, calls in openapi_parts.DOCUMENT["paths"].items():
        for call in calls.values():
            for one in call.get("parameters", []):
                if "{name}" in path and one["name"] == "name":
                    assert ("@" in one["schema"]["pattern"]) == \
                        path.startswith("/v1/releases/"), path


def test_schemathesis_finds_nothing(full, folder):
    program = tool()
    if program is None:
        pytest.skip("schemathesis is not installed: "
                    "deploy/install-deps.sh --optional")
    runs = []
    for number, (phases, *more) in enumerate(drawn("turns", TURNS)):
        place = os.path.join(folder, "turn-%d" % number)
        os.mkdir(place)
        with open(os.path.join(place, "schemathesis.toml"), "w") as config:
            config.write(CONFIG)
        out = open(os.path.join(place, "out"), "w+")
        runs.append((out, subprocess.Popen(
            [program, "run", full.rest + "/openapi.json", "-H",
             "Authorization: Bearer " + full.token, "--max-examples", EXAMPLES,
             "--checks", "all", "--phases", phases, "--no-color", "--seed",
             SEED, "--request-timeout",
             str(HANG_S), "--suppress-health-check", "too_slow",
             "--exclude-path", "/v1/events",  # it never ends
             *more],
            cwd=place, stdout=out, stderr=subprocess.STDOUT)))
    for file, run in runs:
        code = ended(run, lambda: metric(full, "http_requests_total"))
        with file:
            file.seek(0)
            out = file.read()
        print(out[-8000:])
        assert code == 0
        assert "generated" in out
    assert full.ask("GET", "/readyz").status == 200
