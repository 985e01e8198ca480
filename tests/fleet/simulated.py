"""A fleet of simulated devices on the real controller, broker and database.

Used by tests/integration/test_fleet.py and tests/bench/bench_fleet.py.
"""
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import fleet as F  # noqa: E402
from waits import HANG_S, until  # noqa: E402

MODELS = os.path.join(ROOT, "tests", "models")


class pinned:
    """Programs started in here run on these processors (None: on any)."""

    def __init__(self, cpus):
        self.cpus, self.before = cpus, None

    def __enter__(self):
        if self.cpus:
            self.before = os.sched_getaffinity(0)
            os.sched_setaffinity(0, self.cpus)

    def __exit__(self, *unused):
        if self.before:
            os.sched_setaffinity(0, self.before)


class Simulator:
    """flotilla-sim, and questions to it."""

    def __init__(self, program, folder, fleet, token_file, devices, seed=1,
                 scripts="", cpus=None, **more):
        argv = [program, "--controller", fleet.devices_url, "--token-file",
                token_file, "--devices", str(devices), "--seed", str(seed)]
        if scripts:
            argv += ["--scripts", scripts]
        for name, value in more.items():
            argv += ["--" + name.replace("_", "-"), str(value)]
        self.devices, self.log = devices, os.path.join(folder, "sim.log")
        with pinned(cpus), open(self.log, "ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log,
                                            text=True)
        self.enrolled = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise F.Failed("flotilla-sim ended with %d:\n%s" % (
                self.process.wait(), F.tail(self.log)))
        return json.loads(line)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def connected(self, share=1.0):
        until("%d devices connected" % self.devices,
              lambda: self.ask("figures")["subscribed"] >=
              share * self.devices, every=0.2)

    def close(self):
        """Its last figures."""
        if self.process.poll() is not None:
            raise F.Failed("flotilla-sim ended with %d:\n%s" % (
                self.process.returncode, F.tail(self.log)))
        self.process.stdin.close()
        last = self.answer()
        if self.process.wait(HANG_S) != 0:
            raise F.Failed("flotilla-sim: exit %d\n%s" % (
                self.process.returncode, F.tail(self.log)))
        return last


class Simulated(F.Fleet):
    """A controller with a publisher, and a place for a simulator."""

    def up(self, *more, cpus=None, uses=20000):
        with pinned(cpus):
            self.start_controller(*more)
        self.login()
        self.key = os.path.join(self.dir, "keys", "publisher.key")
        self.cli("key", "create", "publisher", "--to",
                 os.path.dirname(self.key))
        self.cli("key", "trust", self.key[:-4] + ".pub")
        self.token = os.path.join(self.dir, "enroll.token")
        self.cli("token", "create", "--kind", "enroll", "--uses", str(uses),
                 "--to", self.token, "-q")
        with open(self.admin_token, encoding="utf-8") as file:
            self.admin = file.read().strip()
        return self

    def publish(self, release, file, golden):
        return self.ask("release", "create", release, "--model-file",
                        os.path.join(MODELS, file), "--golden",
                        os.path.join(MODELS, golden), "--sign-with", self.key,
                        "--skip-play", "--publish", "--delta-from", "none")

    def simulate(self, program, devices, **more):
        return Simulator(program, self.dir, self, self.token, devices, **more)

    def roll(self, release, phases, *more):
        flags = [f for phase in phases for f in ("--phase", phase)]
        return self.ask("rollout", "start", release, *flags, *more)["id"]

    def rollout(self, name):
        return self.ask("rollout", "get", name)

    def ended(self, rollout):
        """It, in its last state."""
        until("the end of " + rollout, lambda: self.rollout(rollout)["state"]
              in ("completed", "halted", "rolled-back", "aborted"),
              lambda: self.rollout(rollout)["state"], every=0.2)
        return self.rollout(rollout)
