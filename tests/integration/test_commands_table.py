"""Each row of commands.def on a live fleet: --dry-run, -o json, and flags that
nobody knows.  A new row without a word here is red."""
import functools
import json
import os
import re
import shlex
import sqlite3
import subprocess

import deftable
import pytest

from controller_parts import (BIN, ROOT, Controller, Device, Publisher,
                              make_key, public_of)
from waits import HANG_S, until

# Exit codes of lines that do not end with 0: nobody answers in so short a time,
# or there is no such thing, or an end that was not wished for.
ENDS = {"device logs": 6, "device doctor": 6, "rollout watch": 8,
        "order report": 3, "order wait": 6, "clock confirm": 5, "controller admit": 3,
        "controller dismiss": 3, "device adopt": 3}
MODELS = os.path.join(ROOT, "tests", "models")

# A command reads, works on files of this machine alone, or changes the fleet.
# Then lines that it takes, in the order in which they are possible; names in
# %()s are of the fleet below.
READS, FILES, CHANGES = "reads", "files", "changes"
WORDS = {
    "login": (FILES, "%(rest)s --token-file %(token_file)s"),
    "logout": (CHANGES, "--token-file %(session)s"),
    "context view": (READS, ""),
    "clock confirm": (CHANGES, "2027-12-20"),
    "controller admit": (CHANGES, "%(stranger)s"),
    "controller dismiss": (CHANGES, "%(stranger)s"),
    "device list": (READS, "", "--group shop", "--where name=gw-1"),
    "device get": (READS, "gw-1", "gw-1 --profile", "gw-1 --timeline"),
    "device label": (CHANGES, "gw-1 wave=1", "--where name=gw-1 wave=2",
                     "--file %(labels)s"),
    "device set": (CHANGES, "gw-1 --note hello"),
    "device pin": (CHANGES, "gw-3 tiny@1.0.0",
                   "--where name=gw-1 tiny@1.0.0"),
    "device unpin": (CHANGES, "gw-3 tiny", "--where name=gw-1 tiny"),
    "device logs": (CHANGES, "gw-3 --timeout 1ms"),
    "device doctor": (CHANGES, "gw-3 --timeout 1ms"),
    "device benchmark": (CHANGES, "name=gw-3 --for 1s --no-wait"),
    "device benchmarks": (READS, "", "name=gw-1 --speed 3"),
    "device delete": (CHANGES, "old --confirm old"),
    "device replace": (CHANGES, "worn spare --confirm worn"),
    "device split": (CHANGES, "both --keep 192.0.2.1 --confirm both"),
    "device unknown": (READS, ""),
    "device adopt": (CHANGES, "%(stranger)s"),
    "claim import": (CHANGES, "%(claims)s"),
    "claim list": (READS, ""),
    "claim remove": (CHANGES, "SN-1"),
    "claim policy": (CHANGES, "wait"),
    "group create": (CHANGES, "north --note cold", "warm --where name=gw-1"),
    "group list": (READS, ""),
    "group get": (READS, "yard"),
    "group set": (CHANGES, "yard --note outside"),
    "group add": (CHANGES, "yard gw-3", "yard --where name=gw-1",
                  "yard --file %(names)s"),
    "group remove": (CHANGES, "yard gw-3", "yard --where name=gw-1",
                     "yard --file %(names)s"),
    "group delete": (CHANGES, "yard --confirm yard"),
    "model import": (CHANGES, "%(gguf)s"),
    "model build": (FILES, "%(spec)s --work %(dir)s/work"),
    "model remove": (CHANGES, "tiny --device gw-3 --confirm tiny",
                     "tiny --group attic --keep-files --confirm tiny"),
    "release list": (READS, "", "--model tiny"),
    "release get": (READS, "tiny@1.0.0"),
    "release create": (
        CHANGES, "small@1.0.0 --model-file %(gguf)s --golden %(golden)s "
        "--sign-with %(key)s --skip-play --delta-from none"),
    "release sign": (FILES, "%(body)s --key %(key)s --to %(dir)s/signed"),
    "release resign": (CHANGES, "tiny@1.0.0 --key %(key)s"),
    "release publish": (CHANGES, "small@1.0.0"),
    "release yank": (CHANGES, "tiny@4.0.0 --confirm tiny@4.0.0"),
    "release unyank": (CHANGES, "tiny@4.0.0 --confirm tiny@4.0.0"),
    "release collect": (CHANGES, ""),
    "rollout list": (READS, ""),
    "rollout get": (READS, "%(rollout)s"),
    "rollout explain": (READS, "%(rollout)s", "%(rollout)s --all",
                        "%(rollout)s --devices"),
    "rollout init": (FILES, "", "tiny@2.0.0 --group shop"),
    "rollout start": (CHANGES, "tiny@2.0.0 --group lab --soak 1h"),
    "rollout edit": (CHANGES, "%(rollout)s --pace 60/min"),
    "rollout watch": (READS, "%(done)s"),
    "rollout wait": (READS, "%(done)s --for aborted"),
    "rollout approve": (CHANGES, "%(asks)s --token-file %(kim)s"),
    "rollout pause": (CHANGES, "%(rollout)s"),
    "rollout resume": (CHANGES, "%(rollout)s"),
    "rollout promote": (CHANGES, "%(rollout)s"),
    "rollout abort": (CHANGES, "%(asks)s"),
    "rollout rollback": (
        CHANGES, "%(rollout)s --confirm tiny@2.0.0",
        "--release tiny@2.0.0 --device gw-2 --confirm tiny@2.0.0",
        "--release tiny@2.0.0 --everywhere --confirm tiny@2.0.0"),
    "rollout freeze": (CHANGES, "--confirm test"),
    "rollout unfreeze": (CHANGES, "--confirm test"),
    "experiment start": (CHANGES, "tiny@3.0.0 --group more --share 50%%"),
    "experiment list": (READS, ""),
    "experiment get": (READS, "%(experiment)s"),
    "experiment promote": (CHANGES, "%(experiment)s"),
    "experiment stop": (CHANGES, "%(second)s --confirm tiny@3.0.0"),
    "order list": (READS, ""),
    "order get": (READS, "%(order)s"),
    "order report": (READS, "%(order)s"),
    "order wait": (READS, "%(order)s --timeout 1ms"),
    "approval list": (READS, ""),
    "approval set": (CHANGES, "desk --people 2"),
    "approval delete": (CHANGES, "desk"),
    "change-freeze list": (READS, ""),
    "change-freeze create": (CHANGES, "sale --window 'fri 16:00-24:00 UTC'"),
    "change-freeze delete": (CHANGES, "sale"),
    "telemetry query": (READS, "requests"),
    "token create": (CHANGES, "--kind enroll --uses 2"),
    "token list": (READS, ""),
    "token delete": (CHANGES, "%(token)s"),
    "user list": (READS, ""),
    "user get": (READS, "ann"),
    "user create": (CHANGES, "bob"),
    "user set": (CHANGES, "ann --disable"),
    "user delete": (CHANGES, "ann"),
    "key create": (FILES, "fresh --to %(dir)s/keys"),
    "key trust": (CHANGES, "%(other)s --root %(root)s"),
    "key move": (FILES, "%(dir)s/keys/fresh.key --to %(dir)s/stick"),
    "key list": (READS, ""),
    "key rotate": (FILES, "release %(dir)s/keys/fresh.pub --old %(keyid)s "
                   "--to %(dir)s/draft1"),
    "key revoke": (FILES, "tiny@3.0.0 --to %(dir)s/draft2"),
    "trust init": (FILES, "--root %(root_pub)s --to %(dir)s/draft3 "
                   "--from %(held)s"),
    "trust show": (FILES, "", "%(dir)s/draft2"),
    "trust require": (FILES, "tiny=1 --to %(dir)s/draft5"),
    "trust sign": (FILES, "%(dir)s/draft2 --key %(root)s"),
    "trust verify": (FILES, "%(dir)s/draft2"),
    "trust publish": (CHANGES, "%(dir)s/draft2"),
    "trust status": (READS, ""),
    "prompts stay": (CHANGES, "--confirm test"),
    "prompts go": (CHANGES, "--confirm test"),
    "telemetry away": (READS, ""),
    "emergency prompts": (FILES, "stay --key %(emergency)s --to %(dir)s/e5"),
    "emergency freeze": (FILES, "--key %(emergency)s --to %(dir)s/e1"),
    "emergency unfreeze": (FILES, "--key %(emergency)s --to %(dir)s/e2"),
    "emergency rollback": (FILES, "--model tiny --release tiny@2.0.0 "
                           "--key %(emergency)s --to %(dir)s/e3"),
    "emergency allow": (FILES, "--model tiny --release tiny@2.0.0 "
                        "--key %(emergency)s --to %(dir)s/e4"),
    "emergency list": (READS, ""),
    "emergency account": (CHANGES, "--to %(dir)s/account"),
    "ca status": (READS, ""),
    "ca rotate": (CHANGES, ""),
    "ca retire": (CHANGES, "%(authority)s --confirm %(authority)s"),
    "ca show": (READS, "", "--revoked"),
    "bundle create": (FILES, "tiny@1.0.0 --to %(dir)s/bundle"),
    "alert list": (READS, ""),
    "alert ack": (CHANGES, "%(alert)s --reason seen"),
    "alert silence": (CHANGES, "away --reason night",
                      "away --end --reason day"),
    "alert-rule list": (READS, ""),
    "alert-rule create": (CHANGES, "hot --where state=offline --above 0"),
    "alert-rule delete": (CHANGES, "hot"),
    "webhook list": (READS, ""),
    "webhook create": (CHANGES, "https://127.0.0.1:9/x"),
    "webhook deliveries": (READS, "%(webhook)s"),
    "webhook replay": (CHANGES, "%(webhook)s"),
    "webhook delete": (CHANGES, "%(webhook)s"),
    "audit list": (READS, "", "--all"),
    "audit verify": (READS, ""),
    "controller list": (READS, ""),
    "doctor": (READS, ""),
    "top": (READS, "", "--once"),
    "completion": (FILES, "bash"),
    "explain": (FILES, "rest.role"),
    "version": (READS, ""),
}

