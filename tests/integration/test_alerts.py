"""The controller, watched: metrics for Prometheus, and the rules and the
dashboard that are shipped for them.  promtool's part is
skipped by name without Debian's prometheus."""
import json
import os
import re
import shutil
import subprocess
import tempfile

import pytest

from controller_parts import ROOT, Controller

DEPLOY = os.path.join(ROOT, "deploy")
RULES = os.path.join(DEPLOY, "prometheus", "flotilla.rules.yml")


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def promtool(*command, text=None):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    done = subprocess.run(["promtool", *command], input=text, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr, done.stderr


@pytest.fixture(scope="module")
def controller():
    folder = tempfile.mkdtemp(prefix="flo-alerts-")
    controller = Controller(folder).start()
    yield controller
    controller.stop()
    shutil.rmtree(folder)


def test_metrics_follow_the_conventions_of_prometheus(controller):
    text = controller.ask("GET", "/metrics", token="").body.decode()
    for line in ("flotilla_devices 0", "flotilla_broker_connected 1",
                 'flotilla_rollouts{state="halted"} 0'):
        assert line in text.split("\n")
    ends = re.findall(r"_expiry_timestamp_seconds{.*} (\d+)", text)
    assert len(ends) == 4 and min(map(int, ends)) > 1.7e9
    promtool("check", "metrics", text=text)


def test_the_devices_listener_tells_no_metrics(controller):
    import ssl
    context = ssl.create_default_context(cafile=controller.ca)
    answer = controller.ask("GET", "/metrics", token="", context=context,
                            base=controller.facts["devices"])
    assert answer.status == 404


def names_in(text):
    return set(re.findall(r"\b(?:flotilla|process)_[a-z_]+[a-z]\b", text))


def test_rules_and_dashboard_name_metrics_that_exist():
    known = set(re.findall(r'^FLO_EXPOSED\(\w+, "(\w+)"', read(
        "server-stub/core/exposition/exposed.def"), re.M))
    board = json.loads(read("deploy/grafana/flotilla.json"))
    asked = "".join(target["expr"] for panel in board["panels"]
                    for target in panel.get("targets", []))
    rules = "\n".join(re.findall(r"expr: (?:>-\n)?((?:.*\n?)(?:  {8}.*\n)*)",
                                 read("deploy/prometheus/flotilla.rules.yml")))
    for text in (asked, rules):
        assert len(names_in(text)) > 10
        assert names_in(text) - known == set()


def test_each_shipped_alert_has_its_section_for_the_night():
    named = re.findall(r"docs/alerts.md#([\w-]+)", read(
        "deploy/prometheus/flotilla.rules.yml"))
    sections = re.findall(r"^## ([\w-]+)\n\n- \*\*Means\*\*[^#]*"
                          r"- \*\*Look\*\*[^#]*- \*\*Do\*\*",
                          read("docs/alerts.md"), re.M)
    assert len(named) > 12
    assert set(named) - set(sections) == set()


def test_the_shipped_rules_are_valid_and_say_what_they_promise():
    promtool("check", "rules", RULES)
    promtool("check", "config",
             os.path.join(DEPLOY, "prometheus", "prometheus.yml"))
    promtool("test", "rules",
             os.path.join(DEPLOY, "prometheus", "flotilla.test.yml"))
