#!/usr/bin/env python3
"""Conversations with tools of an edge device: to train on, and held out.

usage: data.py train SEED COUNT    conversations of up to seven requests
       data.py prompts SEED        the 200 held-out prompts of prompts.jsonl

One JSON object a line.  The same seed gives the same lines.  A request or a
device is held out where the first byte of its SHA-1 is a multiple of 8: it never
stands in a line to train on.
"""
import hashlib
import json
import random
import sys

# Words that tiny-v2 knows.
ROOMS = ["kitchen", "hall", "cellar", "garage", "office", "bedroom",
         "bathroom", "garden"]
SERVICES = ["broker", "gateway", "camera", "config", "update", "clock",
            "display", "alarm"]
DEVICES = ["pump", "boiler", "chiller", "mixer", "oven", "robot", "drill",
           "sensor", "motor", "valve", "heater", "belt", "meter", "press",
           "filter", "gateway", "camera", "fan"]
METERS = ["power", "water", "gas"]
SEVERITIES = ["info", "warning", "critical"]

NO_TOOL = "I have no tool for that."


def is_held_out(text):
    return hashlib.sha1(text.encode()).digest()[0] % 8 == 0


class Words:
    """Draws at random: words to train on, or held-out ones too."""

    def __init__(self, seed, is_test):
        self.random = random.Random(seed)
        self.is_test = is_test

    def pick(self, words):
        return self.random.choice(words)

    def device(self):
        """On this side of the line, as a prompt is."""
        while True:
            made = "%s-%d" % (self.pick(DEVICES), self.number(10, 99))
            if self.is_test or not is_held_out(made):
                return made

    def number(self, least, most):
        return self.random.randint(least, most)


# ---- the tools: each makes a request's values, its words and its end ----

def text(*values):
    return {"type": "string", "enum": list(values)} if values else \
        {"type": "string"}


INTEGER = {"type": "integer"}
BOOLEAN = {"type": "boolean"}


def on_off(w):
    return {"room": w.pick(ROOMS), "on": w.random.random() < 0.5}


def say_done(w, values):
    if w.random.random() < 0.7:
        return {"ok": True}, "Done."
    why = w.pick(["offline", "busy", "no power", "jammed"])
    return {"error": why}, "That failed: %s." % why


def say_temperature(w, values):
    n = w.number(-9, 39)
    return {"celsius": n}, "It is %d degrees in the %s." % (n, values["room"])


def say_meter(w, values):
    n = w.number(1, 9999)
    return {"value": n}, "The %s meter reads %d." % (values["kind"], n)


def say_log(w, values):
    line = "%s %s" % (w.pick(DEVICES), w.pick(
        ["started", "stopped", "overheated", "was reset", "lost its link"]))
    return {"lines": [line]}, "The log of %s says: %s." % (
        values["device"], line)


