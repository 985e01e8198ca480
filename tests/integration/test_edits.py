"""A rollout under way is changed, and a hotfix takes the place of a bad one."""
import contextlib
import http.client
import http.server
import os
import threading

import pytest

from bad_parts import rest
from conftest import Small
from waits import HANG_S, until


@pytest.fixture(scope="module")
def up(folder, bin_dir):
    one = Small(folder, bin_dir, name="test")
    one.up(["a", "b"])
    with open(os.path.join(one.dir, "controller", "admin.token"),
              encoding="utf-8") as file:
        one.admin = file.read().strip()
    for version, file, golden in (
            ("1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json"),
            ("2", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json"),
            ("3", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json"),
            ("4", "tiny-v2.1.Q4_0.gguf", "golden-tiny-v2.1.json")):
        one.publish_whole("tiny@" + version, file, golden, "--label", version)
    one.roll("tiny@1")
    yield one
    one.close()


def get(up, rollout):
    return up.ask("rollout", "get", rollout)


def waiting_for_soak(up, release):
    """One of two devices has it, and the phase would soak for a day."""
    started = up.ask("rollout", "start", release, "--phase", "1,soak=24h",
                     "--phase", "100%", "--soak", "500ms",
                     "--hold-for-person")["id"]
    until("the canary has it",
          lambda: get(up, started)["phases"][0]["counts"].get("succeeded"))
    return started


def asked(up, rollout):
    """Its specification, and how far its phases are."""
    one = get(up, rollout)
    return one["spec"], one["etag"], [p["counts"] for p in one["phases"]]


def test_a_rollout_under_way_takes_other_words(up):
    started = waiting_for_soak(up, "tiny@2")
    before = asked(up, started)
    shorter = ("rollout", "edit", started, "--phase", "1,soak=0s", "--phase",
               "100%", "--pace", "60000/min", "--reason", "CHG-12")
    would = up.ask(*shorter, "--dry-run")
    assert would["changed"] == "phases, rate", would["changed"]
    assert asked(up, started) == before

    up.ask(*shorter)
    up.cli("rollout", "wait", started, "--for", "completed", "-q")
    assert get(up, started)["spec"]["rate"] == "60000/min"
    trace = up.ask("rollout", "explain", started)["trace"]
    assert any("edit: " in line and "phases, rate" in line
               for line in trace), trace
    audited = [line for line in up.ask("audit", "list")
               if line["what"] == "rollout.edit"]
    assert len(audited) == 1 and "CHG-12" in str(audited[0])


def test_what_is_fixed_is_refused_and_nothing_changes(up):
    started = waiting_for_soak(up, "tiny@3")
    path = "/v1/rollouts/" + started
    before = asked(up, started)
    for change, status, error in (
            ({"release": "tiny@4"}, 422, "rest.meaning"),
            ({"group": "lab"}, 422, "rest.meaning"),
            ({"phases": [{"size": "2"}]}, 422, "rest.meaning"),
            ({"phases": [{"size": "100%"}]}, 422, "rest.meaning"),
            ({"approvals": 1}, 422, "rest.meaning"),
            ({"rate": "a lot"}, 400, "rest.schema"),
            ({"pase": "60/min"}, 400, "rest.unknown")):
        answer = rest(up, "PATCH", path, {"change": change})
        assert answer[0] == status and error in str(answer), (change, answer)
    assert asked(up, started) == before
    etag = get(up, started)["etag"]
    match = (("If-Match", etag),)
    assert rest(up, "PATCH", path, {"change": {"rate": "90/min"}},
                headers=match)[0] == 200
    late = rest(up, "PATCH", path, {"change": {"rate": "80/min"}},
                headers=match)
    assert late[0] == 412, late
    assert rest(up, "PATCH", path, {"change": {"rate": 1}},
                headers=match)[0] == 400  # before its time is looked at
    assert rest(up, "PATCH", path, {"change": {"rate": "90/min"}})[1][
        "changed"] == ""

    up.cli("approval", "set", "all", "--people", "1")
    answer = rest(up, "PATCH", path, {"change": {"rate": "80/min"}})
    assert "rollout.approval" in str(answer), answer
    up.cli("approval", "delete", "all")


@pytest.mark.parametrize("chars", [57, 58, 59, 500])
def test_a_long_reason_is_kept_whole(up, chars):
    path = "/v1/rollouts/" + running(up)
    reason = "x" * chars + "éé: wegen Wartung"[:512 - chars - 6]
    for action, state in (("pause", "paused"), ("resume", "running")):
        answer = rest(up, "POST", path + "/actions",
                      {"action": action, "reason": reason})
        assert answer[0] == 200, answer
        seen = rest(up, "GET", path)[1]
        assert (seen["state"], seen["reason"]) == (
            state, "%s: admin, %s" % (action, reason))


class Between(http.server.BaseHTTPRequestHandler):
    """Passes calls on.  Before a change arrives, somebody else makes one."""
    up = None

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.command == "PATCH":
            assert rest(self.up, "PATCH", self.path.split("?")[0], {
                "change": {"rate": "66/min"}})[0] == 200
        head = {name: value for name, value in self.headers.items()
                if name not in ("Host", "Content-Length")}
        with contextlib.closing(http.client.HTTPConnection(
                "127.0.0.1", self.up.port, timeout=HANG_S)) as to:
            to.request(self.command, self.path, body or None, head)
            answer = to.getresponse()
            text = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PATCH = pass_on

    def log_message(self, *_):
        pass


def running(up):
    return [one["id"] for one in up.ask("rollout", "list")
            if one["state"] == "running"][0]


def test_an_edit_is_of_what_was_read(up):
    started = running(up)
    between = type("OfUp", (Between,), {"up": up})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), between) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code, _, err = up.cli(
            "rollout", "edit", started, "--pace", "80/min", "--controller",
            "http://127.0.0.1:%d" % server.server_port, "--token-file",
            os.path.join(up.dir, "controller", "admin.token"), check=False)
        server.shutdown()
    assert code != 0 and "rest.stale" in err, err
    assert "edit again" in err, err
    assert get(up, started)["spec"]["rate"] == "66/min"


