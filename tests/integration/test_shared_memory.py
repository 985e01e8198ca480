"""Several models that share the memory: plan, loads on demand, who gives way."""
import http.client
import json
import os
import signal
import socket
import subprocess
import threading

import pytest
import sets
from waits import HANG_S, joined, same, until

sees_maps = pytest.mark.skipif(
    os.getuid() != 0, reason="an engine shows its maps to root alone")

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
MODELS = os.path.join(ROOT, "tests", "models")
FILES = {"alarm": "tiny-v1.Q4_0", "helpdesk": "tiny-v2.Q4_0",
         "vision": "tiny-v2.1.Q4_0", "site": "tiny-v1.Q8_0",
         "spare": "tiny-v1.F16"}
# Three of the five stay: all at the smallest rung would take 155 MB.
FLAGS = ["--memory", "130", "--pin", "alarm", "--weight", "helpdesk=90",
         "--weight", "vision=80"]
STAY, ON_DEMAND = ["alarm", "helpdesk", "vision"], ["site", "spare"]


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=HANG_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(HANG_S)
        self.sock.connect(self.path)


def command(bin_dir, *flags):
    line = [os.path.join(bin_dir, "flotilla-agent"), "serve"]
    for name, file in FILES.items():
        line += ["--model", "%s=%s.gguf" % (name, os.path.join(MODELS, file))]
    return line + list(flags)


class Several:
    def __init__(self, bin_dir, folder):
        self.path = os.path.join(folder, "several.sock")
        self.out = os.path.join(folder, "several.out")
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen(
                command(bin_dir, "--listen", "unix:" + self.path, *FLAGS),
                stdout=out)

        def serves():
            assert self.process.poll() is None
            return all("serving %s@" % name in self.said() for name in STAY)
        until("those that stay", serves, self.said)

    def said(self):
        with open(self.out, encoding="utf-8") as file:
            return file.read()

    def call(self, method, path, body=None):
        connection = Unix(self.path)
        connection.request(method, path,
                           None if body is None else json.dumps(body))
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, answer.headers, text

    def ask(self, model, **fields):
        status, headers, text = self.call(
            "POST", "/v1/completions",
            dict({"model": model, "prompt": "Classify: 23:45 oven-95",
                  "max_tokens": 8, "ignore_eos": True}, **fields))
        return status, headers, json.loads(text)

    def engines(self):
        """Processes below the agent, by the file of weights they map."""
        pids = {}
        for pid in sets.children(self.process.pid):
            maps = sets.text("/proc/%d/maps" % pid)
            for name, file in FILES.items():
                if "/%s.gguf" % file in maps:
                    pids[name] = pid
        return pids

    def states(self):
        return {model["id"]: model["state"] for model in json.loads(
            self.call("GET", "/v1/models")[2])["data"]}

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(HANG_S) == 0


@pytest.fixture(scope="module")
def server(bin_dir, folder):
    one = Several(bin_dir, folder)
    yield one
    one.close()


def test_the_plan_says_which_models_stay(server):
    said = server.said()
    for name in STAY:
        assert "plan: %s stays" % name in said
    for name in ON_DEMAND:
        assert "plan: %s on demand" % name in said
    planned, budget = [int(word) for line in said.splitlines()
                       if " bytes, " in line and "for models" in line
                       for word in line.split() if word.isdigit()][:2]
    assert planned <= budget == 130 << 20
    until("each is where the plan says", lambda: same(server.states(), dict(
        {name: "ready" for name in STAY},
        **{name: "on-demand" for name in ON_DEMAND})))


class Clients:
    """One for each model that stays, without a pause."""

    def __init__(self, server):
        self.server, self.stops = server, False
        self.good, self.bad = dict.fromkeys(STAY, 0), []
        self.threads = [threading.Thread(target=self.run, args=(name,))
                        for name in STAY]
        for thread in self.threads:
            thread.start()

    def run(self, name):
        while not self.stops:
            try:
                status, headers, body = self.server.ask(name)
                good = (status == 200 and headers["X-Flotilla-Release"] ==
                        name + "@local" and
                        body["usage"]["completion_tokens"] == 8)
            except OSError as error:
                good, body = False, repr(error)
            if good:
                self.good[name] += 1
            else:
                self.bad.append((name, body))

    def end(self):
        self.stops = True
        for thread in self.threads:
            joined(thread)
        assert not self.bad, self.bad[:3]
        assert all(self.good.values()), self.good


