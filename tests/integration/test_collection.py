"""The controller's store of artifacts over years: deltas that nobody can begin
with go, and nothing that a device needs."""
import contextlib
import http.server
import os
import sqlite3
import threading
import urllib.error
import urllib.request

import pytest

import sets
from conftest import MODELS, Small
from waits import HANG_S, joined, same, until, wall_s

V1, V2, V3 = ("tiny-%s.Q4_0.gguf" % v for v in ("v1", "v2", "v2.1"))


@pytest.fixture(scope="module")
def fleet(folder, bin_dir):
    one = Small(folder, bin_dir, name="test")
    one.up(["old", "new"], "--unused-kept", "1h")
    one.publish("tiny@1", V1, "golden-tiny-v1.json", "--delta-from", "none")
    one.roll("tiny@1")
    one.publish("tiny@2", V2, "golden-tiny-v2.json", "--delta-from", "1")
    one.publish("tiny@3", V3, "golden-tiny-v2.1.json", "--delta-from", "2")
    one.publish("tiny@4", V2, "golden-tiny-v2.json", "--delta-from", "3")
    one.publish("tiny@5", V3, "golden-tiny-v2.1.json", "--delta-from", "4")
    yield one
    one.close()


def release(fleet, title):
    return fleet.ask("release", "get", title)


def deltas(fleet, title):
    return [way["digest"] for file in release(fleet, title)["document"]["files"]
            for way in file["get"] if "base" in way]


def reported(fleet, current, previous):
    """Both devices told the controller what they have."""
    def slots():
        return [fleet.ask("device", "get", name)["slots"]
                for name in ("old", "new")]
    until("%s, and before that %s" % (current, previous), lambda: same(
        [[(each[slot] or {}).get("version")
          for slot in ("current", "previous")] for each in slots()],
        [[current, previous]] * 2))


def path(fleet, digest):
    return os.path.join(fleet.dir, "controller", "blobs", digest.replace(":", "-"))


def age(fleet):
    """All that is there came two hours ago: longer than --unused-kept."""
    data = os.path.join(fleet.dir, "controller")
    at = wall_s() - 7200
    for name in sets.names(os.path.join(data, "blobs")):
        with contextlib.suppress(FileNotFoundError):
            os.utime(os.path.join(data, "blobs", name), (at, at))
    base = sqlite3.connect(os.path.join(data, "control.db"), timeout=HANG_S)
    with base:
        base.execute("UPDATE release SET created_at = ?", (int(at * 1000),))
    base.close()


def collect(fleet, *more):
    age(fleet)
    return fleet.ask("release", "collect", *more)


def test_while_a_device_has_the_old_file_its_deltas_stay(fleet):
    first = deltas(fleet, "tiny@2")
    assert len(first) == 1, first
    found = collect(fleet)["found"]
    assert found["deltas"] == 0 and found["files"] > 8, found
    assert os.path.exists(path(fleet, first[0]))


def test_a_delta_that_nobody_can_begin_with_goes(fleet):
    fleet.roll("tiny@4")
    reported(fleet, "4", "1")
    first = deltas(fleet, "tiny@2")[0]
    assert collect(fleet)["found"]["deltas"] == 0  # a way back to tiny@1
    assert os.path.exists(path(fleet, first))
    fleet.roll("tiny@5")
    reported(fleet, "5", "4")
    bytes_ = os.path.getsize(path(fleet, first))
    plan = collect(fleet, "--dry-run")
    assert plan["dry_run"] and os.path.exists(path(fleet, first)), plan
    named = [item for item in plan["items"] if item["digest"] == first]
    assert {item["release"] for item in named} >= {"tiny@2"}, plan
    assert all(item["bytes"] == bytes_ for item in named), plan
    done = collect(fleet)
    assert not os.path.exists(path(fleet, first)), done
    assert done["found"]["removed_bytes"] >= bytes_, done
    assert release(fleet, "tiny@2")["collected"] == [first]
    assert release(fleet, "tiny@2")["missing"] == []
    # Deltas from what devices and the newest releases have stay.
    for title in ("tiny@4", "tiny@5"):
        for digest in deltas(fleet, title):
            assert digest == first or os.path.exists(path(fleet, digest))
    audit = fleet.ask("audit", "list")
    assert any(row["what"] == "blob.collect" for row in audit), audit


