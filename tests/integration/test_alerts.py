"""The controller, watched: metrics for Prometheus, the rules and the dashboard
that are shipped for them, and its own alerts with their webhooks.  promtool's part is
skipped by name without Debian's prometheus."""
import hashlib
import hmac
import http.server
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading

import pytest

import draw
from controller_parts import (BIN, ROOT, Controller, Device, Publisher, run,
                              start)
from waits import HANG_S, same, until, wall_s

RANDOM = draw.dice("outages")
draw.say("outages")
DEPLOY = os.path.join(ROOT, "deploy")
RULES = os.path.join(DEPLOY, "prometheus", "flotilla.rules.yml")


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def promtool(*command, text=None):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    done = subprocess.run(["promtool", *command], input=text, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr, done.stderr


@pytest.fixture(scope="module")
def controller():
    folder = tempfile.mkdtemp(prefix="flo-alerts-")
    controller = Controller(folder).start()
    yield controller
    controller.stop()
    shutil.rmtree(folder)


def test_metrics_follow_the_conventions_of_prometheus(controller):
    text = controller.ask("GET", "/metrics", token="").body.decode()
    for line in ("flotilla_devices 0", "flotilla_broker_connected 1",
                 'flotilla_rollouts{state="halted"} 0'):
        assert line in text.split("\n")
    ends = re.findall(r"_expiry_timestamp_seconds{.*} (\d+)", text)
    assert len(ends) == 4 and min(map(int, ends)) > 1.7e9
    promtool("check", "metrics", text=text)


def test_the_devices_listener_tells_no_metrics(controller):
    context = ssl.create_default_context(cafile=controller.ca)
    answer = controller.ask("GET", "/metrics", token="", context=context,
                            base=controller.facts["devices"])
    assert answer.status == 404


def names_in(text):
    return set(re.findall(r"\b(?:flotilla|process)_[a-z_]+[a-z]\b", text))


def test_rules_and_dashboard_name_metrics_that_exist():
    known = set(re.findall(r'^FLO_EXPOSED\(\w+, "(\w+)"', read(
        "server-stub/core/exposition/exposed.def"), re.M))
    board = json.loads(read("deploy/grafana/flotilla.json"))
    asked = "".join(target["expr"] for panel in board["panels"]
                    for target in panel.get("targets", []))
    rules = "\n".join(re.findall(r"expr: (?:>-\n)?((?:.*\n?)(?:  {8}.*\n)*)",
                                 read("deploy/prometheus/flotilla.rules.yml")))
    for text in (asked, rules):
        assert len(names_in(text)) > 10
        assert names_in(text) - known == set()


def test_each_shipped_alert_has_its_section_for_the_night():
    named = re.findall(r"docs/alerts.md#([\w-]+)", read(
        "deploy/prometheus/flotilla.rules.yml"))
    named += re.findall(r'^FLO_ALERT_DEFAULT\("([\w-]+)"', read(
        "server-stub/core/alert/defaults.def"), re.M)
    sections = re.findall(r"^## ([\w-]+)\n\n- \*\*Means\*\*[^#]*"
                          r"- \*\*Look\*\*[^#]*- \*\*Do\*\*",
                          read("docs/alerts.md"), re.M)
    assert len(named) > 12
    assert set(named) - set(sections) == set()


def test_the_shipped_rules_are_valid_and_say_what_they_promise():
    promtool("check", "rules", RULES)
    promtool("check", "config",
             os.path.join(DEPLOY, "prometheus", "prometheus.yml"))
    promtool("test", "rules",
             os.path.join(DEPLOY, "prometheus", "flotilla.test.yml"))


# ---- alerts ----

class Receiver:
    """A small HTTPS server whose paths behave as their name says, until
    `heals`; it keeps what it was sent, with the headers."""

    def __init__(self, folder):
        self.ca = os.path.join(folder, "receiver.pem")
        key = os.path.join(folder, "receiver.key")
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
            self.ca, "-days", "2", "-subj", "/CN=localhost", "-addext",
            "subjectAltName=DNS:localhost")
        self.heals = threading.Event()
        self.came = []
        self.taken = []  # bodies that were answered with 200
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.came.append((self.path, self.headers, body))
                status = {"/error": 500, "/moved": 302, "/gone": 410,
                          "/busy": 503, "/later": 503}.get(self.path, 200)
                if self.path == "/hang":
                    receiver.heals.wait(HANG_S)
                status = 200 if receiver.heals.is_set() else status
                if status == 200:
                    receiver.taken.append((self.path, json.loads(body)))
                self.send_response(status)
                self.send_header("Retry-After", "7200" if self.path ==
                                 "/later" else "1")
                self.send_header("Location", "https://localhost:1/")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca, key)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                      Handler)
        self.server.socket = context.wrap_socket(self.server.socket,
                                                 server_side=True)
        self.server.handle_error = lambda *_: None
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def url(self, path):
        return "https://localhost:%d%s" % (self.server.server_port, path)

    def bodies(self, path):
        return [json.loads(b) for p, _, b in self.came if p == path]

    def words(self, path):
        """Number, alert and news of each message that was taken."""
        return [(int(b["id"][2:]), b["alert"], b["news"])
                for p, b in self.taken if p == path]

    def check_bytes(self):
        """An id that comes again is the same message."""
        known = {}
        for _, headers, body in self.came:
            name = headers["Flotilla-Delivery"]
            assert known.setdefault(name, body) == body, (known[name], body)

    def news(self, path):
        """News of each delivery, however often it came."""
        return list({b["id"]: b["news"] for b in self.bodies(path)}.values())


