"""A signed order keeps prompts on the devices, whatever their owners' routes
say; a second one gives the routes back, and no more."""
import json
import os
import sys
import threading

import pytest

import chromium
import fleet as F
from conftest import Small
from fake_cloud import Cloud
from waits import HANG_S, Seen, joined, same, until

QUESTION = "Rate this log line: 20:25 gateway-42 link lost temp=94C"
ROUTE = """endpoints:
  cloud: {url: "%s", model: gpt-cloud}
routes:
  tiny: {to: [tiny, cloud]%s}
"""


class Site(Small):
    """A fleet of one device, whose owner has a route to a cloud."""

    def bring_up(self):
        self.cloud = Cloud()
        self.up([])
        self.device = self.devices["a"] = F.Device(self, "a")
        self.device.enroll(self.token)
        self.device.write_config(ROUTE % (self.cloud.url, ""))
        self.device.start()
        self.online(["a"])
        self.publish_whole("tiny@1", "tiny-v2.Q4_0.gguf",
                           "golden-tiny-v2.json")
        self.roll("tiny@1")
        return self

    def served_by(self):
        """Who answers a request that asks to leave."""
        connection = self.device.connection(HANG_S)
        connection.request("POST", "/v1/chat/completions", json.dumps({
            "model": "tiny", "temperature": 0, "max_tokens": 4,
            "messages": [{"role": "user", "content": QUESTION}]}),
            {"Content-Type": "application/json",
             "X-Flotilla-Escalate": "1"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == 200, body
        return answer.getheader("X-Flotilla-Served-By")

    def leaves(self):
        until("an answer of the cloud", lambda: same(
            self.served_by(), "cloud; reason=app"))

    def stays(self, requests=3):
        """So many requests, of which none reaches the cloud."""
        before = len(self.cloud.requests)
        for _ in range(requests):
            assert self.served_by() == "tiny@1"
        assert len(self.cloud.requests) == before

    def agent(self, *words, check=True):
        return self.program("flotilla-agent", words[0], "--config",
                            self.device.config, *words[1:], check=check)

    def kept(self):
        return json.loads(self.agent("status", "-o", "json")[1])[
            "prompts_stay"]

    def order(self, word):
        return self.ask("prompts", word, "--confirm", "test", "--reason",
                        "an audit")["id"]

    def obeys(self, word):
        order = self.order(word)
        until("its answer", lambda: same(
            self.ask("order", "get", order)["done"], 1))
        return order

    def restart(self, *between):
        """The agent ends and starts; `between` is ordered while it is gone."""
        self.device.stop()
        until("a is gone", lambda: self.ask(
            "device", "get", "a")["state"] == "offline")
        for word in between:
            self.order(word)
        self.device.start()

        def is_up():
            try:
                return self.device.get("/health")[0] == 200
            except OSError as error:
                return Seen(error)
        until("the local API", is_up)


@pytest.fixture(scope="module")
def up(folder, bin_dir):
    one = Site(folder, bin_dir, name="test")
    yield one.bring_up()
    one.cloud.close()
    one.close()


def test_an_order_keeps_prompts_here_and_a_second_one_ends_that(up):
    up.leaves()
    assert not up.kept()

    order = up.obeys("stay")
    up.stays()
    assert up.kept() and "PROMPTS STAY" in up.agent("status")[1]
    until("the report", lambda: up.ask("device", "get", "a")["prompts_stay"])
    assert [d["name"] for d in up.ask(
        "device", "list", "--where", "prompts_stay=true")] == ["a"]
    assert up.ask("version")["controller"]["prompts_stay"]
    assert "prompts stay" in up.cli("order", "get", order)[1]
    assert "prompts go ends it" in up.cli("version")[1]

    up.obeys("go")
    up.leaves()
    assert not up.kept()
    assert not up.ask("version")["controller"]["prompts_stay"]


def test_the_order_survives_a_restart_from_the_first_request_on(up):
    up.leaves()
    up.obeys("stay")
    before = len(up.cloud.requests)
    up.restart()
    # The connection to the cloud is there before the shell's first second ends.
    up.stays(200)
    assert len(up.cloud.requests) == before
    up.obeys("go")
    up.leaves()


def test_a_device_that_was_away_gets_the_newest_order_at_its_return(up):
    up.leaves()
    up.restart("stay", "go", "stay")
    until("the order", up.kept)
    up.stays()
    # One that enrols meanwhile gets it as well.
    b = up.devices["b"] = F.Device(up, "b")
    b.enroll(up.token)
    b.start()
    until("the newcomer's report", lambda: sorted(d["name"] for d in up.ask(
        "device", "list", "--where", "prompts_stay")) == ["a", "b"])
    b.stop()
    up.ask("device", "delete", "b", "--confirm", "b")
    up.restart("go")
    until("its end", lambda: not up.kept())
    up.leaves()


def test_an_order_that_comes_during_a_redaction_keeps_the_prompt(up):
    begun, go_on = (os.path.join(up.dir, name) for name in ("begun", "go-on"))
    for pipe in begun, go_on:
        os.mkfifo(pipe)
    program = os.path.join(up.dir, "redact.py")
    with open(program, "w") as file:
        file.write("#!%s\nimport sys\ntext = sys.stdin.read()\n"
                   "open(%r, 'w').close()\nopen(%r).read()\nprint(text)\n" %
                   (sys.executable, begun, go_on))
    os.chmod(program, 0o755)
    up.device.write_config(ROUTE % (
        up.cloud.url, ", redact: ['%s'], redact_timeout: 60s" % program))
    up.restart()
    before, is_kept, answers = len(up.cloud.requests), threading.Event(), []

    def ask():  # until one leaves its model, and is redacted
        while not is_kept.is_set():
            answers.append(up.served_by())
    asks = threading.Thread(target=ask)
    asks.start()
    with open(begun) as pipe:
        pipe.read()
    up.obeys("stay")
    is_kept.set()
    # A redaction that was killed meanwhile reads nothing, and nobody waits for it.
    threading.Thread(target=lambda: open(go_on, "w").close(), daemon=True).start()
    joined(asks)
    assert set(answers) == {"tiny@1"} and len(up.cloud.requests) == before
    up.device.write_config(ROUTE % (up.cloud.url, ""))
    up.restart()
    up.obeys("go")


def test_what_left_is_counted_by_its_reason_and_no_word_of_it(up):
    def left():
        rows = up.ask("telemetry", "away", "--since", "1h")
        return rows[0]["left"] if rows else 0
    up.leaves()
    before = left()
    for _ in range(3):
        assert up.served_by() == "cloud; reason=app"
    until("three more", lambda: left() >= before + 3 or Seen(left()))
    [row] = up.ask("telemetry", "away", "--since", "1h", "--by", "device")
    assert row["name"] == "a" and row["app"] >= 3, row
    assert row["left"] == sum(row[why] for why in (
        "down", "loading", "queue", "long", "form", "app")), row
    assert row["requests"] == row["here"] + row["left"], row
    assert 0 < row["share"] <= 100, row
    shown = up.cli("telemetry", "away", "--since", "1h")[1]
    assert "tiny@1" in shown and " %" in shown, shown


@pytest.mark.skipif(not chromium.PROGRAM,
                    reason="chromium-headless-shell is not installed")
def test_the_dashboard_shows_which_share_left_and_why(up):
    up.leaves()
    until("a count", lambda: up.ask("telemetry", "away", "--since", "1h"))
    page = chromium.Page(up.dir)
    page.open(up.url)
    with open(up.admin_token) as file:
        page.run("sessionStorage.setItem('flotilla.token', %s)" %
                 json.dumps(file.read().strip()))
    page.open("about:blank")
    page.open(up.url)
    page.until("document.querySelector('[aria-label=Summary]')")
    for path, name in ("telemetry", "tiny@1"), ("devices/a", "1"):
        table = "[aria-label='Requests that left']"
        chromium.go(page, path, table)
        chromium.has(page, table + " tbody", "app ")
        cells = page.text(table + " tbody").split("\t")
        assert name in cells, cells
        assert page.run("document.querySelector(%s).getAttribute("
                        "'aria-label')" % json.dumps(
                            table + " svg")).endswith("left")
    page.close()


def test_an_order_of_a_stranger_changes_nothing(up):
    up.obeys("stay")
    folder, file = os.path.join(up.dir, "keys"), os.path.join(up.dir, "go.json")
    up.cli("key", "create", "stranger", "--to", folder)
    up.cli("emergency", "prompts", "go", "--key",
           os.path.join(folder, "stranger.key"), "--to", file)
    code, _, err = up.agent("order", "--file", file, check=False)
    assert code == 7 and "sig.unknown_key" in err, err
    assert up.kept()
    up.stays()
    up.obeys("go")


def test_the_emergency_key_stops_and_ends_only_what_it_stopped(up):
    folder, file = os.path.join(up.dir, "keys"), os.path.join(up.dir, "e.json")
    key, draft = os.path.join(folder, "emergency.key"), os.path.join(
        up.dir, "draft.json")
    up.cli("key", "create", "emergency", "--to", folder)
    up.cli("key", "rotate", "emergency", key[:-4] + ".pub", "--to", draft,
           "--keep")
    up.cli("trust", "sign", draft, "--key", os.path.join(folder, "root.key"))
    up.cli("trust", "publish", draft)

    def tell(word):
        order = up.ask("emergency", "prompts", word, "--key", key, "--to",
                       file, "--publish")["id"]
        until("its answer", lambda: same([
            e["answers"]["done"] for e in up.ask("emergency", "list")
            if e["id"] == order], [1]))
    up.leaves()
    tell("stay")
    up.stays()
    up.obeys("go")  # the controller's word does not end it
    up.stays()
    up.obeys("stay")
    tell("go")      # nor the emergency key's what the controller ordered
    up.stays()
    up.obeys("go")
    up.leaves()
