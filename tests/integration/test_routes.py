"""Routes: a request whose model cannot answer goes to the owner's next target,
and no byte leaves the device without one."""
import http.client
import json
import os
import signal
import sys

import pytest

import sets
from fake_cloud import ANSWER, Cloud
from runtime_parts import Runtimes
from test_apps import SECRETS, ask_as, write, write_rules
from test_local_api import NAME, SEVERITY, Server
from test_runtimes import QUESTION, fake, publish
from waits import HANG_S, Seen, same, until

KEY = "sk-a-secret-of-the-owner"
LONG = " ".join(["boiler"] * 3000)


class Site:
    """A device with a route, and a cloud that it may ask."""

    def __init__(self, bin_dir, folder, cloud=None, endpoint=None, tokens=None,
                 options=(), other=None, name=NAME, guards=None, **route):
        self.bin_dir, self.folder = bin_dir, folder
        self.cloud = cloud or Cloud()
        key = write(os.path.join(folder, "cloud.key"), KEY + "\n")
        endpoints = {"cloud": {"url": self.cloud.url, "model": "gpt-cloud",
                               "key_file": key, **(endpoint or {})}}
        if other:
            endpoints["other"] = {"url": other.url, "model": "gpt-other"}
        route = {"to": [NAME, "cloud"] + (["other"] if other else []), **route}
        rules = write_rules(folder, tokens=tokens or {}, endpoints=endpoints,
                            guards=guards or {}, routes={name: route})
        self.server = Server(bin_dir, folder,
                             options=("--rules", rules, *options))

    def ask(self, headers=None, **fields):
        fields.setdefault("messages", [{"role": "user", "content": SEVERITY}])
        fields.setdefault("temperature", 0)
        fields.setdefault("model", NAME)
        return self.server.call("POST", "/v1/chat/completions", fields,
                                headers or {})

    def away(self, **fields):
        def once():
            answer = self.ask({"X-Flotilla-Escalate": "1"}, **fields)
            by = answer[1]["X-Flotilla-Served-By"] or ""
            return answer if by.startswith("cloud") else Seen(answer)
        return until("an answer of the cloud", once)

    def metric(self, name):
        text = self.server.call("GET", "/metrics")[2]
        for line in text.split("\n"):
            if line.startswith(name + " "):
                return float(line.split()[-1])
        return 0.0

    def close(self):
        self.server.close()
        self.cloud.close()


@pytest.fixture
def site(bin_dir, folder):
    made = []

    def make(**options):
        made.append(Site(bin_dir, folder, **options))
        return made[-1]
    yield make
    for one in made:
        one.close()


def test_the_model_answers_while_it_can_and_says_so(site):
    one = site()
    status, headers, body = one.ask()
    assert status == 200
    assert headers["X-Flotilla-Served-By"].startswith(NAME + "@")
    assert body["flotilla"] == {"served_by": body["model"], "reason": None}
    assert one.cloud.requests == []


def test_without_a_route_nothing_leaves_whatever_is_asked(bin_dir, folder):
    one = Server(bin_dir, folder)
    status, headers, body = one.call(
        "POST", "/v1/chat/completions",
        {"model": NAME, "messages": [{"role": "user", "content": LONG}]},
        {"X-Flotilla-Escalate": "1"})
    assert status == 400 and body["error"]["code"] == "context_length_exceeded"
    assert headers["X-Flotilla-Served-By"] is None
    one.close()


def test_the_app_asks_for_the_next_target(site):
    one = site()
    status, headers, body = one.away(max_tokens=9)
    assert status == 200
    assert headers["X-Flotilla-Served-By"] == "cloud; reason=app"
    assert body["flotilla"] == {"served_by": "cloud", "reason": "app"}
    assert body["choices"][0]["message"]["content"] == ANSWER
    path, headers, sent = one.cloud.requests[-1]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer " + KEY
    assert sent["model"] == "gpt-cloud" and sent["max_tokens"] == 9
    assert sent["messages"] == [{"role": "user", "content": SEVERITY}]
    assert "user" not in sent and "Cookie" not in headers


def test_a_stream_comes_from_there_as_well(site):
    one = site()
    one.away()
    text = one.ask({"X-Flotilla-Escalate": "1"}, stream=True)[2]
    chunks = [json.loads(line[6:]) for line in text.split("\n")
              if line.startswith("data: {")]
    assert "".join(c["choices"][0]["delta"].get("content", "")
                   for c in chunks) == ANSWER
    assert all(c["flotilla"]["served_by"] == "cloud" for c in chunks)