TOOLS = {
    "set_light": ("Switch a light", {"room": text(), "on": BOOLEAN}, on_off, [
        "turn {on} the light in the {room}", "switch the {room} light {on}",
        "{on} with the lamp in the {room}", "make the {room} {bright}",
        "light {on} in the {room}", "I want the {room} lamp {on}",
        "the {room} light should be {on}"], say_done),
    "get_temperature": (
        "Read a temperature", {"room": text()},
        lambda w: {"room": w.pick(ROOMS)}, [
            "how warm is it in the {room}", "what is the {room} temperature",
            "tell me the temperature of the {room}", "is the {room} cold",
            "how many degrees has the {room}", "temperature in the {room}",
            "check how hot the {room} is"], say_temperature),
    "set_heating": (
        "Set the heating", {"room": text(), "celsius": INTEGER},
        lambda w: {"room": w.pick(ROOMS), "celsius": w.number(5, 35)}, [
            "heat the {room} to {celsius} degrees",
            "set the {room} to {celsius} degrees",
            "I want {celsius} degrees in the {room}",
            "heating of the {room} to {celsius}",
            "bring the {room} to {celsius} degrees",
            "set the thermostat in the {room} to {celsius}"], say_done),
    "set_timer": (
        "Start a timer", {"minutes": INTEGER},
        lambda w: {"minutes": w.number(1, 90)}, [
            "set a timer for {minutes} minutes", "timer of {minutes} minutes",
            "wake me in {minutes} minutes", "count down {minutes} minutes",
            "remind me in {minutes} minutes",
            "start a {minutes} minute timer"], say_done),
    "set_valve": (
        "Open or close a valve", {"valve": INTEGER, "open": BOOLEAN},
        lambda w: {"valve": w.number(1, 60), "open": w.random.random() < 0.5},
        ["{open} valve {valve}", "I need valve {valve} {opened}",
         "valve {valve} must be {opened}", "{open} the valve number {valve}",
         "let valve {valve} be {opened}"], say_done),
    "restart_service": (
        "Restart a service", {"service": text()},
        lambda w: {"service": w.pick(SERVICES)}, [
            "restart the {service}", "restart the {service} service",
            "the {service} hangs, start it again", "reboot the {service}",
            "stop and start the {service}", "bring the {service} up again"],
        say_done),
    "read_meter": (
        "Read a meter", {"kind": text(*METERS)},
        lambda w: {"kind": w.pick(METERS)}, [
            "read the {kind} meter", "how much {kind} did we use",
            "what does the {kind} meter say", "{kind} used so far",
            "check the use of {kind}"], say_meter),
    "send_alert": (
        "Send an alert", {"device": text(), "severity": text(*SEVERITIES)},
        lambda w: {"device": w.device(), "severity": w.pick(SEVERITIES)}, [
            "send a {severity} alert for {device}",
            "raise {severity} for {device}", "alert {severity} on {device}",
            "report {device} as {severity}",
            "tell all that {device} is {severity}"], say_done),
    "set_lock": (
        "Lock or unlock a door", {"door": text(), "locked": BOOLEAN},
        lambda w: {"door": w.pick(ROOMS), "locked": w.random.random() < 0.5},
        ["{lock} the {door} door", "{lock} the door of the {door}",
         "the {door} door should be {locked}", "make sure the {door} door is "
         "{locked}", "{lock} the door to the {door}"], say_done),
    "set_fan": (
        "Set the speed of a fan", {"device": text(), "percent": INTEGER},
        lambda w: {"device": w.device(), "percent": w.number(0, 100)}, [
            "set the fan of {device} to {percent} percent",
            "run the {device} fan at {percent} percent",
            "fan of {device} at {percent} percent",
            "let the fan in {device} turn at {percent} percent",
            "change the {device} fan to {percent} percent"], say_done),
    "get_log": (
        "Read a log", {"device": text(), "lines": INTEGER},
        lambda w: {"device": w.device(), "lines": w.number(2, 50)}, [
            "show the last {lines} lines of the {device} log",
            "give me {lines} lines from the log of {device}",
            "log of {device}, {lines} lines",
            "print {lines} lines of what {device} logged",
            "what are the last {lines} log lines of {device}"], say_log),
    "move_robot": (
        "Move a robot", {"robot": text(), "place": text()},
        lambda w: {"robot": w.device(), "place": w.pick(ROOMS)}, [
            "send {robot} to the {place}", "move {robot} into the {place}",
            "drive {robot} to the {place}", "{robot} should go to the {place}",
            "let {robot} drive to the {place}"], say_done),
}

ASIDES = [
    ("tell me a joke about {x}", NO_TOOL),
    ("write a poem about the {x}", NO_TOOL),
    ("who was the first {x} in the world", NO_TOOL),
    ("translate {x} into French", NO_TOOL),
    ("book a table at the {x}", NO_TOOL),
    ("what is the price of a {x}", NO_TOOL),
    ("order a new {x}", NO_TOOL),
    ("call the {x} by phone", NO_TOOL),
    ("why is the {x} blue", NO_TOOL),
    ("play some music in the {x}", NO_TOOL),
    ("hello, I am the {x}", "Hello. How can I help?"),
    ("good morning from the {x}", "Hello. How can I help?"),
    ("thanks, the {x} works", "You are welcome."),
    ("thank you for the {x}", "You are welcome."),
]
BEFORE = ["", "", "", "please ", "can you ", "hey, ", "now ", "ok, ",
          "one more thing: "]
AFTER = ["", "", "", " please", " now", ", thanks", " for me", " at once"]
WORDED = {"on": ("on", "off"), "open": ("open", "close"),
          "locked": ("locked", "unlocked")}


def schema(name):
    does, properties, *_ = TOOLS[name]
    return {"type": "function", "function": {
        "name": name, "description": does, "parameters": {
            "type": "object", "properties": properties,
            "required": list(properties)}}}