@pytest.fixture
def receiver():
    folder = tempfile.mkdtemp(prefix="flo-receiver-")
    receiver = Receiver(folder)
    yield receiver
    receiver.heals.set()
    receiver.server.shutdown()
    receiver.server.server_close()
    shutil.rmtree(folder)


@pytest.fixture
def watched(receiver):
    folder = tempfile.mkdtemp(prefix="flo-alerts-")
    command = os.path.join(folder, "mail")
    with open(command, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\ncat >>%s/mails\necho >>%s/mails\n" %
                   (folder, folder))
    os.chmod(command, 0o700)
    flags = ["--webhook-ca", receiver.ca, "--webhook-private",
             "--alert-command", command]
    controller = Controller(folder).start(*flags)
    controller.flags, controller.mails = flags, folder + "/mails"
    yield controller
    controller.stop()
    shutil.rmtree(folder)


def ask(controller, method, path, body=None, status=200):
    answer = controller.ask(method, path, body)
    assert answer.status == status, answer.body
    return answer.json


def watch_devices(controller, above, rule="no-devices", **more):
    """A rule that is bad at once, or well at once."""
    return ask(controller, "PUT", "/v1/alert-rules/" + rule,
               dict({"metric": "flotilla_devices", "above": above,
                     "keep_ms": 0, "severity": "page", "text": "devices"},
                    **more))


def alerts(controller, everything=False, rule="no-devices"):
    return [a for a in ask(controller, "GET", "/v1/alerts" +
                           ("?all=true" if everything else ""))["items"]
            if a["rule"] == rule]


def hook(controller, receiver, path):
    return ask(controller, "POST", "/v1/webhooks",
               {"url": receiver.url(path)}, 201)


def deliveries(controller, made):
    return ask(controller, "GET", "/v1/webhooks/%s/deliveries" %
               made["id"])["items"]


def waiting(controller, made):
    return [d for d in deliveries(controller, made)
            if d["state"] == "waiting"]


def check_signature(secret, headers, body, since):
    signed = headers["Flotilla-Timestamp"].encode() + b"." + body
    assert headers["Flotilla-Signature"] == "v1=" + hmac.new(
        secret.encode(), signed, hashlib.sha256).hexdigest()
    assert int(since) <= int(headers["Flotilla-Timestamp"]) <= wall_s()
    assert headers["Flotilla-Delivery"] == json.loads(body)["id"]


