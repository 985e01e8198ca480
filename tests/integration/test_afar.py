"""A device's log and findings, asked for from afar: real agent, real
controller."""
import json
import os
import re

import pytest

from conftest import Small
from waits import until


@pytest.fixture(scope="module")
def gateway(folder, bin_dir):
    one = Small(folder, bin_dir, name="test")
    one.up(["gw"])
    one.publish("tiny@1", "tiny-v2.Q4_0.gguf")
    one.roll("tiny@1")
    yield one
    one.close()


def test_the_log_comes_and_no_prompt_is_in_it(gateway):
    secret = "the quick brown secret of my life"
    gateway.devices["gw"].ask(secret, "tiny", max_tokens=4)
    report = gateway.ask("device", "logs", "gw", "--lines", "300")
    text = "\n".join(report["lines"])
    assert "flotilla-agent" in text and "tiny" in text
    whole = json.dumps(report)
    assert secret not in whole and "brown" not in whole
    path = os.path.join(gateway.devices["gw"].state, "identity",
                        "device-a.pem")
    with open(path, encoding="ascii") as file:
        lines = file.read().split("\n")
    assert sum(line.startswith("-----BEGIN") for line in lines) == 2
    for before, line in zip(lines, lines[1:]):
        assert not before.startswith("-----BEGIN") or line not in whole
    few = gateway.ask("device", "logs", "gw", "--lines", "2")
    assert len(few["lines"]) == 2 and few["cut_lines"] > 0


def test_doctor_says_what_the_engine_does_and_how_fast(gateway):
    for _ in range(3):
        gateway.devices["gw"].ask("hello", "tiny", max_tokens=16)
    report = gateway.ask("device", "doctor", "gw")
    facts = report["facts"]
    assert facts["live"] is True and facts["model"] == "tiny"
    assert facts["threads"] >= 1 and facts["context"] > 0
    assert facts["kernel"] and facts["cpus"] >= 1
    assert facts["token-bytes"] > 0 and facts["token-us"] > 0
    ids = {finding["id"] for finding in report["findings"]}
    assert "device.down" not in ids, report["findings"]


def test_a_device_that_was_away_answers_when_it_is_back(gateway):
    device = gateway.devices["gw"]
    device.stop()
    until("it is away", lambda: gateway.ask(
        "device", "get", "gw")["state"] == "offline")
    told = gateway.cli("device", "doctor", "gw", check=False)
    assert told[0] != 0
    order = re.search(r"by order (o-\d+)", told[2]).group(1)
    device.start()

    report = until("its report", lambda: answer_to(gateway, order))
    assert report["op"] == "doctor" and report["lines"]


def answer_to(gateway, order):
    code, out, _ = gateway.cli("order", "report", order, "-o", "json",
                               check=False)
    return json.loads(out) if code == 0 else None