def worded(values):
    """Values as a request says them."""
    words = dict(values)
    for key, (yes, no) in WORDED.items():
        if key in values:
            words[key] = yes if values[key] else no
    if "on" in values:
        words["bright"] = "bright" if values["on"] else "dark"
    if "open" in values:
        words["opened"] = "open" if values["open"] else "closed"
    if "locked" in values:
        words["lock"] = "lock" if values["locked"] else "unlock"
    return words


def dressed(w, request):
    request = w.pick(BEFORE) + request + w.pick(AFTER)
    if w.random.random() < 0.5:
        request = request[0].upper() + request[1:]
    return request + w.pick(["", ".", "!"] if w.random.random() < 0.7
                            else ["?"])


def wanted(w, name):
    """A request for a tool's work, and the values that its call must have."""
    _, _, draw, patterns, _ = TOOLS[name]
    values = draw(w)
    return w.pick(patterns).format(**worded(values)), values


def fresh(w, make):
    """A request on this side of the line, with what it asks for."""
    while True:
        request, more = make()
        request = dressed(w, request)
        if is_held_out(request) == w.is_test:
            return request, more


def call_of(name, values):
    return {"name": name, "arguments": values}


def exchange(w, offered):
    """A request: its words, its calls, and the text where none fits."""
    kind = w.random.random()
    if kind < 0.62:
        name = w.pick(offered)
        request, values = fresh(w, lambda: wanted(w, name))
        return request, [call_of(name, values)], None
    if kind < 0.74:
        names = [w.pick(offered), w.pick(offered)]

        def two():
            made = [wanted(w, name) for name in names]
            return "%s and %s" % (made[0][0], made[1][0]), \
                [call_of(n, v) for n, (_, v) in zip(names, made)]
        return fresh(w, two) + (None,)
    if kind < 0.88:
        other = w.pick([n for n in TOOLS if n not in offered])
        request, _ = fresh(w, lambda: wanted(w, other))
        return request, [], NO_TOOL

    def aside():
        pattern, says = w.pick(ASIDES)
        return pattern.format(x=w.pick(ROOMS + DEVICES + SERVICES)), says
    request, says = fresh(w, aside)
    return request, [], says


def offer(w):
    return w.random.sample(list(TOOLS), w.number(2, 4))


def conversation(w):
    """Up to seven requests; some calls have results and an answer in words."""
    offered = offer(w)
    messages = []
    for _ in range(w.number(2, 7)):
        request, calls, says = exchange(w, offered)
        messages.append({"role": "user", "content": request})
        if not calls:
            messages.append({"role": "assistant", "content": says})
            continue
        messages.append({"role": "assistant", "content": "", "tool_calls": [
            {"type": "function", "function": c} for c in calls]})
        if w.random.random() < 0.6:
            texts = []
            for call in calls:
                result, words = TOOLS[call["name"]][4](w, call["arguments"])
                messages.append({"role": "tool",
                                 "content": json.dumps(result)})
                texts.append(words)
            messages.append({"role": "assistant", "content": " ".join(texts)})
    return {"tools": [schema(n) for n in offered], "messages": messages}


def prompts(seed):
    """140 requests for one call, 20 for two, 40 for none."""
    w = Words(seed, True)
    left = {1: 140, 2: 20, 0: 40}
    seen = set()
    while any(left.values()):
        offered = offer(w)
        request, calls, says = exchange(w, offered)
        if left[len(calls)] == 0 or request in seen:
            continue
        left[len(calls)] -= 1
        seen.add(request)
        yield {"tools": [schema(n) for n in offered], "prompt": request,
               "calls": calls, "text": says or ""}


def training(seed, count):
    w = Words(seed, False)
    for _ in range(count):
        yield conversation(w)


def talk_of(prompt):
    """A line of prompts.jsonl as a talk that ends with the right answer."""
    calls = [{"type": "function", "function": c} for c in prompt["calls"]]
    answer = {"role": "assistant", "content": prompt["text"]}
    if calls:
        answer["tool_calls"] = calls
    return {"tools": prompt["tools"], "messages": [
        {"role": "user", "content": prompt["prompt"]}, answer]}


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "train":
        lines = training(int(sys.argv[2]), int(sys.argv[3]))
    elif len(sys.argv) == 3 and sys.argv[1] == "prompts":
        lines = prompts(int(sys.argv[2]))
    else:
        sys.exit(__doc__)
    for line in lines:
        print(json.dumps(line))


if __name__ == "__main__":
    main()
