"""One small real fleet per test module; see tools/fleet.py."""
import json
import os
import shutil
import sys
import tempfile

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tests", "run")]
# Nothing goes into the cache of whoever runs the tests.
os.environ.setdefault("FLOTILLA_PACK_CACHE", "off")

import draw  # noqa: E402
import fleet as F  # noqa: E402
import sets  # noqa: E402
from controller_parts import Controller  # noqa: E402
from waits import Seen, until  # noqa: E402

BIN = os.environ.get("FLOTILLA_BIN", os.path.join(ROOT, "build", "bin"))
MODELS = os.path.join(ROOT, "tests", "models")


@pytest.fixture(scope="session")
def bin_dir():
    if not os.path.exists(os.path.join(BIN, "flotilla-agent")):
        pytest.fail("no programs in %s: make build" % BIN)
    return BIN


def pytest_configure(config):
    """All folders of a run lie below one, whose path is short: a unix socket's
    ends at 107 characters."""
    config.place = tempfile.mkdtemp(prefix="flo-", dir="/tmp")
    os.chmod(config.place, 0o711)  # programs of other users go through
    if not config.option.basetemp:
        config.option.basetemp = os.path.join(config.place, "t")
    if "FLOTILLA_LOCKS" in os.environ:  # LD_PRELOAD knows no paths with blanks
        F.preloaded = shutil.copy(os.environ["FLOTILLA_LOCKS"], config.place)


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    """A story names its drawn part. A failed one keeps what its fleet wrote, and shows
    its last words: a machine of CI keeps nothing."""
    for line in draw.said:
        terminalreporter.write_line(line)
    if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        shutil.rmtree(config.place, ignore_errors=True)
    else:
        for log in last_logs(config.place):
            terminalreporter.write_line("%s:\n%s" % (log, F.tail(log, 20)))
        terminalreporter.write_line("kept: %s" % config.place)


def last_logs(place, most=4):
    """Those that were written last, the latest at the end."""
    found = [path for path in sets.paths(place) if path.endswith(".log")]
    return sorted(found, key=os.path.getmtime)[-most:]


@pytest.fixture(scope="module")
def folder(request):
    return tempfile.mkdtemp(dir=request.config.place)


@pytest.fixture(scope="module")
def controller(folder):
    one = Controller(folder).start()
    yield one
    one.stop()


class Small(F.Fleet):
    """A fleet with a publisher whose key is trusted, and helpers."""

    def up(self, names, *more):
        self.start_controller(*more)
        self.login()
        self.key = os.path.join(self.dir, "keys", "publisher.key")
        self.cli("key", "create", "publisher", "--to",
                 os.path.dirname(self.key))
        self.cli("key", "trust", self.key[:-4] + ".pub")
        self.token = os.path.join(self.dir, "enroll.token")
        self.cli("token", "create", "--kind", "enroll", "--uses", "50",
                 "--to", self.token, "-q")
        for name in names:
            self.add_device(name, self.token)
        self.online(names)
        return self

    def online(self, names):
        def are_online():
            states = {d["name"]: d["state"]
                      for d in self.ask("device", "list")}
            return all(states.get(name) == "online" for name in names) or \
                Seen(states)
        until("%s online" % (names,), are_online)

    def few(self, golden):
        """Every fifth of these golden prompts: a device plays all of them
        before it serves, half a second for 26."""
        path = os.path.join(self.dir, golden)
        with open(os.path.join(MODELS, golden), encoding="utf-8") as file:
            document = json.load(file)
        document["cases"] = document["cases"][::5]
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        return path

    def publish(self, release, file, golden="golden-tiny-v2.json", *more):
        if not os.path.isabs(golden):
            golden = self.few(golden)
        return self.ask("release", "create", release, "--model-file",
                        os.path.join(MODELS, file), "--golden", golden,
                        "--sign-with", self.key,
                        "--skip-play", "--publish", *more)

    def publish_whole(self, release, file, golden, *more):
        """Without a delta, which takes a second, where none is looked at."""
        return self.publish(release, file, golden, "--delta-from", "none",
                            *more)

    def roll(self, release, *more, wait="completed", compares_speed=False):
        """On all devices.  A busy machine makes the comparison of speeds long,
        so it is left to the stories that look at it."""
        if not compares_speed:
            path = os.path.join(self.dir, "roll.yaml")
            with open(path, "w", encoding="utf-8") as file:
                file.write("policy: {probe_speed_ratio_max: 0}")
            more = ("-f", path, *more)
        started = self.ask("rollout", "start", release, "--phase", "100%",
                           "--soak", "500ms", *more)
        self.cli("rollout", "wait", started["id"], "--for", wait, "-q")
        return self.ask("rollout", "get", started["id"])


@pytest.fixture(scope="module")
def fleet(folder, bin_dir):
    one = Small(folder, bin_dir, name="test")
    yield one
    one.close()