# When somebody spoke last: written some time after it, whatever is done.
SPOKE = {("device", "seen_at"), ("token", "used_at"), ("event_mark", "seq")}


# Records have the same three verbs, and examples in their row.
RECORDS = deftable.rows("server-stub/core/records/records.def", "FLO_RECORD")
for _, word, _, _, _, _, _, name, fields, *_ in RECORDS:
    WORDS[word + " list"] = (READS, "")
    WORDS[word + " set"] = (CHANGES, "%s %s" % (name, fields))
    WORDS[word + " remove"] = (CHANGES, name)


def rows():
    return [tuple(row[:2]) for row in deftable.rows(
        "server-stub/cli/commands.def", "FLO_COMMAND")]


@functools.cache
def flags_of(name):
    """Names of a verb's own flags, as its --help tells them."""
    out = run(*name.split(), "--help")[1]
    return re.findall(r"^  (?:-\w, )?--([a-z-]+)", out, re.M)


def run(*words, config="/nonexistent"):
    done = subprocess.run([os.path.join(BIN, "flotilla"), *words],
                          capture_output=True, text=True, timeout=HANG_S,
                          stdin=subprocess.DEVNULL,
                          env=dict(os.environ, XDG_CONFIG_HOME=config))
    return done.returncode, done.stdout, done.stderr