def test_a_prompt_that_is_too_long_goes_where_it_fits(site):
    one = site()
    one.away()
    status, headers, body = one.ask(
        messages=[{"role": "user", "content": LONG}])
    assert status == 200
    assert headers["X-Flotilla-Served-By"] == "cloud; reason=long"
    assert one.metric('flotilla_route_requests_total{route="%s",'
                      'target="cloud",reason="long"}' % NAME) == 1


def test_a_reason_that_the_owner_left_out_is_none(site):
    one = site(on=["down"])
    status, _, body = one.ask({"X-Flotilla-Escalate": "1"},
                              messages=[{"role": "user", "content": LONG}])
    assert status == 400 and body["error"]["code"] == "context_length_exceeded"
    assert one.ask({"X-Flotilla-Escalate": "1"})[0] == 200
    assert one.cloud.requests == []


@pytest.mark.parametrize("fault", ["busy", "redirect", "garbage", "error"])
def test_a_cloud_that_fails_costs_no_request(site, fault):
    elsewhere = Cloud()
    cloud = Cloud()
    cloud.elsewhere = elsewhere.url + "/chat/completions"
    one = site(cloud=cloud)
    one.away()
    cloud.fault = fault
    status, headers, body = one.ask({"X-Flotilla-Escalate": "1"})
    assert status == 200
    assert headers["X-Flotilla-Served-By"].startswith(NAME)
    assert body["flotilla"]["reason"] is None
    assert len(cloud.requests) > 1
    assert elsewhere.requests == []  # no redirect is followed
    # A failed endpoint has a pause, so a request within it does not try it; a
    # slow machine needs one of the later, longer pauses.
    def is_spared():
        before = len(cloud.requests)
        assert one.ask({"X-Flotilla-Escalate": "1"})[0] == 200
        return len(cloud.requests) == before
    until("a request in its pause", is_spared)
    elsewhere.close()


def test_the_second_target_takes_what_the_first_failed(site):
    other, cloud = Cloud(), Cloud()
    one = site(cloud=cloud, other=other)
    one.away()
    cloud.fault = "error"

    def once():
        answer = one.ask({"X-Flotilla-Escalate": "1"})
        return answer[1]["X-Flotilla-Served-By"] == "other; reason=app" or \
            Seen(answer)
    until("the other one's answer", once)
    assert "Authorization" not in other.requests[-1][1]
    other.close()


def test_a_day_s_tokens_hold(site):
    one = site(tokens_per_day=120, endpoint={"answer_tokens_max": 10})
    one.away()
    used = one.metric('flotilla_route_tokens_today{route="%s"}' % NAME)
    assert used == 16  # 11 and 5, as the cloud counts
    for _ in range(20):
        assert one.ask({"X-Flotilla-Escalate": "1"})[0] == 200
    used = one.metric('flotilla_route_tokens_today{route="%s"}' % NAME)
    assert 16 < used <= 120
    assert 16 * len(one.cloud.requests) == used
    assert one.metric('flotilla_route_refused_total{route="%s"}' % NAME) > 0


def test_money_counts_by_the_prices(site):
    one = site(money_per_day="0.01", tokens_per_day=0,
               endpoint={"price_in": "100", "price_out": "200",
                         "answer_tokens_max": 8})
    one.away()
    assert abs(one.metric('flotilla_route_money_today{route="%s"}' % NAME) -
               (11 * 100 + 5 * 200) / 1e6) < 1e-9
    for _ in range(20):
        assert one.ask({"X-Flotilla-Escalate": "1"})[0] == 200
    assert one.metric('flotilla_route_money_today{route="%s"}' % NAME) <= 0.01
    assert len(one.cloud.requests) < 8


def test_an_answer_without_usage_counts_as_claimed(site):
    one = site(cloud=Cloud(usage=None), endpoint={"answer_tokens_max": 10})
    one.away()
    used = one.metric('flotilla_route_tokens_today{route="%s"}' % NAME)
    assert used > 10 + len(SEVERITY) // 4


