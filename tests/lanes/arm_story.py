#!/usr/bin/env python3
"""One device's story with programs of another architecture, under an emulator:
first install, an update by delta, a release that fails its golden prompts, an
emergency rollback, and a restart.  Controller and command are this machine's.

usage: arm_story.py PROGRAMS EMULATOR SYSROOT
"""
import os
import shutil
import stat
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import fleet as F  # noqa: E402
from waits import until  # noqa: E402

MODELS = os.path.join(ROOT, "tests", "models")
NAMES = ("flotilla-agent", "flotilla-engine", "flotilla-updater")


class Emulated(F.Fleet):
    """The agent, and what it starts next to itself, run under the emulator."""

    def emulate(self, programs, emulator, sysroot):
        self.foreign = os.path.join(self.dir, "bin")
        os.makedirs(self.foreign)
        for name in NAMES:
            real = os.path.join(self.foreign, name + ".real")
            shutil.copy(os.path.join(programs, name), real)
            script = os.path.join(self.foreign, name)
            with open(script, "w", encoding="utf-8") as out:
                out.write('#!/bin/sh\nexec "%s" -L "%s" "%s" "$@"\n'
                          % (emulator, sysroot, real))
            os.chmod(script, 0o755 | stat.S_IXUSR)

    def add_device(self, name, token_file):
        device = self.devices[name] = F.Device(self, name)
        device.enroll(token_file)
        # A user-mode emulator has neither filters nor landlock.
        device.write_config("sandbox: preferred\n")
        device.start()
        return device

    def path(self, program):
        folder = self.foreign if program == "flotilla-agent" else self.bin
        return os.path.join(folder, program)


def release(fleet, name, model, golden, *more):
    fleet.cli("release", "create", name, "--model-file",
              os.path.join(MODELS, model), "--golden",
              os.path.join(MODELS, golden), "--sign-with", fleet.key,
              "--publish", *more)


def roll_out(fleet, name, wanted):
    code, out, err = fleet.cli(
        "rollout", "start", name, "--phase", "100%", "--soak", "2s", "--wait",
        check=False)
    if (code == 0) != wanted:
        raise F.Failed("rollout of %s: exit %d\n%s%s" % (name, code, out, err))


def serves(fleet, device, release_name):
    def ask():
        try:
            return device.ask("status of pump 7?", "tiny",
                              max_tokens=8)[1] == release_name
        except (OSError, F.Failed):
            return False
    until("%s answers with %s" % (device.name, release_name),
          ask, every=0.5)
    print("ok    %s answers with %s" % (device.name, release_name), flush=True)


def play(fleet, arguments):
    fleet.emulate(*arguments)
    fleet.start_controller()
    fleet.login()
    fleet.key = os.path.join(fleet.dir, "publisher.key")
    fleet.cli("key", "create", "publisher", "--to", fleet.dir)
    fleet.cli("key", "trust", fleet.key[:-4] + ".pub")
    token = os.path.join(fleet.dir, "enroll.token")
    fleet.cli("token", "create", "--kind", "enroll", "--to", token)
    device = fleet.add_device("gw-arm", token)
    release(fleet, "tiny@1", "tiny-v1.Q4_0.gguf", "golden-tiny-v1.json")
    release(fleet, "tiny@2", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    release(fleet, "tiny@3", "tiny-v3-bad-swap.Q4_0.gguf",
            "golden-tiny-v2.json", "--skip-play")
    roll_out(fleet, "tiny@1", True)
    serves(fleet, device, "tiny@1")
    roll_out(fleet, "tiny@2", True)
    serves(fleet, device, "tiny@2")
    roll_out(fleet, "tiny@3", False)
    serves(fleet, device, "tiny@2")
    fleet.cli("rollout", "rollback", "--release", "tiny@2", "--everywhere",
              "--confirm", "tiny@2", "--wait")
    serves(fleet, device, "tiny@1")
    device.stop()
    device.start()
    serves(fleet, device, "tiny@1")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    folder = tempfile.mkdtemp(prefix="flo-", dir="/tmp")
    fleet = Emulated(folder, os.path.join(ROOT, "build", "bin"))
    try:
        play(fleet, [os.path.abspath(a) for a in sys.argv[1:]])
    except F.Failed as failed:
        print("FAILED %s" % failed)
        print(F.tail(os.path.join(folder, "devices", "gw-arm", "agent.log"),
                     40))
        return 1
    finally:
        fleet.close()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


sys.exit(main())
