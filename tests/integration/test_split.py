"""Two releases by request on one device: the new one takes its share of the
requests, applications judge the answers, and its end fails nobody."""
import json
import threading

import pytest

import fleet as F
from conftest import Small
from waits import joined, until

QUESTION = "What does the digest say?"


@pytest.fixture(scope="module")
def up(tmp_path_factory, bin_dir):
    one = Small(str(tmp_path_factory.mktemp("s")), bin_dir, name="test")
    one.up(["a"])
    one.publish_whole("tiny@1", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json")
    one.publish_whole("tiny-b@1", "tiny-v2.1.Q4_0.gguf",
                      "golden-tiny-v2.1.json", "--split-of", "tiny=50%")
    one.roll("tiny@1")
    yield one
    one.close()


class Asking(threading.Thread):
    """Somebody asks for tiny all the time; every answer must be one."""

    def __init__(self, device):
        super().__init__(daemon=True)
        self.device, self.done = device, threading.Event()
        self.answers, self.failures = [], []

    def run(self):
        while not self.done.is_set():
            try:
                self.answers.append(self.device.ask(QUESTION, "tiny", 8)[1])
            except Exception as failure:  # told below
                self.failures.append(repr(failure))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        joined(self)

    def of(self, release, since=0):
        return self.answers[since:].count(release)


def listed(device):
    return {m["id"]: m for m in json.loads(device.get("/v1/models")[1])["data"]}


def test_wrong_shares_are_refused_before_anything_is_signed(up):
    for wrong in ("tiny", "tiny=", "tiny=0%", "tiny=100%", "tiny=20",
                  "tiny=20%x", "no name=20%", "=20%"):
        code, _, err = up.cli(
            "release", "create", "other@1", "--model-file", "/dev/null",
            "--split-of", wrong, "--sign-with", up.key, check=False)
        assert code == 2 and "--split-of" in err, (wrong, code, err)
    with pytest.raises(F.Failed, match="its own model"):
        up.publish_whole("tiny@9", "tiny-v2.Q4_0.gguf", "golden-tiny-v2.json",
                         "--split-of", "tiny=20%")


def test_the_release_next_to_it_takes_its_share_and_its_end_fails_nobody(up):
    device = up.devices["a"]
    document = up.ask("release", "get", "tiny-b@1")["document"]
    assert document["serve"]["split_of"] == {"model": "tiny", "pct": 50}
    with Asking(device) as asking:
        until("tiny answers", lambda: asking.of("tiny@1") > 2)
        up.roll("tiny-b@1")
        until("both answer", lambda: asking.of("tiny-b@1") > 10)
        since = len(asking.answers)
        until("both go on",
              lambda: len(asking.answers) >= since + 60)
        shares = [asking.of(r, since) for r in ("tiny@1", "tiny-b@1")]
        assert min(shares) >= 8, shares
        assert listed(device)["tiny-b"]["split_of"] == "tiny"
        assert listed(device)["tiny-b"]["split_pct"] == 50
        up.cli("model", "remove", "tiny-b", "--device", "a", "--confirm",
               "tiny-b")
        until("it is gone",
              lambda: "tiny-b" not in listed(device))
        since = len(asking.answers)
        until("tiny goes on",
              lambda: len(asking.answers) >= since + 20)
        assert asking.of("tiny-b@1", since + 2) == 0
    assert not asking.failures, asking.failures[:3]
