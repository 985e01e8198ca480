#!/usr/bin/env python3
"""Arrows go down: who may include whom, and which folder owns a package.

usage: tools/layers.py [--rooms]

--rooms prints counts: arrows that go up, and what rooms see of each other."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rooms  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

SERVE_LOW = ["base/", "proto/", "engine/wire/", "agent/core/trouble.h",
             "engine/include/flotilla/engine_wire.h", "agent/serve/serve.h",
             "agent/core/quota.h", "agent/serve/state.h", "agent/serve/timing.h",
             "agent/serve/party.h", "agent/parties.def",
             "agent/serve/apart/"]
# One core of answers, below the APIs and the router.
SERVE_FRONT = SERVE_LOW + ["agent/serve/engines/", "agent/serve/params/",
                           "agent/serve/front/"]
SERVER = ["base/", "proto/", "updater/include/", "server-stub/core/"]
# The headers that the rooms above the store include.
STORE = ["server-stub/store/store.h", "server-stub/store/fleet.h",
         "server-stub/store/groups.h", "server-stub/store/serials.h",
         "server-stub/store/seals.h", "server-stub/store/windows.h",
         "server-stub/store/ids.h", "server-stub/store/watch.h",
         "server-stub/store/lead.h", "server-stub/store/handed.h",
         "server-stub/store/drafts.h", "server-stub/store/lines.h",
         "server-stub/store/making.h"]

# Rooms of the agent's shell, the lowest first; each may include those below it.
SHELL_ROOMS = ["queue", "outbox", "https", "identity", "device", "report",
               "renewal", "derived", "hooks", "assets", "serving", "neighbours",
               "update",
               "hardware", "benchmark", "trust", "orders"]
SHELL_LOW = ["base/", "proto/", "updater/include/", "agent/include/",
             "agent/core/memory/pressure.h",
             "agent/core/benchmark/", "agent/core/checkup/checkup.h",
             "agent/core/linking.h",
             "agent/serve/serve.h", "agent/serve/rules/rules.h",
             "agent/core/renew.h", "agent/core/neighbours.h",
             "agent/core/refusal.h", "agent/core/silence.h", "agent/core/trouble.h",
             "agent/shell/identity/pair.h",
             "agent/shell/shell.h", "agent/config.def",
             "agent/runtimes.def"]
# Rooms of the controller's state, the lowest first: folders, and files by their
# name without an ending.  An arrow goes up where one includes a header of a room
# that stands above it; none does.
STATE = "server-stub/state/"
STATE_ROOMS = ["controller", "transaction", "text_list", "sayings", "addresses",
               "outgoing", "released", "groups", "audit", "clock", "artifacts", "proofs",
               "rules", "pki", "keyring", "foreign", "telemetry_link", "fit",
               "orders", "rollouts", "trust", "membership", "recall", "watch",
               "forecast", "devices", "open"]
UP = " stands above this room"
# Folder -> project folders whose headers it may include. First match counts.
MAY = [
    ("base/host/", ["base/"]),
    ("base/", ["base/"]),
    ("proto/", ["base/", "proto/"]),
    ("engine/wire/", ["base/", "engine/wire/", "engine/include/"]),
    ("engine/", ["base/", "engine/"]),
    ("updater/", ["base/", "proto/", "updater/"]),
    ("agent/core/", ["base/", "proto/", "agent/core/", "agent/include/"]),
    ("agent/serve/rules/", ["base/", "agent/apps.def", "agent/guards.def",
                             "agent/endpoints.def", "agent/routes.def",
                             "agent/serve/serve.h",
                             "agent/serve/rules/"]),
    ("agent/serve/apart/", ["base/", "agent/serve/serve.h",
                            "agent/serve/apart/"]),
    ("agent/serve/engines/", SERVE_LOW + ["agent/serve/engines/"]),
    ("agent/serve/params/", ["base/", "agent/serve/params/",
                             "engine/include/flotilla/engine_wire.h"]),
    ("agent/serve/front/", SERVE_FRONT),
    ("agent/serve/anthropic/", SERVE_FRONT + ["agent/serve/anthropic/"]),
    ("agent/serve/openai/", SERVE_FRONT + ["agent/serve/openai/"]),
    ("agent/serve/responses/", SERVE_FRONT + ["agent/serve/openai/openai.h",
                                              "agent/serve/responses/"]),
    ("agent/serve/ollama/", SERVE_FRONT + ["agent/serve/ollama/"]),
    ("agent/serve/guard/", SERVE_FRONT + ["agent/serve/requests/names.h",
                                          "agent/serve/guard/"]),
    ("agent/serve/fallback/", SERVE_FRONT + ["proto/memory/memory.h",
                                             "agent/serve/requests/names.h",
                                             "agent/serve/fallback/"]),
    ("agent/serve/requests/", SERVE_FRONT + ["agent/serve/guard/guard.h",
                                             "agent/serve/fallback/fallback.h",
                                             "agent/serve/requests/"]),
    ("agent/serve/assets/", SERVE_FRONT + ["agent/serve/requests/names.h",
                                           "agent/serve/assets/"]),
    ("agent/serve/batch/", SERVE_FRONT + ["agent/serve/openai/",
                                          "agent/serve/responses/responses.h",
                                          "agent/serve/requests/names.h",
                                          "agent/serve/requests/requests.h",
                                          "agent/serve/batch/"]),
    ("agent/serve/probe/", SERVE_LOW + ["agent/serve/engines/",
                                        "agent/serve/probe/",
                                        "agent/core/likelihood.h",
                                        "agent/core/speed.h"]),
    ("agent/serve/model_cache/", ["base/", "proto/",
                                "agent/serve/serve.h",
                                "agent/serve/model_cache/"]),
    ("agent/serve/", ["base/", "proto/", "agent/serve/", "engine/wire/",
                      "agent/core/fallback.h", "agent/core/quota.h",
                      "agent/core/spend.h", "agent/parties.def",
                      "engine/include/flotilla/engine_wire.h"]),
] + [("agent/shell/%s/" % room, SHELL_LOW + [
        "agent/shell/%s/" % below for below in SHELL_ROOMS[:i + 1]])
     for i, room in enumerate(SHELL_ROOMS)] + [
    ("agent/shell/link/", SHELL_LOW + ["agent/shell/link/",
                                       "agent/shell/renewal/",
                                       "agent/shell/loop.h",
                                       "agent/shell/trust/",
                                       "agent/shell/queue/"]),
    ("agent/shell/local/", SHELL_LOW + ["agent/shell/local/",
                                        "agent/shell/loop.h",
                                        "agent/shell/trust/",
                                        "agent/shell/report/"]),
    ("agent/", ["base/", "proto/", "updater/include/", "agent/"]),
    ("server-stub/core/", ["base/", "proto/", "server-stub/core/"]),
    # It reads a rollout's specification and a serial as the controller does.
    ("server-stub/cli/", ["base/", "proto/", "updater/include/",
                          "server-stub/cli/", "server-stub/core/records/",
                          "server-stub/core/spec/",
                          "server-stub/core/device/",
                          "server-stub/core/gate/analysis/",
                          "server-stub/core/member/serial.h",
                          "server-stub/core/rollout/rollout_states.def"]),
    # The controller's rooms, from below: each may include those before it.
    ("server-stub/store/calls/", SERVER + [
        "server-stub/store/store.h", "server-stub/store/tables.h",
        "server-stub/store/watch.h", "server-stub/store/lines.h",
        "server-stub/store/drafts.h",
        "server-stub/store/making.h",
        "server-stub/store/ids.h", "server-stub/store/fleet.h",
        "server-stub/store/groups.h", "server-stub/store/serials.h",
        "server-stub/store/seals.h", "server-stub/store/sealed.def",
        "server-stub/store/index/device_index.h",
        "server-stub/store/calls/",
        "server-stub/store/memory/memory.h",
        "server-stub/store/postgresql/postgresql.h",
        "server-stub/store/sqlite/sqlite.h"]),
    ("server-stub/store/memory/", ["base/include/",
                                   "server-stub/store/tables.h",
                                   "server-stub/store/memory/"]),
    ("server-stub/store/sql/", SERVER + ["server-stub/store/tables.h",
                                         "server-stub/store/sql/"]),
    ("server-stub/store/postgresql/", SERVER + [
        "server-stub/store/tables.h", "server-stub/store/sql/",
        "server-stub/store/lead.h", "server-stub/store/handed.h",
        "server-stub/store/postgresql/"]),
    ("server-stub/store/sqlite/", SERVER + ["server-stub/store/tables.h",
                                            "server-stub/store/sql/",
                                            "server-stub/store/windows.h",
                                            "server-stub/store/sqlite/"]),
    ("server-stub/store/", SERVER + ["server-stub/store/"]),
    ("server-stub/telemetry/", SERVER + STORE + ["server-stub/telemetry/"]),
    ("server-stub/state/", SERVER + STORE + ["server-stub/telemetry/",
                                             "server-stub/state/"]),
    ("server-stub/mqtt/", SERVER + STORE + ["server-stub/telemetry/",
                                            "server-stub/state/",
                                            "server-stub/mqtt/"]),
    ("server-stub/rest/", SERVER + STORE + ["server-stub/telemetry/",
                                            "server-stub/state/",
                                            "server-stub/mqtt/",
                                            "server-stub/rest/"]),
    ("server-stub/run/", SERVER + ["server-stub/"]),
]

# Pure cores: nothing of the world. Headers and functions that they may not use.
CORES = ("proto/", "engine/run/core/", "updater/core/", "updater/plan/",
         "agent/core/", "server-stub/core/")
WORLD = re.compile(
    r"#include <(unistd|fcntl|time|sys/(?!types)|poll|pthread|signal|dirent)")
CALLS = re.compile(r"\b(flo_now_ms|flo_wall_ms|flo_random|flo_log|flo_file_\w+"
                   r"|rand|time|fopen|printf|malloc|calloc)\s*\(")
CALLS_ALLOWED = {"proto/": {"malloc", "calloc"}}

# Package header -> folder that alone may include it.
PACKAGES = {
    "MQTTAsync.h": "base/host/", "curl/": "base/host/",
    "sqlite3.h": "base/host/", "libpq-fe.h": "base/host/", "jansson.h": "base/host/",
    "yaml.h": "base/host/", "mbedtls/": "base/host/",
    "openssl/": "base/host/", "archive": "updater/bundle/",
    "zstd.h": "updater/", "bzlib.h": "updater/delta/",
    "divsufsort": "updater/delta/",
}
# Header of ours -> folders that alone may include it: SQL stands there.
SEAMS = {
    "base/host/db.h": ("base/host/", "server-stub/store/sqlite/",
                       "agent/shell/outbox/"),
    "base/host/pg.h": ("base/host/", "server-stub/store/postgresql/"),
    "server-stub/store/tables.h": ("server-stub/store/",),
    "server-stub/store/calls/kept.h": ("server-stub/store/calls/",),
}
PUBLIC = {"flotilla/base.h": "base/include/", "flotilla/proto.h":
          "proto/include/", "flotilla/golden.h":
          "base/include/", "flotilla/engine.h": "engine/include/",
          "flotilla/engine_wire.h": "engine/include/flotilla/engine_wire.h",
          "flotilla/release.h": "updater/include/",
          "flotilla/updater.h": "updater/include/",
          "flotilla/agent.h": "agent/include/"}


def allowed_for(path):
    for folder, may in MAY:
        if path.startswith(folder):
            return may
    return None


def state_room(path):
    """The place of a state's file among STATE_ROOMS."""
    name = path[len(STATE):].split("/")[0].split(".")[0]
    return STATE_ROOMS.index(name)