class Fleet:
    """Three devices, a rollout under way, and one of each thing."""

    def __init__(self, controller, folder):
        self.controller = controller
        self.dir = os.path.join(folder, "files")
        os.mkdir(self.dir)
        self.names = {"dir": self.dir, "rest": controller.rest,
                      "root": controller.root,
                      "token_file": controller.facts["token"],
                      "gguf": os.path.join(MODELS, "tiny-v2.Q4_0.gguf"),
                      "golden": os.path.join(MODELS, "golden-tiny-v2.json")}
        self.files()
        self.things()
        self.rollouts()
        self.others()
        for device in self.devices.values():
            device.is_heard()

    def path(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o600)
        self.names[name] = path

    def files(self):
        self.path("held", json.dumps(self.ask("GET", "/v1/trust", None)))
        os.mkdir(os.path.join(self.dir, "stick"))
        self.path("labels", "name,wave\ngw-1,3\ngw-3,4\n")
        self.path("names", "name\ngw-3\n")
        self.path("claims", "serial,name\nSN-1,later\n")
        self.publisher = Publisher(self.controller, self.dir)
        self.names["key"] = self.publisher.key
        self.names["stranger"] = 64 * "0"  # a controller's key

    def ask(self, method, path, body):
        answer = self.controller.ask(method, path, body)
        assert answer.status < 300, (path, answer.body)
        return answer.json

    def device(self, name, group, digest):
        device = Device(self.controller, self.dir, name,
                        self.controller.enrol_token(group=group)).connect()
        device.serving = digest
        serving = {"release": digest, "version": "1.0.0", "number": 1}
        device.report(0, [{"model": "tiny", "state": "ready",
                           "execution": None, "serving": serving,
                           "current": serving}])
        until(name + " reports", lambda: self.controller.ask(
            "GET", "/v1/devices/" + name).json["models"] != [])
        return device

    def things(self):
        self.digests = [self.publisher.publish(v)
                        for v in ("1.0.0", "2.0.0", "3.0.0", "4.0.0")]
        self.devices = {
            name: self.device(name, group, self.digests[0])
            for name, group in (("gw-1", "lab"), ("gw-2", "shop"),
                                ("gw-3", "desk"), ("gw-4", "desk"),
                                ("gw-5", "pair"), ("gw-6", "pair"), ("gw-7", "more"),
                                ("gw-8", "more"), ("old", "attic"), ("worn", "attic"),
                                ("spare", "attic"), ("both", "attic"))}

    def rollouts(self):
        self.names["rollout"] = self.ask("POST", "/v1/rollouts", {
            "release": "tiny@2.0.0", "group": "shop",
            "phases": [{"share_pct": 100, "soak_ms": 3600000}]})["id"]
        device = self.devices["gw-2"]
        assert device.desired(lambda d: d["assignments"] != [])
        old = {"release": self.digests[0], "version": "1.0.0", "number": 1}
        new = {"release": self.digests[1], "version": "2.0.0", "number": 2}
        for state in ("accepted", "downloading", "staged", "soaking",
                      "succeeded"):
            device.event(self.names["rollout"], self.digests[1], state)
        device.report(1, [{"model": "tiny", "state": "ready",
                           "execution": None, "serving": new, "current": new,
                           "previous": old}])
        until("gw-2 has it", lambda: self.controller.ask(
            "GET", "/v1/devices/gw-2").json["models"][0]["serving"]["version"]
            == "2.0.0")

    def others(self):
        """One of each other thing, by its name in the lines above."""
        ask, names = self.ask, self.names
        assert self.call("login", WORDS["login"][1])[0] == 0
        ask("PUT", "/v1/approvals/lab", {"people": 1})
        names["done"] = ask("POST", "/v1/rollouts", {
            "release": "tiny@2.0.0", "group": "lab"})["id"]
        ask("POST", "/v1/rollouts/%s/actions" % names["done"],
            {"action": "abort"})
        names["asks"] = ask("POST", "/v1/rollouts", {
            "release": "tiny@3.0.0", "group": "lab"})["id"]
        for name, group in (("experiment", "desk"), ("second", "pair")):
            code, out, err = self.call("experiment start", "tiny@3.0.0 --share "
                                       "50%% --group " + group, "-o", "json")
            assert code == 0, err
            names[name] = json.loads(out)["id"]
            # Paused, it writes no evidence by itself.
            ask("POST", "/v1/rollouts/%s/actions" % names[name],
                {"action": "pause"})
        names["order"] = ask("POST", "/v1/orders", {
            "op": "config", "everywhere": True, "heartbeat_ms": 600000,
            "confirm": "test"})["id"]
        ask("POST", "/v1/claims", {"items": [{"serial": "SN-0"}]})
        ask("POST", "/v1/groups", {"name": "yard"})
        ask("POST", "/v1/users", {"name": "ann", "role": "viewer"})
        ask("POST", "/v1/users", {"name": "kim", "role": "admin"})
        made = [ask("POST", "/v1/tokens", {
            "kind": "access", "role": "admin", "name": name})
            for name in ("gone", "leaves")]
        names["token"] = made[0]["id"]
        self.path("session", made[1]["token"])
        made = ask("POST", "/v1/tokens", {"kind": "access", "user": "kim",
                                          "name": "kim"})
        self.path("kim", made["token"])
        ask("PUT", "/v1/alert-rules/away", {
            "where": "name=gw-1", "above": 0, "for_ms": 0, "repeat_ms": 0})
        names["alert"] = until("it fires", lambda: [
            a["id"] for a in ask("GET", "/v1/alerts", None)["items"]
            if a["rule"] == "away"])[0]
        ask("PATCH", "/v1/devices/both", {"maintenance": "no further alert"})
        for turn in range(4):  # two machines speak in turn
            self.devices["both"].report(0, life={
                "id": 8 * str(turn % 2 + 1) + "-4444-4444-8444-444444444444",
                "host": "both", "address": "192.0.2.%d" % (turn % 2 + 1)})
        until("two are known, and an alert", lambda: [
            a for a in ask("GET", "/v1/alerts", None)["items"]
            if a["rule"] == "identity-twice"])
        names["webhook"] = ask("POST", "/v1/webhooks", {
            "url": "https://127.0.0.1:9/none"})["id"]
        names["authority"] = ask("GET", "/v1/ca", None)["authorities"][0]["name"]
        for name in ("other", "emergency"):
            self.path(name, make_key(os.path.join(self.dir, name + ".key")))
        names["emergency"] = os.path.join(self.dir, "emergency.key")
        self.path("root_pub", public_of(self.controller.root))
        self.path("spec", "release: t@1\nfrom: %(gguf)s\ngolden: {file: %(golden)s}\n" % names)
        self.path("body", json.dumps(self.publisher.document(
            "5.0.0", b"five")[0]))
        names["keyid"] = [key["keyid"] for key in json.loads(
            self.call("key list", "", "-o", "json")[1])
            if key["role"] == "release"][0]

    def call(self, row, line, *more):
        words = [word % self.names for word in shlex.split(line)]
        reach = () if row == "login" else ("--controller",
                                           self.controller.rest)
        if "--token-file" not in words:
            reach += ("--token-file", self.names["token_file"])
        return run(*row.split(), *words, *reach, *more, config=self.dir)

    def state(self):
        """All that is stored, with the audit."""
        base = sqlite3.connect("file:%s?mode=ro" % os.path.join(
            self.controller.dir, "control.db"), uri=True)
        found = {}
        base.execute("BEGIN")  # all tables as of one moment
        for (table,) in base.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"):
            heads = [row[1] for row in base.execute(
                "PRAGMA table_info(%s)" % table)]
            heads = [head for head in heads if (table, head) not in SPOKE]
            found[table] = sorted(base.execute("SELECT %s FROM %s" % (
                ", ".join(heads), table)), key=repr)
        base.close()
        return found