def test_only_the_owner_s_apps_and_priorities_leave(site):
    one = site(tokens={"shop": {"models": [NAME]}, "desk": {"models": [NAME]}},
               apps=["shop"], never=["batch"])
    escalate = {"X-Flotilla-Escalate": "1"}

    def served(app, **fields):
        connection = http.client.HTTPConnection("127.0.0.1", one.server.port,
                                                timeout=HANG_S)
        connection.request("POST", "/v1/chat/completions", json.dumps(
            {"model": NAME, "temperature": 0,
             "messages": [{"role": "user", "content": SEVERITY}], **fields}),
            {"Authorization": "Bearer " + SECRETS[app], **escalate})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert answer.status == 200
        return answer.getheader("X-Flotilla-Served-By")
    until("the cloud", lambda: same(served("shop"), "cloud; reason=app"))
    before = len(one.cloud.requests)
    assert served("desk").startswith(NAME)
    assert one.ask(escalate)[1]["X-Flotilla-Served-By"].startswith(NAME)
    assert served("shop", service_tier="flex").startswith(NAME)
    assert len(one.cloud.requests) == before


def test_a_route_gives_no_app_a_model_that_it_may_not_use(site):
    one = site(tokens={"desk": {"models": ["other"]}})
    one.away()
    before = len(one.cloud.requests)
    status, _, body = ask_as(one.server, "desk", model=NAME)
    assert status == 404 and body["error"]["code"] == "infer.model"
    assert len(one.cloud.requests) == before


def test_a_name_without_a_model_goes_to_its_target_and_past_no_guard(
        site, folder):
    one = site(name="chat", to=["chat-local", "cloud"])

    def served():
        answer = one.ask(model="chat")
        return answer if answer[0] == 200 else Seen(answer)
    assert until("the cloud", served)[1]["X-Flotilla-Served-By"] == \
        "cloud; reason=down"
    program = write(os.path.join(folder, "guard.py"), """#!%s
print('{"verdict": "refuse", "reason": "no"}')
""" % sys.executable, 0o755)
    guarded = os.path.join(folder, "guarded")
    os.mkdir(guarded)
    two = Site(one.bin_dir, guarded, name="chat", to=["chat-local", "cloud"],
               guards={"words": {"models": ["chat-local"],
                                 "stages": ["prompt"],
                                 "command": [program]}})

    def refused():
        status, _, body = two.ask(model="chat")
        return same((status, body["error"]["code"]), (400, "infer.guard"))
    until("the guard's word", refused)
    assert two.cloud.requests == []
    two.close()


def test_a_redaction_edits_what_leaves_and_nothing_else(site, folder):
    program = write(os.path.join(folder, "redact.py"), """#!%s
import json, sys
texts = json.load(sys.stdin)["texts"]
print(json.dumps({"texts": [t.replace("oven-95", "[machine]")
                            for t in texts]}))
""" % sys.executable, 0o755)
    one = site(redact=[program])
    one.away()
    sent = one.cloud.requests[-1][2]["messages"][0]["content"]
    assert sent == SEVERITY.replace("oven-95", "[machine]")
    # The model of the device reads the prompt as it is, also when the cloud
    # failed after the redaction.
    plain = one.ask()[2]["choices"]
    one.cloud.fault = "error"
    assert one.ask({"X-Flotilla-Escalate": "1"})[2]["choices"] == plain


@pytest.mark.parametrize("text", [
    "import sys; sys.exit(1)",
    "print('{\\\"texts\\\":[]}')",
    "print('garbage')",
    "import time; time.sleep(600)",
])
def test_a_redaction_that_fails_sends_nothing(site, folder, text):
    program = write(os.path.join(folder, "redact.py"),
                    "#!%s\n%s\n" % (sys.executable, text.replace('\\"', '"')),
                    0o755)
    one = site(redact=[program], redact_timeout="1s")
    failed = ('flotilla_route_requests_failed_total{route="%s",target="cloud",'
              'reason="app"}' % NAME)

    def tried():
        status, headers, _ = one.ask({"X-Flotilla-Escalate": "1"})
        assert status == 200
        assert headers["X-Flotilla-Served-By"].startswith(NAME)
        return one.metric(failed) >= 3
    until("three redactions", tried)
    assert one.cloud.requests == []


READY = 'flotilla_endpoint_ready{endpoint="cloud"}'


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_bad_requests_of_an_app_do_not_switch_an_endpoint_off(site, status):
    one = site()
    one.away()
    one.cloud.fault, before = status, len(one.cloud.requests)
    for sent in range(1, 9):
        answer = one.ask({"X-Flotilla-Escalate": "1"})
        assert answer[0] == 200
        assert answer[1]["X-Flotilla-Served-By"].startswith(NAME)
        assert len(one.cloud.requests) == before + sent
        assert one.metric(READY) == 1
    one.cloud.fault = None
    assert one.ask({"X-Flotilla-Escalate": "1"})[1][
        "X-Flotilla-Served-By"].startswith("cloud")


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 503])
def test_a_fault_of_the_endpoint_or_its_key_does(site, status):
    one = site()
    one.away()
    one.cloud.fault, before = status, len(one.cloud.requests)
    assert one.ask({"X-Flotilla-Escalate": "1"})[0] == 200
    assert len(one.cloud.requests) == before + 1
    assert one.metric(READY) == 0