def held(server):
    line, = [line for line in server.call("GET", "/metrics")[2].splitlines()
             if line.startswith("flotilla_requests_held ")]
    return int(line.split()[1])


def loaded(server, name):
    """It and those that stay, and no other one."""
    until("%s next to those that stay" % name, lambda: same(
        set(server.engines()), set(STAY + [name])))


def site_keeps_its_place(server):
    """site, which was loaded, answers at once though spare waits for its place.
    False: its ten seconds were over by then."""
    assert server.ask("site")[0] == 200
    answers = []
    thread = threading.Thread(target=lambda: answers.append(
        server.ask("spare")))
    thread.start()
    until("spare waits", lambda: answers or held(server))
    status, _, body = server.ask("site")
    assert status == 200, body
    keeps = body["timings"]["load_ms"] == 0
    joined(thread)
    [(status, _, body)] = answers
    assert status == 200 and body["timings"]["load_ms"] > 0, body
    return keeps


@sees_maps
def test_models_on_demand_take_turns_and_disturb_nobody(server):
    clients = Clients(server)
    try:
        status, _, body = server.ask("site")
        assert status == 200 and body["timings"]["load_ms"] > 0
        loaded(server, "site")
        until("site serves before it gives way",
              lambda: site_keeps_its_place(server))
        loaded(server, "spare")
        status, _, body = server.ask("spare")
        assert body["timings"]["load_ms"] == 0
        # Everything is within the plan: shared pages count once (Pss).
        try:
            rollups = [sets.text("/proc/%d/smaps_rollup" % pid)
                       for pid in server.engines().values()]
        except PermissionError:
            return  # only root may look into a sandbox
        assert sum(int(each.split("Pss:")[1].split()[0]) * 1024
                   for each in rollups if each) <= 130 << 20
    finally:
        clients.end()


@sees_maps
def test_a_lost_engine_comes_back_and_no_other_notices(server):
    pid = server.engines()["vision"]
    os.kill(pid, signal.SIGKILL)
    status, _, body = server.ask("vision")
    assert status == 200, body
    assert server.engines()["vision"] != pid
    assert server.ask("alarm")[0] == 200


def test_the_numbers_are_per_model(server):
    for name in FILES:
        assert server.ask(name)[0] == 200
    text = server.call("GET", "/metrics")[2]
    for name in FILES:
        line, = [line for line in text.splitlines() if line.startswith(
            'flotilla_model_requests_total{model="%s"}' % name)]
        assert int(line.split()[1]) > 0
        # Each model has its own times; the one for all is their sum.
        assert 'flotilla_model_ttft_seconds_bucket{model="%s",le="+Inf"}' \
            % name in text
    counts = [int(line.split()[1]) for line in text.splitlines()
              if line.startswith("flotilla_model_request_seconds_count{")]
    whole, = [line for line in text.splitlines() if line.startswith(
        "flotilla_request_seconds_count ")]
    assert len(counts) == len(FILES) and sum(counts) == int(whole.split()[1])
    loads = [line for line in text.splitlines() if line.startswith(
        'flotilla_model_loads_total{model="site"}')]
    assert loads and int(loads[0].split()[1]) >= 1
    if os.geteuid() == 0:  # others may not look into a sandbox
        for kind in ("pss", "rss"):
            assert 'flotilla_engine_%s_bytes{role="current",model="alarm"' \
                % kind in text


def refused(bin_dir, folder, *flags):
    done = subprocess.run(
        command(bin_dir, "--listen",
                "unix:" + os.path.join(folder, "refused.sock"), *flags),
        stderr=subprocess.PIPE, timeout=HANG_S)
    return done.returncode, done.stderr.decode()


def test_what_cannot_be_is_refused_with_its_numbers(bin_dir, folder):
    pins = [word for name in FILES for word in ("--pin", name)]
    code, said = refused(bin_dir, folder, "--memory", "130", *pins)
    assert code == 10 and "memory.budget" in said
    assert "the budget is %d" % (130 << 20) in said and "alarm" in said
    for flags in (["--pin", "other"], ["--weight", "alarm=101"],
                  ["--weight", "alarm"], ["--weight", "alarm=-1"],
                  ["--model", "alarm=" + sets.fitting(MODELS + "/*.gguf")[0]]):
        assert refused(bin_dir, folder, *flags)[0] == 2, flags
    code, said = refused(bin_dir, folder, "--model",
                         "bad=" + os.path.join(MODELS, "README.md"))
    assert code != 0 and "gguf.magic" in said and "bad" in said