def test_each_row_has_its_word():
    assert {name for name, _ in rows()} == set(WORDS)


@pytest.fixture(scope="module")
def fleet(folder):
    """Nothing changes by itself: each device speaks once, and the controller
    signs one newest statement."""
    controller = Controller(folder).start("--heartbeat", "10m", "--newest-interval", "10m")
    yield Fleet(controller, folder)
    controller.stop()


def lines():
    return [(name, kind, line) for name, (kind, *some) in WORDS.items()
            for line in some]


def test_a_dry_run_changes_nothing(fleet):
    """Where the verb declares the flag it is a plan, else it is refused."""
    before, planned = fleet.state(), set()
    for name, kind, line in lines():
        code, out, err = fleet.call(name, line, "--dry-run")
        if "dry-run" in flags_of(name):
            planned.add(name)
            assert code == 0 and kind != READS and out, (name, line, err)
        else:
            assert code == 2 and "`--dry-run` is no flag" in err, (name, err)
        assert fleet.state() == before, (name, line, out)
    assert planned >= {"device label", "group add", "model remove",
                       "release collect", "rollout start", "rollout rollback",
                       "experiment start"}


def test_a_call_without_a_plan_is_refused_with_dry_run(fleet):
    """Whatever asks for a plan: the row of the call has one, or says no."""
    before = fleet.state()
    for path, body in (("/v1/users", {"name": "eve", "role": "viewer"}),
                       ("/v1/rollouts/%(rollout)s/actions",
                        {"action": "pause"}),
                       ("/v1/orders", {"op": "freeze", "everywhere": True,
                                       "confirm": "test"})):
        answer = fleet.controller.ask(
            "POST", path % fleet.names + "?dry_run=true", body)
        assert answer.status in (400, 422), (path, answer.body)
    rows = fleet.state()
    refused = [row for row in rows["audit"] if row not in before["audit"]]
    assert all("eve" not in repr(row) or "rest." in repr(row)
               for row in refused), refused
    rows["audit"] = before["audit"]
    rows["counter"] = before["counter"]
    assert rows == before