def test_no_request_fails_while_the_engine_is_killed(site):
    one = site()
    one.away()
    served = []
    for _ in range(4):  # a fifth loss in a minute ends this command
        os.kill(engine_of(one.server), signal.SIGKILL)
        for _ in range(3):
            status, headers, body = one.ask()
            assert status == 200, body
            served.append(headers["X-Flotilla-Served-By"].split("@")[0])
        until("the model again", lambda: one.ask()[1][
            "X-Flotilla-Served-By"].startswith(NAME))
    assert set(served) <= {"cloud; reason=down", NAME}
    assert "cloud; reason=down" in served


def engine_of(server):
    """The process of the model, which is no proxy."""
    def look():
        found = [pid for pid in sets.children(server.process.pid)
                 if "worker" in sets.words(pid)]
        return found if len(found) == 1 else Seen(found)
    return until("one engine", look)[0]


def test_an_answer_of_the_cloud_without_its_form_costs_its_claim(site):
    one = site(tokens_per_day=100000, endpoint={"answer_tokens_max": 900})
    one.away()
    escalate = {"X-Flotilla-Escalate": "1"}
    status, headers, _ = one.ask(
        escalate, response_format={"type": "json_object"}, max_tokens=64)
    assert status == 200 and len(one.cloud.requests) == 2
    assert headers["X-Flotilla-Served-By"].startswith(NAME)
    # The answer took less, but nobody counted it.
    used = one.metric('flotilla_route_tokens_today{route="%s"}' % NAME)
    assert used >= 16 + 64


def test_a_schema_that_cannot_be_checked_is_no_fault_of_the_cloud(site):
    one = site()
    one.away()
    escalate = {"X-Flotilla-Escalate": "1"}
    status, _, body = one.ask(escalate, response_format={
        "type": "json_schema", "json_schema": {"schema": {"not": {}}}})
    assert status == 400 and body["error"]["code"] == "infer.schema"
    assert len(one.cloud.requests) == 1
    # Such a request gives the endpoint no pause.
    assert one.ask(escalate)[1]["X-Flotilla-Served-By"].startswith("cloud")


@pytest.mark.skipif(os.geteuid() != 0,
                    reason="files of runtimes.d belong to root")
def test_a_runtime_that_keeps_no_form_leaves_the_request_to_the_cloud(fleet):
    low = '{"severity": "low"}'
    cloud = Cloud(answer=low)
    one = Runtimes(fleet, config="endpoints: %s\nroutes: %s\n" % (
        json.dumps({"cloud": {"url": cloud.url, "model": "gpt-cloud"}}),
        json.dumps({"desk": {"to": ["desk", "cloud"]}})))
    fake(one, "form:1000000", ["json"])
    fleet.roll(publish(one, "1", "severity: low"))

    def ask(**fields):
        status, text = one.device.post("/v1/chat/completions", {
            "model": "desk", "messages": [
                {"role": "user", "content": QUESTION}], **fields})
        body = json.loads(text)
        return status, body.get("flotilla"), body
    form = {"response_format": {"type": "json_object"}}

    def of_the_cloud():
        answer = ask(**form)
        assert answer[0] == 200 or \
            answer[2]["error"]["code"] == "infer.form", answer
        return answer if answer[0] == 200 else Seen(answer)
    _, served, body = until("an answer of the cloud", of_the_cloud)
    assert served == {"served_by": "cloud", "reason": "form"}
    assert body["choices"][0]["message"]["content"] == low
    assert cloud.requests[-1][2]["response_format"] == form["response_format"]
    # Without a form the runtime's answer is fine.
    before = len(cloud.requests)
    assert ask()[1]["reason"] is None and len(cloud.requests) == before
    # A cloud that keeps no form either: the runtime's error is told.
    cloud.answer = ANSWER
    assert ask(**form)[2]["error"]["code"] == "infer.form"
    assert len(cloud.requests) == before + 1
    cloud.close()