def test_news_outlive_bad_receivers_and_a_killed_controller(watched, receiver):
    since = wall_s()
    hooks = {path: hook(watched, receiver, path)
             for path in ("/well", "/error", "/moved", "/gone", "/hang")}
    watch_devices(watched, -1)
    until("a hanging receiver", lambda: receiver.bodies("/hang"))
    until("one that is well", lambda: receiver.bodies("/well"))
    path, headers, body = [c for c in receiver.came if c[0] == "/well"][0]
    check_signature(hooks["/well"]["secret"], headers, body, since)
    news = json.loads(body)
    assert news["news"] == "firing" and news["severity"] == "page"
    assert news["runbook"] == ""  # a rule of people

    def states():
        newest = {path: deliveries(watched, made)[0]
                  for path, made in hooks.items()}
        return {path: (one["state"], one["error"])
                for path, one in newest.items()}

    def answers():
        found = states()
        return [found["/well"][0]] + [
            found[path] for path in ("/gone", "/error", "/moved")]
    until("their answers", lambda: same(answers(), [
        "sent", ("dead", "the receiver answered 410"),
        ("waiting", "the receiver answered 500"),
        ("waiting", "the receiver answered 302: redirects are not followed")]))

    watched.stop(signal.SIGKILL)
    receiver.heals.set()
    watched.start(*watched.flags)
    until("the rest", lambda: all(
        s[0] == "sent" for p, s in states().items() if p != "/gone"))
    assert [a["state"] for a in alerts(watched)] == ["firing"]
    for path in ("/error", "/moved", "/hang"):
        assert len({b["id"] for b in receiver.bodies(path)}) == 1
        assert len(receiver.bodies(path)) >= 2
    # Who answers late, on a slow machine, gets the same once more.
    late = deliveries(watched, hooks["/well"])[0]["failed"]
    assert 1 <= len(receiver.bodies("/well")) <= 1 + late
    assert receiver.news("/well") == ["firing"]

    assert ask(watched, "POST", "/v1/webhooks/%s/replay" %
               hooks["/gone"]["id"])["count"] == 1
    until("the dead one again", lambda: len(receiver.bodies("/gone")) >= 2)
    watch_devices(watched, 1000)
    until("its end", lambda: [b for b in receiver.bodies("/well")
                           if b["news"] == "resolved"])
    until("its end there, too", lambda: len(
        receiver.bodies("/gone")) >= 3)
    assert receiver.news("/well") == ["firing", "resolved"]

    def mails():
        if not os.path.exists(watched.mails):
            return ""
        with open(watched.mails, encoding="utf-8") as file:
            return file.read()
    until("a mail", lambda: '"news":"firing"' in mails(), mails)


def test_a_receiver_that_was_down_ends_with_the_state(watched, receiver):
    """A dozen outages; tests/unit/server/test_watch.c plays a thousand."""
    hooks = [hook(watched, receiver, path) for path in ("/busy", "/well")]
    for n in range(12):
        rule, fires = "rule-%d" % n, False
        receiver.heals.clear()
        for _ in range(RANDOM.randint(1, 4)):  # it flaps when it fires thrice
            fires = not fires
            watch_devices(watched, -1 if fires else 1000, rule)
            until("the change", lambda: same(
                bool(alerts(watched, rule=rule)), fires))
        if RANDOM.random() < 0.3:
            watched.stop(signal.SIGKILL)
            watched.start(*watched.flags)
        else:
            until("an attempt", lambda: [b for b in receiver.bodies("/busy")
                                         if b["rule"] == rule])
        receiver.heals.set()
        until("nothing waits", lambda: not any(
            waiting(watched, made) for made in hooks))
        alert = alerts(watched, True, rule)
        assert len(alert) == 1, "a series that fires again is the same alert"
        for path in ("/busy", "/well"):
            words = [word for word in receiver.words(path)
                     if word[1] == alert[0]["id"]]
            assert words == sorted(words), words
            assert (words[-1][2] != "resolved") == fires, words
    receiver.check_bytes()


def test_a_receiver_that_asks_for_a_pause_gets_it(watched, receiver):
    later = hook(watched, receiver, "/later")
    watch_devices(watched, -1)
    until("an attempt", lambda: deliveries(watched, later)[0]["failed"] == 1)
    tried = deliveries(watched, later)[0]
    assert tried["next_at_ms"] >= tried["at_ms"] + 3600000, tried
    assert tried["next_at_ms"] < tried["at_ms"] + 7200000, "an hour at most"
    well = hook(watched, receiver, "/well")
    for n in range(3):
        ask(watched, "PUT", "/v1/alert-rules/more-%d" % n,
            {"metric": "flotilla_devices", "above": -1})
    until("the other receiver's", lambda: same(
        len(receiver.words("/well")), 3))
    assert [d["state"] for d in deliveries(watched, later)] == ["waiting"] * 4
    assert len(receiver.bodies("/later")) == 1
    assert len(deliveries(watched, well)) == 3