def test_a_plan_of_a_rollback_is_what_the_rollback_does(fleet):
    code, out, err = fleet.call("rollout rollback", "%(rollout)s",
                                "--dry-run", "-o", "json")
    assert code == 0, err
    plan = json.loads(out)
    assert plan["rollouts"] == [fleet.names["rollout"]]
    assert (plan["release"], plan["yank"]) == ("tiny@2.0.0", False)
    assert [(one["name"], one["way"], one["to"]) for one in plan["items"]] == [
        ("gw-2", "kept", "tiny@1.0.0")]
    # An end is an end, for the plan as for the rollback.
    code, out, err = fleet.call("rollout rollback", "%(asks)s", "--dry-run")
    assert code == 5 and "rollout.state" in err, (code, out, err)


def test_an_unknown_flag_is_refused_and_the_near_one_named(fleet):
    before = fleet.state()
    for name, (_, line, *_) in WORDS.items():
        flag = (flags_of(name) + ["controller"])[0]
        at = next(i for i in range(1, len(flag)) if flag[i] != flag[i - 1])
        wrong = "--%s%s%s%s" % (flag[:at - 1], flag[at], flag[at - 1],
                                flag[at + 1:])
        code, out, err = fleet.call(name, line, wrong)
        assert (code, out) == (2, ""), (name, wrong, code, out)
        assert "did you mean `--%s`" % flag in err, (name, wrong, err)
    assert fleet.state() == before


