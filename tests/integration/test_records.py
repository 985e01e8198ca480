"""Records: what people write down about sites, kept by the fleet.  They come in
pages, and the audit has each change with its reason."""
import json
import os
import subprocess

import pytest

from controller_parts import BIN
from waits import HANG_S


@pytest.fixture(scope="module")
def cli(controller):
    def call(*words, code=0):
        done = subprocess.run(
            [os.path.join(BIN, "flotilla"), "--controller", controller.rest,
             "--token-file", controller.facts["token"], *words],
            capture_output=True, text=True, timeout=HANG_S)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr
    return call


def sites(controller, query=""):
    answer = controller.ask("GET", "/v1/sites" + query)
    assert answer.status == 200, answer.body
    return answer.json


def test_a_site_says_whom_to_call_and_when(controller, cli):
    assert cli("site", "set", "lyon", "people=Ana Roux, +33 4 72 00 00 01",
               "hours=Mon to Fri, 8 to 18") == "site lyon is written\n"
    shown = json.loads(cli("site", "list", "-o", "json"))
    assert [(s["name"], s["people"], s["hours"]) for s in shown] == \
        [("lyon", "Ana Roux, +33 4 72 00 00 01", "Mon to Fri, 8 to 18")]
    assert shown[0]["by"] and shown[0]["at_ms"] > 0
    assert "Ana Roux" in cli("site", "list")
    # A record is written whole: what is not given is gone.
    cli("site", "set", "lyon", "people=Bo Lind, +46 8 000 02")
    one = controller.ask("GET", "/v1/sites/lyon").json
    assert (one["people"], "hours" in one) == ("Bo Lind, +46 8 000 02", False)
    assert cli("site", "remove", "lyon") == "site lyon is removed\n"
    assert sites(controller)["items"] == []


def test_sites_come_in_pages_by_name(controller):
    for name in ("c", "a", "b"):
        assert controller.ask("PUT", "/v1/sites/" + name,
                              {"people": name}).status == 200
    first = sites(controller, "?limit=2")
    assert [s["name"] for s in first["items"]] == ["a", "b"]
    rest = sites(controller, "?limit=2&cursor=" + first["next"])
    assert ([s["name"] for s in rest["items"]], rest["next"]) == (["c"], None)
    for name in ("a", "b", "c"):
        controller.ask("DELETE", "/v1/sites/" + name)


def test_a_reason_stands_in_the_audit_and_not_in_the_record(controller):
    assert controller.ask("PUT", "/v1/sites/nantes", {
        "people": "Cy", "reason": "Ana left"}).status == 200
    assert "reason" not in controller.ask("GET", "/v1/sites/nantes").json
    written = [r for r in controller.ask("GET", "/v1/audit").json["items"]
               if r["what"] == "site.set" and "nantes" in r["object"]]
    assert written and "Ana left" in json.dumps(written[-1])


@pytest.mark.parametrize("body, code", [
    ({}, "rest.schema"),                         # nobody to call
    ({"people": ""}, "rest.schema"),
    ({"people": "A\nB"}, "rest.schema"),         # one line
    ({"people": "A" * 513}, "rest.schema"),
    ({"people": "A", "colour": "red"}, "rest.unknown"),
    ({"people": "A", "name": "b"}, "rest.unknown"),
    ({"people": "A", "by": "somebody else"}, "rest.unknown"),
    ({"people": ["A"]}, "rest.schema"),
])
def test_a_record_that_its_row_does_not_allow_changes_nothing(controller, body,
                                                              code):
    before = sites(controller)
    answer = controller.ask("PUT", "/v1/sites/bad", body)
    assert (answer.status, answer.json["code"]) == (400, code), answer.body
    assert sites(controller) == before


def test_what_is_not_there_is_told_with_the_way_to_see_what_is(controller, cli):
    for method in ("GET", "DELETE"):
        answer = controller.ask(method, "/v1/sites/none")
        assert (answer.status, answer.json["code"]) == (404, "absent")
        assert "none" in answer.json["detail"]
    assert controller.ask("PUT", "/v1/sites/No%20Name",
                          {"people": "A"}).status == 422
    assert "FIELD=TEXT" in cli("site", "set", "lyon", "people", code=2)
    assert "name of a site" in cli("site", "set", "../x", "people=A", code=2)