def test_a_new_release_makes_no_step_of_what_was_collected(fleet):
    fleet.publish("tiny@6", V2, "golden-tiny-v2.json", "--delta-from", "2")
    first = deltas(fleet, "tiny@2")[0]
    assert first not in deltas(fleet, "tiny@6")


def test_a_device_that_would_take_it_takes_the_whole_file(fleet):
    fleet.add_device("late", fleet.token)
    fleet.online(["late"])
    late = fleet.devices["late"]
    fleet.cli("group", "create", "drawer")
    fleet.cli("group", "add", "drawer", "late")
    fleet.roll("tiny@1", "--group", "drawer")
    done = fleet.roll("tiny@2", "--group", "drawer")
    assert done["transfer"]["bytes"] > 1000000, done
    lines = fleet.ask("device", "logs", "late")["lines"]
    assert any("takes another way" in line and "was collected" in line
               for line in lines), "\n".join(lines)
    assert late.ask("hello", "tiny", max_tokens=4)[1].startswith("tiny@2")


def test_an_upload_brings_it_back(fleet):
    first = deltas(fleet, "tiny@2")[0]
    fleet.publish("tiny@7", V2, "golden-tiny-v2.json", "--delta-from", "1")
    assert deltas(fleet, "tiny@7") == [first]
    assert release(fleet, "tiny@2")["collected"] == []
    assert os.path.exists(path(fleet, first))


class Forgetful(http.server.BaseHTTPRequestHandler):
    """In front of the controller: each artifact seems to be there.  So it is
    for who asks before a collection and sends the document after it."""

    def answer(self):
        if self.command == "HEAD" and "/v1/blobs/" in self.path:
            self.send_response(200)
            self.end_headers()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = urllib.request.Request(
            self.server.url + self.path, data=body or None,
            method=self.command, headers={
                name: value for name, value in self.headers.items()
                if name.lower() not in ("host", "content-length", "expect",
                                        "connection", "accept-encoding")})
        try:
            with urllib.request.urlopen(asked, timeout=HANG_S) as got:
                status, told, data = got.status, got.headers, got.read()
        except urllib.error.HTTPError as got:
            status, told, data = got.code, got.headers, got.read()
        self.send_response(status)
        self.send_header("Content-Type", told.get("Content-Type", "text/plain"))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_HEAD = answer

    def log_message(self, *_):
        pass


def test_what_went_during_a_publication_is_sent_again(fleet):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Forgetful)
    server.url = fleet.url
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        made = fleet.publish(
            "fresh@1", "tiny-v1.Q4_1.gguf", "golden-tiny-v1.json",
            "--controller", "http://127.0.0.1:%d" % server.server_port,
            "--token-file", fleet.admin_token)
    finally:
        server.shutdown()
        joined(thread)
        server.server_close()
    assert made["state"] == "published", made
    assert release(fleet, "fresh@1")["missing"] == []


def test_numbers_are_exposed(fleet):
    with urllib.request.urlopen(fleet.url + "/metrics", timeout=HANG_S) as answer:
        text = answer.read().decode()
    assert "flotilla_artifacts_collected_total" in text, text
    total = [line for line in text.splitlines()
             if line.startswith("flotilla_artifacts_collected_total ")]
    assert float(total[0].split()[1]) >= 1, total


def test_a_person_sees_what_would_go(fleet):
    fleet.cli("model", "import", os.path.join(MODELS, "tiny-v1.Q8_0.gguf"))
    age(fleet)
    _, out, _ = fleet.cli("release", "collect", "--dry-run", "-o", "table")
    assert "would be removed: " in out and "1 file of no release" in out, out


def test_who_is_no_admin_removes_nothing(fleet):
    secret = os.path.join(fleet.dir, "operator.token")
    fleet.cli("token", "create", "--kind", "access", "--role", "operator",
              "--name", "op", "--to", secret, "-q")
    code, _, err = fleet.cli("release", "collect", "--token-file", secret,
                             check=False)
    assert code != 0 and "rest.role" in err, err
