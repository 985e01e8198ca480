#!/usr/bin/env python3
"""A site of devices behind a narrow uplink takes an update: with neighbours and
without.

    neighbours.py BIN [--devices 50] [--serve 4] [--uplink 10mbit] [--lan 100mbit]

Each device is an agent in a network namespace of its own.  A bridge joins them;
`tbf` holds the link to the controller, and each device's own.  Needs root.  All
of it stands in a network of this process, which goes with it.  The site's
uplink is counted at its interface: every byte, TCP's and MQTT's too."""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import fleet as F  # noqa: E402
from waits import until  # noqa: E402

MODELS = os.path.join(ROOT, "tests", "models")
PORT = 8455


def run(*argv):
    done = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL,
                          capture_output=True)
    if done.returncode != 0:
        raise F.Failed("%s: exit %d\n%s" % (" ".join(argv), done.returncode,
                                            done.stderr.decode()))


class Site:
    """Namespaces: one for the bridge, one for each device."""

    def __init__(self, count, uplink, lan):
        self.name = "flo%d-" % os.getpid()
        self.spaces = []
        run("ip", "link", "set", "lo", "up")
        hub = self.space("hub")
        run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1",
            "netns", hub)
        run("ip", "addr", "add", "10.78.0.1/30", "dev", "up0")
        run("ip", "link", "set", "up0", "up")
        self.at(hub, "ip", "addr", "add", "10.78.0.2/30", "dev", "up1")
        self.at(hub, "ip", "link", "set", "up1", "up")
        self.at(hub, "ip", "link", "add", "br0", "type", "bridge")
        self.at(hub, "ip", "addr", "add", "10.77.255.254/16", "dev", "br0")
        self.at(hub, "ip", "link", "set", "br0", "up")
        self.at(hub, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        run("ip", "route", "add", "10.77.0.0/16", "via", "10.78.0.2")
        self.limit(None, "up0", uplink)
        self.limit(hub, "up1", uplink)
        self.devices = [self.device(hub, i, lan) for i in range(count)]

    def space(self, name):
        run("ip", "netns", "add", self.name + name)
        self.spaces.append(self.name + name)
        self.at(self.name + name, "ip", "link", "set", "lo", "up")
        return self.name + name

    @staticmethod
    def at(space, *argv):
        run("ip", "netns", "exec", space, *argv)

    def limit(self, space, link, rate):
        argv = ["tc", "qdisc", "add", "dev", link, "root", "tbf", "rate", rate,
                "burst", "64kb", "latency", "300ms"]
        if space is None:
            run(*argv)
        else:
            self.at(space, *argv)

    def device(self, hub, number, lan):
        space = self.space("d%d" % number)
        port = "p%d" % number
        run("ip", "netns", "exec", hub, "ip", "link", "add", port, "type",
            "veth", "peer", "name", "eth0", "netns", space)
        self.at(hub, "ip", "link", "set", port, "master", "br0", "up")
        self.at(space, "ip", "addr", "add", address(number) + "/16", "dev",
                "eth0")
        self.at(space, "ip", "link", "set", "eth0", "up")
        self.at(space, "ip", "route", "add", "default", "via", "10.77.255.254")
        self.limit(hub, port, lan)
        self.limit(space, "eth0", lan)
        return space

    @staticmethod
    def down_bytes():
        said = subprocess.run(["ip", "-s", "-j", "link", "show", "up0"],
                              check=True, capture_output=True)
        return json.loads(said.stdout)[0]["stats64"]["tx"]["bytes"]

    def close(self):
        for space in reversed(self.spaces):
            subprocess.run(["ip", "netns", "del", space], check=False)


def address(number):
    return "10.77.%d.%d" % (number // 200, 1 + number % 200)


class Agent(F.Device):
    """An agent in its namespace."""

    def __init__(self, fleet, number, space):
        super().__init__(fleet, "d%02d" % number)
        self.number, self.space = number, space

    def configure(self, words):
        os.makedirs(self.state, mode=0o700, exist_ok=True)
        with open(self.config, "w", encoding="utf-8") as out:
            out.write("state_dir: %s\nlisten: [%s]\nheartbeat: 60s\n" % (
                json.dumps(self.state), json.dumps("unix:" + self.api))
                + "benchmark_after: 0s\npacked_weights: off\nthreads: 1\n"
                + words)

    def join(self, token):
        self.configure("")
        run("ip", "netns", "exec", self.space, self.fleet.path(
            "flotilla-agent"), "enroll", "--controller",
            self.fleet.devices_url, "--token-file", token, "--state-dir",
            self.state, "--name", self.name)

    def start(self):
        self.process = self.fleet.spawn(
            ["ip", "netns", "exec", self.space,
             self.fleet.path("flotilla-agent"), "--config", self.config],
            self.log)


def publish(fleet, number):
    """Two versions differ in a bit; nothing is compressed away by a delta."""
    with open(os.path.join(MODELS, "tiny-v1.F16.gguf"), "rb") as file:
        data = bytearray(file.read())
    data[-2 - 2 * number] ^= 1
    path = os.path.join(fleet.dir, "model.gguf")
    with open(path, "wb") as file:
        file.write(data)
    made = fleet.ask("release", "create", "tiny@%d.0.0" % number,
                     "--model-file", path, "--golden",
                     os.path.join(MODELS, "golden-tiny-v1.json"),
                     "--sign-with", fleet.key, "--skip-play", "--publish",
                     "--delta-from", "none")
    return "tiny@%d.0.0" % number, made["bytes"]


def words_of(number, serve):
    if serve == 0:
        return ""
    at = json.dumps(["%s:%d" % (address(i), PORT) for i in range(serve)])
    if number >= serve:
        return "neighbours: use\nneighbours_at: %s\n" % at
    return ("neighbours: serve\nneighbours_at: %s\nneighbours_listen: %s:%d\n"
            % (at, address(number), PORT))


def online(fleet, agents):
    until("all online", lambda: sum(
        d["state"] == "online" for d in fleet.ask("device", "list", "--limit",
                                           "500")) >= len(agents), every=0.5)


def serves(agent):
    said = json.loads(fleet_status(agent))
    return said["neighbours"]["port"] == PORT


def fleet_status(agent):
    return agent.fleet.program("flotilla-agent", "status", "--config",
                               agent.config, "-o", "json")[1]


def turn(fleet, site, agents, number, serve):
    """One update of all; a line of figures."""
    for agent in agents:
        agent.stop()
    for agent in agents:
        agent.configure(words_of(agent.number, serve))
        agent.start()
    online(fleet, agents)
    for agent in agents[:serve]:
        until("%s serves" % agent.name, lambda: serves(agent), every=0.5)
    title, size = publish(fleet, number)
    before, begin = site.down_bytes(), time.monotonic()
    started = fleet.ask("rollout", "start", title, "--phase", "100%", "--soak",
                        "500ms", "--pace", "60000/min")["id"]
    fleet.cli("rollout", "wait", started, "--timeout", "3000s", "-q",
              timeout=3000)
    took = time.monotonic() - begin
    down = site.down_bytes() - before
    transfer = fleet.ask("rollout", "get", started)["transfer"]
    mine = transfer["bytes"] - transfer["neighbour_bytes"]
    print("| %s | %.1f MB | %.2f | %.1f MB | %.0f s |" % (
        "off" if serve == 0 else "%d serve" % serve, mine / 1e6, mine / size,
        down / 1e6, took), flush=True)


def measure(arguments):
    site = folder = fleet = None
    try:
        folder = tempfile.mkdtemp(prefix="flo-", dir="/tmp")
        site = Site(arguments.devices, arguments.uplink, arguments.lan)
        fleet = F.Fleet(folder, arguments.bin, name="site")
        fleet.start_controller("--listen-devices", "10.78.0.1:8443",
                               "--listen", "127.0.0.1:8080", "--public-host",
                               "10.78.0.1")
        fleet.login()
        fleet.key = os.path.join(folder, "keys", "publisher.key")
        fleet.cli("key", "create", "publisher", "--to",
                  os.path.dirname(fleet.key))
        fleet.cli("key", "trust", fleet.key[:-4] + ".pub")
        token = os.path.join(folder, "enroll.token")
        fleet.cli("token", "create", "--kind", "enroll", "--uses", "1000",
                  "--to", token, "-q")
        agents = [Agent(fleet, i, space)
                  for i, space in enumerate(site.devices)]
        for agent in agents:
            agent.join(token)
        print("%d devices, uplink %s, LAN %s a device" % (
            arguments.devices, arguments.uplink, arguments.lan))
        print("| neighbours | fetched from the controller | × one model | "
              "all bytes down the uplink | until all serve it |")
        print("| --- | --- | --- | --- | --- |", flush=True)
        number = 1
        for serve in arguments.serve:
            turn(fleet, site, agents, number, serve)
            number += 1
    finally:
        if fleet is not None:
            fleet.close()
        if site is not None:
            site.close()
        if folder is not None and not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bin")
    parser.add_argument("--devices", type=int, default=50)
    parser.add_argument("--serve", type=int, nargs="+", default=[0, 1, 4])
    parser.add_argument("--uplink", default="10mbit")
    parser.add_argument("--lan", default="100mbit")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    if os.environ.get("FLO_BENCH_NET") != "own":
        os.environ["FLO_BENCH_NET"] = "own"
        os.execvp("unshare", ["unshare", "--net", "--", sys.executable,
                              *sys.argv])
    measure(arguments)


main()
