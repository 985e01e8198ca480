"""Walls of each process of the product: what /proc tells while all of them run is what
the table in docs/security.md says.

FLOTILLA_WALLS=write writes the table instead."""
import json
import os
import re
import signal
import subprocess
import sys

import pytest

import fleet as F
import sets
from conftest import BIN, ROOT
from runtime_parts import Runtimes
from test_runtimes import QUESTION, fake, publish
from waits import HANG, HANG_S, Seen, until

PAGE = os.path.join(ROOT, "docs", "security.md")
MARKS = "<!-- walls: begin -->\n", "<!-- walls: end -->\n"
HEAD = ("process", "new privileges", "calls", "rights of root", "read by its user", "core",
        "files", "listens", "of its own")
CAPABILITIES = {1: "dac_override", 3: "fowner", 5: "kill", 19: "sys_ptrace", 21: "sys_admin"}
GIVEN = {}
ALL = int(re.search(r"^CapPrm:\s+(\w+)$", sets.text("/proc/self/status"), re.M).group(1), 16)

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--mount-proc", "true"],
        check=False, capture_output=True).returncode != 0,
    reason="only root has rights to give up; a runtime has namespaces")


# ---- one process ----

def rights(status):
    found = int(status["CapPrm"], 16) | int(status["CapEff"], 16) | int(status["CapAmb"], 16)
    if found in (0, ALL):
        return "all" if found else "none"
    return ", ".join(CAPABILITIES.get(bit, str(bit)) for bit in range(64) if found >> bit & 1)


def is_read(pid, status):
    """By another process of its user and group that has no right of root."""
    return subprocess.run(
        ["setpriv", "--reuid", status["Uid"], "--regid", status["Gid"], "--clear-groups",
         "--bounding-set=-all", "--inh-caps=-all", "head", "-c1", "/proc/%d/maps" % pid],
        check=False, capture_output=True).returncode == 0


def listening(pid):
    """How many of its sockets accept connections."""
    nodes = set()
    for name in ("tcp", "tcp6"):
        for line in sets.text("/proc/%d/net/%s" % (pid, name)).split("\n")[1:-1]:
            nodes |= {line.split()[9]} if line.split()[3] == "0A" else set()
    for line in sets.text("/proc/%d/net/unix" % pid).split("\n")[1:-1]:
        nodes |= {line.split()[6]} if int(line.split()[3], 16) & 0x10000 else set()
    own = [one[8:-1] for one in sets.descriptors(pid).values() if one.startswith("socket:[")]
    return len(nodes & set(own))


def own(pid):
    """Namespaces that are not those of the device, and a root that is not its root."""
    words = [word for word, name in (("network", "net"), ("processes", "pid"), ("mounts", "mnt"))
             if os.readlink("/proc/%d/ns/%s" % (pid, name)) !=
             os.readlink("/proc/self/ns/%s" % name)]
    return ", ".join(words + (["root"] if os.readlink("/proc/%d/root" % pid) != "/" else []))


def limits(pid):
    """Hard limits: those of this test are what a process was started with."""
    return {name: "as started" if GIVEN.get(name) == hard else hard for name, hard in
            re.findall(r"^Max ([a-z ]*[a-z])  +\w+ +(\w+)", sets.text("/proc/%d/limits" % pid), re.M)}


def walls(pid):
    status = dict(re.findall(r"^(\w+):\s+(\w+)", sets.text("/proc/%d/status" % pid), re.M))
    limit = limits(pid)
    if not limit:
        return None  # it has gone
    return ("none" if status["NoNewPrivs"] == "1" else "possible",
            "listed" if status["Seccomp"] == "2" else "all", rights(status),
            "yes" if is_read(pid, status) else "no", limit["core file size"], limit["open files"],
            str(listening(pid)), own(pid) or "–")


GIVEN.update(limits(os.getpid()))


# ---- all of them ----