def test_a_store_that_fails_is_told_from_memory(watched, receiver):
    """No row of an alert can be written then."""
    ask(watched, "PUT", "/v1/alert-rules/store-failing",
        {"metric": "flotilla_store_failed", "above": 0, "for_ms": 0,
         "severity": "page", "text": "it cannot write"})
    for path in ("/well", "/error"):
        hook(watched, receiver, path)
    os.unlink(os.path.join(watched.dir, "control.db-wal"))
    until("the receiver knows it", lambda: receiver.bodies("/well"))
    body = receiver.bodies("/well")[0]
    assert (body["rule"], body["news"], body["severity"], body["text"]) == (
        "store-failing", "firing", "page", "it cannot write")
    until("the command, too", lambda: os.path.exists(watched.mails))
    until("one that failed is asked again",
          lambda: len(receiver.bodies("/error")) > 1)
    assert len({b["id"] for b in receiver.bodies("/error")}) == 1
    # Who answers late, on a slow machine, gets the same once more.
    assert len({b["id"] for b in receiver.bodies("/well")}) == 1
    receiver.check_bytes()
    watched.stop(signal.SIGKILL)


def test_people_have_an_alert_or_silence_its_rule(watched, receiver):
    well = hook(watched, receiver, "/well")
    ask(watched, "PUT", "/v1/alert-rules/no-devices",
        {"metric": "flotilla_devices", "above": 5})
    silenced = ask(watched, "POST", "/v1/alert-rules/no-devices/silence",
                   {"silence_ms": 3600000, "reason": "planned"})
    assert silenced["silence_reason"] == "planned"
    watch_devices(watched, -1)
    alert = until("it fires", lambda: alerts(watched))[0]
    assert alert["silenced"] and deliveries(watched, well) == []
    ack = ask(watched, "POST", "/v1/alerts/%d/ack" % alert["id"],
              {"reason": "mine"})
    assert ack["acked"] and ack["ack_reason"] == "mine"
    ask(watched, "POST", "/v1/alert-rules/no-devices/silence",
        {"silence_ms": 0, "reason": "over"})
    until("news after the silence", lambda: receiver.bodies("/well"))
    assert len(deliveries(watched, well)) == 1, "none before its end"
    ask(watched, "DELETE", "/v1/alert-rules/no-devices")
    until("its end", lambda: not alerts(watched))
    assert alerts(watched, True)[0]["state"] == "resolved"


def test_a_halted_rollout_is_over_by_a_newer_one_or_by_a_yank(controller):
    """Alert, metrics, list and doctor say the same."""
    device = Device(controller, controller.dir, "gw",
                    controller.enrol_token()).connect()
    publisher = Publisher(controller, controller.dir)
    rule = [r for r in ask(controller, "GET", "/v1/alert-rules")["items"]
            if r["name"] == "rollout-halted"][0]
    ask(controller, "PUT", "/v1/alert-rules/rollout-halted",
        dict({key: rule[key] for key in ("metric", "match", "by", "above",
                                         "severity", "text")}, keep_ms=0))

    def ends(version, execution, state):
        digest = publisher.publish(version)
        made = start(controller, "tiny@" + version)["id"]
        device.event(made, digest, execution)
        until(state, lambda: same(ask(
            controller, "GET", "/v1/rollouts/" + made)["state"], state))
        return made

    def firing():
        return [a["rule"] for a in ask(controller, "GET",
                                       "/v1/alerts")["items"]
                if a["rule"] == "rollout-halted" and a["state"] == "firing"]

    def said(rollout):
        text = controller.ask("GET", "/metrics", token="").body.decode()
        env = dict(os.environ, FLOTILLA_CONTROLLER=controller.rest,
                   FLOTILLA_TOKEN_FILE=controller.facts["token"],
                   HOME=controller.dir)
        doctor = subprocess.run([os.path.join(BIN, "flotilla"), "doctor"],
                                env=env, capture_output=True, text=True,
                                check=False, timeout=HANG_S).stdout
        return (len(firing()), 'rollout="%s"' % rollout in text,
                re.search(r"(\d+) halted in a week", doctor).group(1),
                ask(controller, "GET", "/v1/rollouts/" + rollout).get(
                    "followed_by"))

    bad = ends("1", "failed", "halted")
    until("it fires", lambda: same(said(bad), (1, True, "1", None)))
    good = ends("2", "succeeded", "completed")
    until("it is over", lambda: same(said(bad), (0, False, "0", good)))
    again = ends("3", "failed", "halted")
    until("the next", lambda: same(said(again), (1, True, "1", None)))
    assert said(bad)[1] is False

    def is_over(rollout):
        return ask(controller, "GET", "/v1/rollouts/" + rollout).get("over")

    def yank(version, verb="yank"):
        ask(controller, "POST", "/v1/releases/tiny@%s/%s" % (version, verb),
            {"reason": "bad"})

    assert (is_over(bad), is_over(again)) == (True, None)
    yank("3")
    until("it is withdrawn", lambda: same(said(again), (0, False, "0", None)))
    yank("3", "unyank")
    until("it is back", lambda: same(said(again), (1, True, "1", None)))
    yank("3")
    # a device that has the release keeps it in sight
    other = Device(controller, controller.dir, "gw-2",
                   controller.enrol_token()).connect()
    digest = publisher.publish("4")
    made = start(controller, "tiny@4", phases=[{"devices": 2},
                                               {"share_pct": 100}])["id"]
    other.event(made, digest, "succeeded")
    until("one has it", lambda: ask(
        controller, "GET", "/v1/rollouts/" + made)["holders"] == 1)
    device.event(made, digest, "failed", error={
        "id": "probe.golden", "what": "3 of 26 failed", "step": "probing"})
    until("halted", lambda: same(ask(
        controller, "GET", "/v1/rollouts/" + made)["state"], "halted"))
    yank("4")
    until("it fires", lambda: same(said(made), (1, True, "1", None)))
    slot = {"version": "2", "release": "sha256:" + "2" * 64}
    other.report(1, [{"model": "tiny", "state": "ready", "execution": None,
                      "serving": slot, "current": slot}])
    until("nobody has it", lambda: same(said(made), (0, False, "0", None)))