def document(out):
    """The one JSON document that stands there, or None."""
    try:
        return json.loads(out)
    except ValueError:
        return None


def test_an_error_is_one_object_of_json_too(fleet):
    for name, (kind, line, *_) in WORDS.items():
        code, out, err = fleet.call(name, line, "--zzyzx", "-o", "json")
        assert document(out)["error"]["id"] == "cli.usage", (name, out)
        assert code == 2 and "error[cli.usage]" in err
        if kind == FILES:
            continue
        code, out, _ = fleet.call(name, line, "--token-file", "/none",
                                  "--controller", "http://127.0.0.1:1",
                                  "-o", "json")
        assert document(out) is not None, (name, code, out)
    for words in ("nosuch", "devce list", "device lst", "device"):
        code, out, err = run(*words.split(), "-ojson")
        assert code == 2 and document(out)["error"]["fix"], (words, out)


def says_one_document(fleet, name, line):
    code, out, err = fleet.call(name, line, "-o", "json")
    assert code == ENDS.get(name, 0), (name, line, out, err)
    assert document(out) is not None, (name, line, out, err)


def test_each_command_says_one_document(fleet):
    """The last story: it takes the fleet apart."""
    before = fleet.state()
    for name, kind, line in lines():
        if kind == READS:
            says_one_document(fleet, name, line)
    assert fleet.state() == before
    for name, kind, line in lines():
        if kind != READS:
            before = fleet.state()
            says_one_document(fleet, name, line)
            assert kind == FILES or fleet.state() != before, (name, line)


def test_an_explanation_tells_the_time_of_day_and_its_own_devices(fleet):
    """Devices of other groups joined, left and retired meanwhile."""
    code, out, err = fleet.call("rollout explain", "%(rollout)s", "--all")
    steps = [line for line in out.split("\n") if line[:1] == "2"]
    assert code == 0 and len(steps) > 3, (out, err)
    for line in out.split("gate failed")[0].splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z  \w| {26}", line), out
    assert not re.search(r"\b[0-9a-f]{8}\b", out), out