class Scene:
    """A fleet of which each process runs, and stays until it was looked at."""

    def __init__(self, fleet):
        up = fleet.up
        fleet.up = lambda names: up(names, "--broker-linger", HANG)
        self.fleet, self.rows = fleet, {}
        self.runtimes = Runtimes(fleet, config="neighbours: serve\n"
                                 "neighbours_listen: 127.0.0.1:0\n")
        self.agent = self.runtimes.device.process.pid
        self.engine()
        self.proxy()
        self.gate()
        self.relay()
        self.controller()

    def take(self, name, find):
        """The row of a process that is there now, or comes."""
        def look():
            pids = find()
            return (pids and walls(pids[0])) or Seen(pids)
        self.rows[name] = until("the walls of %s" % name, look)

    def status(self):
        return json.loads(self.fleet.program(
            "flotilla-agent", "status", "--config", self.runtimes.device.config,
            "-o", "json")[1])

    def of_agent(self, program, holds=None):
        return sets.processes(self.agent, program, holds)

    def engine(self):
        """An engine, and an updater of a device that downloads slowly."""
        slow = F.Device(self.fleet, "slow")
        slow.enroll(self.fleet.token)
        slow.write_config("download_rate: 1KiB\n")
        slow.start()
        self.fleet.online(["slow"])
        self.fleet.publish_whole("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
        self.fleet.ask("rollout", "start", "tiny@1", "--phase", "100%", "--soak", "500ms")
        until("served", lambda: self.fleet.serving("tiny@1", ["gw"]))
        self.take("`flotilla-agent`", lambda: [self.agent])
        self.take("engine that serves", lambda: self.of_agent("flotilla-engine", "worker"))
        until("bytes come", lambda: any(one.st_size for one in sets.stats(
            slow.state + "/partial").values()))
        self.take("updater", lambda: slow.children("flotilla-updater"))
        slow.stop()
        until("neighbours are served", lambda: self.status()["neighbours"]["port"])
        self.take("who serves neighbours", lambda: self.of_agent("flotilla-updater", "share"))

    def proxy(self):
        fake(self.runtimes)
        release = publish(self.runtimes, "1", "severity: low")
        self.fleet.ask("rollout", "start", release, "--phase", "100%", "--soak", "500ms")
        until("served", lambda: self.fleet.serving(release, ["gw"]))
        assert self.runtimes.says(QUESTION)[0] == "severity: low"
        until("figures of the keeper", lambda: any(
            one["model"] == "desk" and one["engine_rss_bytes"] for one in self.status()["models"]))
        guard, = self.of_agent("flotilla-engine", "proxy")
        self.guard = guard
        parser, keeper = sorted(sets.children(guard), key=lambda pid: len(sets.children(pid)))
        for name, pid in (("guard", guard), ("parser", parser), ("keeper", keeper)):
            self.take("proxy: " + name, lambda pid=pid: [pid])
        self.take("runtime", lambda: sets.children(keeper))

    def gate(self):
        """A program without an API: its check and its hook wait at a pipe."""
        files = {"weights": "{}", "golden": json.dumps({
            "format": "flotilla-golden-2", "cases": [
                {"id": "one", "file": "weights.json", "expect": [{"exit": 0}]}]})}
        for name, text in files.items():
            files[name] = os.path.join(self.fleet.dir, name + ".json")
            with open(files[name], "w", encoding="ascii") as out:
                out.write(text)
        pipes = [os.path.join(self.fleet.dir, name) for name in ("check.pipe", "hook.pipe")]
        for pipe in pipes:
            os.mkfifo(pipe)
        self.runtimes.write("gate", {
            "api": "none", "memory": "64MiB", "ready": HANG, "read": [self.fleet.dir],
            "check": ["/bin/sh", "-c", "cat " + pipes[0], "{file}"],
            "activate": ["/bin/cat", pipes[1]]})
        self.fleet.cli("release", "create", "gate@1", "--runtime", "gate", "--file",
                       "weights.json=" + files["weights"], "--golden", files["golden"],
                       "--sign-with", self.fleet.key, "--publish")
        self.fleet.ask("rollout", "start", "gate@1", "--phase", "100%", "--soak", "500ms")
        self.take("proxy of a check", lambda: [
            pid for pid in self.of_agent("flotilla-engine", "proxy") if pid != self.guard])
        os.close(os.open(pipes[0], os.O_WRONLY))
        self.take("program of a hook", lambda: self.of_agent("cat"))
        os.close(os.open(pipes[1], os.O_WRONLY))

    def relay(self):
        key = os.path.join(self.fleet.dir, "key")
        with open(key, "w", encoding="ascii",
                  opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
            out.write("key\n")
        at = os.path.join(self.fleet.run, "relay")
        relay = self.fleet.spawn(
            [os.path.join(BIN, "flotilla-relay"), "--listen", "unix:" + at, "--to",
             "https://127.0.0.1:9/v1", "--key-file", key], os.path.join(self.fleet.dir, "relay.log"))
        until("the relay answers", lambda: self.is_answered(at))
        self.take("`flotilla-relay`", lambda: [relay.pid])

    @staticmethod
    def is_answered(at):
        connection = F.UnixConnection(at, HANG_S)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()

    def controller(self):
        with open(os.path.join(self.fleet.dir, "controller", "mosquitto", "broker.pid"),
                  encoding="ascii") as file:
            words = file.read().split()
        self.take("`flotilla-controller`", lambda: [self.fleet.controller.pid])
        self.take("its broker, `mosquitto`", lambda: [int(words[2])])
        self.take("keeper of the broker", lambda: [int(words[0])])
        self.fleet.controller.send_signal(signal.SIGINT)  # its broker, too
        self.fleet.controller.wait()


def table(rows):
    return "".join("| %s |\n" % " | ".join(row) for row in (
        HEAD, ["---"] * len(HEAD), *([name, *found] for name, found in rows.items())))


def test_each_process_has_the_walls_of_the_page(fleet):
    found = table(Scene(fleet).rows)
    with open(PAGE, encoding="utf-8") as file:
        before, old, after = re.split("|".join(map(re.escape, MARKS)), file.read())
    if os.environ.get("FLOTILLA_WALLS") == "write":
        with open(PAGE, "w", encoding="utf-8") as out:
            out.write(before + MARKS[0] + "\n" + found + "\n" + MARKS[1] + after)
        return
    assert found.split("\n") == old.strip("\n").split("\n") + [""]