def test_a_webhook_is_an_admins_and_goes_to_public_hosts_alone(controller):
    for url in ("http://example.org/", "https://a:b@example.org/",
                "ftp://example.org/", "https:///path"):
        answer = controller.ask("POST", "/v1/webhooks", {"url": url})
        assert answer.status == 422, answer.body
    operator = controller.access("operator")
    assert controller.ask("POST", "/v1/webhooks",
                          {"url": "https://example.org/"},
                          token=operator).status == 403
    made = ask(controller, "POST", "/v1/webhooks",
               {"url": "https://127.0.0.1:1/"}, 201)
    assert "secret" not in ask(controller, "GET", "/v1/webhooks")["items"][0]
    watch_devices(controller, -1)
    until("a refusal", lambda: [
        d for d in deliveries(controller, made) if d["failed"] > 0 and
        "no address that a webhook may have" in d["error"]])
    ask(controller, "DELETE", "/v1/webhooks/" + made["id"])
    ask(controller, "DELETE", "/v1/alert-rules/no-devices")


def test_a_rule_about_a_label_that_no_device_has_is_refused(controller):
    rule = {"where": "site=eu and last_seen>15m", "above": 1}
    path = "/v1/alert-rules/eu"
    refused = ask(controller, "PUT", path, rule, 422)
    assert refused["code"] == "rest.selector", refused
    assert "no device has a label of that name" in refused["detail"]
    made = ask(controller, "PUT", path, dict(rule, where="label.site=eu"))
    assert made["where"] == "label.site=eu"
    ask(controller, "DELETE", path)


def test_a_request_that_ends_the_controller_is_in_the_audit(tmp_path_factory):
    controller = Controller(str(tmp_path_factory.mktemp("c"))).start()
    rule = {"metric": "flotilla_devices", "above": 5}
    ask(controller, "PUT", "/v1/alert-rules/mine", rule)
    controller.process.send_signal(signal.SIGSEGV)
    assert controller.process.wait(HANG_S) == -signal.SIGSEGV
    controller.process.stdout.close()
    controller.start()
    found = [r for r in ask(controller, "GET", "/v1/audit")["items"]
             if r["what"] == "controller.crash"]
    assert [r["object"] for r in found] == ["PUT /v1/alert-rules/mine"]
    assert found[0]["who"].endswith(" admin"), found
    assert found[0]["detail"].startswith("SIGSEGV after this: ")
    assert json.loads(found[0]["detail"].split(": ", 1)[1]) == rule
    assert ask(controller, "GET", "/v1/audit/verify")["ok"]
    controller.stop()