def test_an_edit_of_nothing_is_an_error_of_usage(up):
    for words in ((), ("--reason", "CHG-13")):
        code, out, err = up.cli("rollout", "edit", running(up), *words,
                                check=False)
        assert code == 2 and "cli.usage" in err, (code, out, err)
        assert "say what shall change" in err, err


@pytest.mark.parametrize("reason", ["two\nlines", "\u202erevo", "a\u2066b",
                                    "\x1b[2J", "\u0085"])
def test_a_reason_is_one_line_that_reads_as_it_is(up, reason):
    started = running(up)
    before = asked(up, started)
    for method, path, body in (
            ("PATCH", "/v1/rollouts/" + started, {"change": {"rate": "9/min"}}),
            ("POST", "/v1/rollouts/%s/actions" % started, {"action": "pause"}),
            ("POST", "/v1/rollouts", {"release": "tiny@1"})):
        answer = rest(up, method, path, dict(body, reason=reason))
        assert answer[0] == 400 and "rest.schema" in str(answer), answer
    assert asked(up, started) == before
    good = {"change": {"rate": "66/min"}, "reason": "Änderung 12 – שלום"}
    assert rest(up, "PATCH", "/v1/rollouts/" + started, good)[0] == 200


def test_a_line_that_left_the_file_is_no_longer_asked(up):
    started = running(up)
    path = os.path.join(up.dir, "edited.yaml")

    def edit(text, *more):
        with open(path, "w", encoding="utf-8") as file:
            file.write("# by hand\n" + text)
        return up.ask("rollout", "edit", started, "-f", path, *more)["changed"]

    # members alone: the others stay
    assert edit("rate: 70/min # slower\nlimits: {max_concurrent: 9, "
                "window: 'mon-sun 00:00-24:00 UTC'}\n") == \
        "rate, limits.max_concurrent, limits.window"
    assert edit("limits: {max_concurrent: 8}\n") == "limits.max_concurrent"
    whole = up.cli("rollout", "get", started, "-o", "yaml")[1]
    assert edit(whole) == ""
    kept = [line for line in whole.splitlines()
            if "window:" not in line and "rate:" not in line]
    text = "\n".join(kept) + "\n"
    changed = edit(text, "--dry-run")
    assert set(changed.split(", ")) == {"rate", "limits.window"}, changed
    assert edit(text) == changed
    spec = get(up, started)["spec"]
    assert "rate" not in spec, spec
    assert spec["limits"] == {"max_concurrent": 8}, spec
    assert edit(text) == ""


def test_a_hotfix_takes_the_place_of_the_one_that_runs(up):
    bad = [one["id"] for one in up.ask("rollout", "list")
           if one["state"] == "running"]
    assert len(bad) == 1
    code, _, error = up.cli("rollout", "start", "tiny@4", "--phase", "100%",
                            check=False)
    assert code != 0 and "rollout.running" in error, (code, error)
    assert "--supersede" in error

    plan = up.ask("rollout", "start", "tiny@4", "--phase", "100%",
                  "--supersede", "--dry-run")
    assert [(o["rollout"], o["ends"]) for o in plan["overlaps"]] == \
        [(bad[0], True)]
    assert get(up, bad[0])["state"] == "running"

    fixed = up.roll("tiny@4", "--supersede")
    assert fixed["state"] == "completed"
    until("the other one is over",
          lambda: get(up, bad[0])["state"] == "aborted")
    assert fixed["id"] in get(up, bad[0])["reason"]
    assert fixed["phases"][0]["counts"] == {"succeeded": 2}


def test_a_rollout_that_is_over_takes_no_other_words(up):
    over = [one["id"] for one in up.ask("rollout", "list")
            if one["state"] in ("aborted", "completed")]
    assert len(over) >= 2, over
    for rollout in over:
        before = asked(up, rollout)
        for change in ({"rate": "9/min"}, {"gates": {"preset": "fast"}},
                       {"phases": [{"size": "100%"}]}):
            answer = rest(up, "PATCH", "/v1/rollouts/" + rollout,
                          {"change": change})
            assert answer[0] == 409, (rollout, change, answer)
        assert asked(up, rollout) == before
