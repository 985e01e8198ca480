"""Benchmarks that a story begins and ends: by a battery that is suddenly low,
since no story knows how long figures take on its machine."""
from waits import Seen, until


def begin(fleet, device, *more):
    """The id of an order that is not waited for; its time is never over."""
    return fleet.ask("device", "benchmark", "name=" + device, "--for", "1h",
                     "--no-wait", *more)[0]["id"]


def outcome(fleet, order):
    def answer():
        device = fleet.ask("order", "get", order)["devices"][0]
        return device if device["outcome"] in ("done", "refused") else \
            Seen(device)
    return until("the end of " + order, answer)


def logs(fleet, device):
    return fleet.ask("device", "logs", device)["lines"]


def says(fleet, device, *words):
    def line():
        lines = logs(fleet, device)
        return any(all(word in one for word in words) for one in lines) or \
            Seen(lines[-5:])
    until("%s logs %s" % (device, words), line)


def has_figures(fleet, device, order):
    says(fleet, device, "order %s: first figures" % order)


def facts_of(fleet, order, ended):
    device = outcome(fleet, order)
    assert device["outcome"] == "done", device
    facts = fleet.ask("order", "report", order)["facts"]
    assert facts["ended"] == ended and facts["generate-tps"] > 0
    return facts


def at_low_battery(fleet, sensors, order):
    sensors.battery(15, "Discharging")
    facts = facts_of(fleet, order, "battery")
    sensors.battery(90, "Charging")
    return facts


def end_by_battery(fleet, sensors, device, order):
    """Ends the benchmark as soon as it has figures, however long that took."""
    has_figures(fleet, device, order)
    return at_low_battery(fleet, sensors, order)
