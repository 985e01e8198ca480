"""The agent as a service: what its unit says."""
import os

from conftest import ROOT


def test_the_agent_starts_without_waiting_for_a_network():
    unit = os.path.join(ROOT, "deploy", "systemd", "flotilla-agent.service")
    with open(unit, encoding="utf-8") as text:
        assert "network-online.target" not in text.read()