def is_own(header):
    path = os.path.join(ROOT, header)
    if not header.endswith(".h") or not os.path.exists(path):
        return False
    with open(path, encoding="utf-8") as file:
        return rooms.is_own(file.read())


def problems(path, text):
    may = allowed_for(path)
    for line, content in enumerate(text.split("\n"), 1):
        found = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', content)
        if found:
            name = found.group(2)
            target = PUBLIC.get(name, name if found.group(1) == '"' else None)
            if target is not None and "/" not in target:
                target = os.path.dirname(path) + "/" + target
            if may is not None and target is not None and \
                    not any(target.startswith(m) for m in may):
                yield line, "may not include %s" % name
            if name in SEAMS and not path.startswith(SEAMS[name]):
                yield line, "%s belongs to %s" % (name, ", ".join(SEAMS[name]))
            if target is not None and path.startswith(STATE) and \
                    target.startswith(STATE) and \
                    state_room(target) > state_room(path):
                yield line, name + UP
            if target is not None and is_own(target) and path != rooms.GIVER and \
                    not path.startswith(os.path.dirname(target) + "/"):
                yield line, "%s is not for others" % name
            for package, owner in PACKAGES.items():
                if found.group(1) == "<" and name.startswith(package) and \
                        not path.startswith(owner) and \
                        not path.startswith("tests/"):
                    yield line, "%s belongs to %s" % (name, owner)
    core = next((c for c in CORES if path.startswith(c)), None)
    if core and path.endswith(".c"):
        bare = re.sub(r"/\*.*?\*/|\"(?:[^\"\\]|\\.)*\"",
                      lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)
        for line, content in enumerate(bare.split("\n"), 1):
            if WORLD.search(content):
                yield line, "a core does not know the world: " + content.strip()
            for call in CALLS.finditer(content):
                if call.group(1) not in CALLS_ALLOWED.get(core, set()):
                    yield line, "a core does not call %s" % call.group(1)


def main():
    bad = []
    for path, text in rooms.sources(ROOT):
        bad += [(path, line, what) for line, what in problems(path, text)]
    if sys.argv[1:] == ["--rooms"]:
        print("upward arrows in %s %d" % (STATE.rstrip("/") + ":", sum(
            path.startswith(STATE) and what.endswith(UP) for path, _, what in bad)))
        print("\n".join(rooms.counts(ROOT)))
        return 0
    bad += rooms.problems(ROOT)
    for path, line, what in bad:
        print("%s:%d: %s" % (path, line, what))
    return 1 if bad else 0


sys.exit(main())
