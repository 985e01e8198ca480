#!/usr/bin/env python3
"""Write docs/reference/*.md and base/include/flotilla/errors/*.h from the .def
tables.  --check: only compare."""
import os
import re
import subprocess
import sys
import textwrap

import constants
import error_codes
import local_openapi
import openapi
from deftable import ROOT, expanded, rows, table


NOTE = "Made by `make docs` from `%s`; change the table, not this page.\n\n"


def errors():
    exits = list(rows("base/exits.def", "FLO_EXIT"))
    number = {r[0]: int(r[1]) for r in exits}
    lines = [["`%s`" % r[1], number[r[2]], r[3], r[4]]
             for r in rows("base/errors.def", "FLO_ERROR")]
    return ("# Errors\n\n" + NOTE % "base/errors.def` and `base/exits.def" +
            "Exit codes, the same of every program:\n\n" +
            table(["exit", "meaning"], [[r[1], r[2]] for r in exits]) + "\n" +
            "Printed as `error[<id>]: what`, then `why:` and `fix:` lines. "
            "The id is a stable contract; the exit code belongs to its "
            "class.\n\n" + table(["id", "exit", "meaning", "what to do"],
                                 lines))


def topics():
    lines = [["`flotilla/v1/<fleet>/%s`" % r[1], r[2].lower(),
              "yes" if r[3] == "1" else "no", r[4], r[5]]
             for r in rows("proto/topics.def", "FLO_TOPIC")]
    return ("# MQTT topics\n\n" + NOTE % "proto/topics.def" +
            "Payloads: docs/internals/contracts/messages.md section 3.\n\n" +
            table(["topic", "writer", "retained", "QoS", "meaning"], lines))


def members(text, sets):
    """Words of "IN(A) | IN_SET": states, in the order of their table."""
    found = set()
    for name in re.findall(r"IN\((\w+)\)", text):
        found.add(name)
    for name in re.findall(r"\bIN_(\w+)", text):
        found |= sets[name]
    return found


def matrix(path, corner, states, words):
    """The moves of a table as a matrix: a line per move, a column per state."""
    sets = {}
    for row in rows(path, "FLO_STATES"):
        sets[row[0]] = members(row[1], sets)
    leads = {}
    for move, start, end in rows(path, "FLO_MOVES"):
        for state in members(start, sets):
            leads[move, state] = "`%s`" % words[end]
    shown = [s for s in states if any(state == s for _, state in leads)]
    return table([corner] + ["`%s`" % words[s] for s in shown] + ["meaning"],
                 [[row[1]] + [leads.get((row[0], s), "") for s in shown] +
                  [row[2]] for row in rows(path, "FLO_MOVE")])


def states():
    kinds = {"WAY": "on the way", "END_GOOD": "end, good",
             "END_BAD": "end, bad", "END_OTHER": "end"}
    lines = [["`%s`" % r[1], kinds[r[2]], r[3]]
             for r in rows("proto/execution.def", "FLO_EXECUTION")]
    words = {r[0]: r[1] for r in rows("proto/execution.def", "FLO_EXECUTION")}
    moves = "agent/core/execution/moves.def"
    conditions = "server-stub/core/device/conditions.def"
    return ("# States of an execution\n\n" + NOTE % "proto/execution.def" +
            "An execution is one device's attempt to get to a release. Up to "
            "the end of `activating` an unwanted end is `failed`; from then "
            "on `rolled-back`.\n\n" + table(["state", "kind", "meaning"],
                                            lines) +
            "\n## What moves it on its device\n\n" + NOTE % moves +
            "A cell says which state follows; an empty one, that the move "
            "cannot happen there. The core asserts it. While a candidate is "
            "on trial, `fail`, `expire` and `cancel` become `take back`."
            "\n\n" + matrix(moves, "move", list(words), words) +
            "\n## Conditions of a device\n\n" + NOTE % conditions +
            "A device has one condition: the first row that is true of it. "
            "The dashboard, `device list`, `top`, REST, metrics, selectors "
            "and alerts have the same word.\n\n" + table(
                ["condition", "meaning"],
                [["`%s`" % r[1], r[3]]
                 for r in rows(conditions, "FLO_CONDITION")]))


def check_measured(names):
    """A metric that no device measures is a promise that nobody keeps."""
    text = ""
    for here, _, files in os.walk(os.path.join(ROOT, "agent")):
        for name in files:
            if name.endswith(".c"):
                text += open(os.path.join(here, name),
                             encoding="utf-8").read()
    calls = re.findall(r"(?:flo_measure_\w+\([^;]*?|\] = )FLO_METRIC_NAME_(\w+)", text)
    for name in names:
        if name not in calls:
            sys.exit("proto/metrics.def: agent/ measures no %s" % name)


def metrics():
    check_measured([r[0] for r in rows("proto/metrics.def", "FLO_METRIC")])
    lines = [["`%s`" % r[1], r[2].lower(), r[3] or "–", r[5]]
             for r in rows("proto/metrics.def", "FLO_METRIC")]
    return ("# Metrics\n\n" + NOTE % "proto/metrics.def" +
            table(["name", "kind", "unit", "meaning"], lines))


def prometheus():
    lines = [["`%s`" % r[1], r[2].lower(), r[3] or "–",
              ", ".join("`%s`" % w for w in r[4].split()) or "–", r[5]]
             for r in rows("server-stub/core/exposition/exposed.def",
                           "FLO_EXPOSED")]
    return ("# Metrics for Prometheus\n\n" +
            NOTE % "server-stub/core/exposition/exposed.def" +
            "`GET /metrics` of the controller. How to scrape it, who may, and "
            "how many series there are: "
            "[monitoring.md](../monitoring.md).\n\n" +
            table(["name", "type", "unit", "labels", "meaning"], lines))


def orders():
    roles = {"ORDER": "order", "EMERGENCY": "order, emergency"}
    lines = [["`%s`" % r[1], r[2].lower(), r[3] if r[3] != "0" else "–",
              roles[r[4]], "yes" if len(r) == 7 else "–", r[-1]]
             for r in rows("proto/orders.def", "FLO_ORDER(?:_ASKED)?")]
    return ("# Orders\n\n" + NOTE % "proto/orders.def" +
            "Each is a DSSE-signed document "
            "(docs/internals/contracts/documents.md section 2.2). About one "
            "subject the order with the highest number holds. A group's list takes those of the highest rank "
            "first.\n\n" + table(["op", "subject", "rank", "signed by role",
                                  "`POST /v1/orders`", "effect"], lines))


def config_rows(source):
    lines = [["`%s`" % r[1], r[2].lower().replace("_", " "), r[3], r[4],
              r[5] if r[5] != "NULL" else "–"]
             for r in rows(source, "FLO_CONFIG")]
    meanings = "".join("- `%s`: %s\n" % (r[1], r[6])
                       for r in rows(source, "FLO_CONFIG"))
    return (table(["key", "type", "min", "max", "default"], lines) + "\n" +
            meanings)


def config_of(source, title):
    return "# %s\n\n" % title + NOTE % source + config_rows(source)


def config():
    apps, guards = "agent/apps.def", "agent/guards.def"
    endpoints, routes = "agent/endpoints.def", "agent/routes.def"
    return (config_of("agent/config.def", "The agent's configuration") +
            "\n## An app in `tokens`\n\n" + NOTE % apps +
            "A file alone (`tokens: {shop: FILE}`) is an app without limits. "
            "How they are counted: [local-api.md](local-api.md), Apps.\n\n" +
            config_rows(apps) +
            "\n## A guard in `guards`\n\n" + NOTE % guards +
            "Questions, verdicts and errors: [local-api.md](local-api.md), "
            "Guards.\n\n" + config_rows(guards) +
            "\n## An endpoint in `endpoints`\n\n" + NOTE % endpoints + config_rows(endpoints) +
            "\n## A route in `routes`\n\n" + NOTE % routes +
            "Reasons and conditions: [routes.md](../routes.md).\n\n" + config_rows(routes))


def oidc():
    return config_of("server-stub/run/login/oidc.def",
                     "The controller's identity provider: oidc.yaml")


def bodies(shape, fields):
    """The members of a body: a line for each form of it, none too wide."""
    shape = shape.replace("@rollout", "…: the fields of rollouts.md")
    shape = shape.replace("@order", openapi.orders())
    for form in shape.replace("@policy", fields).split("|"):
        yield from textwrap.wrap(form, 100, break_on_hyphens=False)


def api():
    fields = " ".join(r[0] for r in rows("proto/policy.def", "FLO_POLICY"))
    lines = [["`%s`" % r[0], "`%s`" % r[1], r[2].lower(),
              "devices' and people's" if "DEVICES" in r[3] else "people's",
              r[5] or "–", "`%s`" % r[6] if r[6] else "–",
              "<br>".join("`%s`" % b for b in bodies(r[7], fields))
              if r[7] else "–"]
             for r in rows("server-stub/rest/routes.def",
                           "FLO_REST_ROUTE")]
    lines += [["`%s`" % r[1], "`%s`" % r[2], r[3].lower() +
               (", or a device's certificate" if "CERTIFICATE" in r[4]
                else ""),
               "devices' and people's" if "DEVICES" in r[4] else "people's",
               r[9] or "–", "–", "`%s`" % r[6] if r[6] else "–"]
              for r in rows("server-stub/rest/routes.def", "FLO_REST_STREAM")]
    lines += [["`GET`", "`/`, `/app/…` (dashboard)", "none", "people's",
               "–", "–", "–"]]
    return ("# REST of the controller\n\n" + NOTE %
            "server-stub/rest/routes.def" +
            "Bodies and answers: docs/internals/contracts/rest.md section 8. "
            "Errors are RFC 9457 problem documents whose `code` stands in "
            "errors.md. POSTs may carry `Idempotency-Key`; rollouts have an "
            "`ETag` and take `If-Match`. HEAD works where GET does. "
            "Query parameters and members of a body are those of the table "
            "(`x{…}` an object, `x[…]` an array of objects, `x!` must be "
            "given, `x:type` has the limits of that row below); any other is "
            "refused (`rest.unknown`) and nothing is done. The same as OpenAPI "
            "3.1, with answers: `/openapi.json`, in the tree "
            "`proto/openapi/controller.json`.\n\n" +
            table(["method", "path", "least role", "listener", "in the audit",
                   "query", "body"],
                  lines) +
            "\n## Values\n\n" + NOTE % openapi.TYPES +
            table(["word", "value", "meaning"], [
                ["`%s`" % r[0], value_of(r), r[5]]
                for r in rows(openapi.TYPES, "FLO_REST_TYPE") if r[5]]))


def value_of(row):
    """The limits of a row of types.def, in words."""
    word, kind, least, most, form, _ = row
    return {"TEXT": "%s to %s characters" % (least, most),
            "ID": "%s to %s characters" % (least, most),
            "LINE": "one line, %s to %s characters" % (least, most),
            "PAIR": "name=text", "GRANTS": "roles", "METRIC": "a metric", "NAME": "a name", "TITLE": "model@version",
            "WORD": form.replace("|", ", "),
            "WHOLE": "whole, %s to %s" % (least, most),
            "REAL": "%s to %s" % (least, most), "FLAG": "true, false",
            "LIST": "%s to %s elements" % (least, most)}.get(kind, "object")


def bounds(row):
    """The values that a member of a gate may have, and its default."""
    if row[3] == "METRIC":
        return "a metric", "must be given"
    if row[3] == "ON_FAIL":
        return "`halt`, `rollback`, `pause`", "the rollout's `on_fail`"
    return "%s to %s%s" % (row[4], row[5],
                           "" if row[3] == "REAL" else ", whole"), row[6]


KINDS = {"TEXT": "text", "NAME": "name", "TRUTH": "true or false",
         "COUNT": "whole number", "SIZE": "`10` or `10%`",
         "TIME": "`2027-01-31T01:00:00Z`; as `%s_ms` since 1970",
         "REAL": "number", "NAMES": "list of names",
         "LABELS": "list of names, or pairs as `site&hw`",
         "WINDOW": "`mon-fri 01:00-05:00 device-local`",
         "PER": "whole number", "FAILURE": "a kind below, or `any`",
         "RETRIES": "whole number, or an object of those by kinds below",
         "DEADLINES": "object of durations by states (states.md)",
         "DEVICES": "whole number", "SHARE": "number",
         "DURATION": "`30s`; as `%s_ms` in ms", "RATE": "`300/min`, `5/s`, "
         "`20/h`; as `%s_per_min` a number", "PER_S": "number",
         "GATES": "below", "POLICY": "policy.md"}


def spec_rows():
    """Rows of spec.def: part, name, kind, least, most, standard, possible,
    flag, meaning and when an edit may change it."""
    table_of_fields = "server-stub/core/spec/spec.def"
    both = {}
    for r in rows(table_of_fields, "^FLO_SPEC"):
        both[r[0], r[1]] = (*r[:3], *r[4:8], None, r[8], r[9])
    for r in rows(table_of_fields, "^FLO_SPEC_FLAG"):
        both[r[0], r[1]] = (*r[:3], *r[4:8], (r[8], r[9]), r[10],
                            r[11])
    text = open(os.path.join(ROOT, table_of_fields), encoding="utf-8").read()
    order = re.findall(r'^FLO_SPEC(?:_FLAG)?\((\w+), "(\w+)"', text, re.M)
    return [both[name] for name in order]


def spec_fields():
    """The fields of a specification, each under the path where it stands."""
    all_rows = spec_rows()
    where = {"SPEC": ""}
    for part, name, kind, _, _, _, possible, *_ in all_rows:
        if kind in ("PART", "LIST"):
            where[possible] = where[part] + name + (
                "[]." if kind == "LIST" else ".")
    lines = []
    changes = {"EDIT": "yes", "AHEAD": "of phases to come", "FIXED": "–"}
    for (part, name, kind, least, most, standard, possible, flag, what,
         change) in all_rows:
        if kind in ("PART", "LIST"):
            value = "object" if kind == "PART" else \
                "list of %s to %s objects" % (least, most)
        elif kind == "WORD":
            value = ", ".join("`%s`" % w for w in possible.split("|"))
        else:
            value = KINDS[kind].replace("%s", name)
            if kind in ("COUNT", "DEVICES", "REAL", "PER", "RETRIES"):
                value += ", only %s" % least if least == most else \
                    ", %s to %s" % (least, most)
        lines.append(["`%s%s`" % (where[part], name), value,
                      "`%s`" % standard if standard else "–",
                      "`--%s`" % flag[0] if flag else "–", changes[change],
                      what])
    return lines


def analysis():
    """Statistical gates: measures, their members, presets."""
    folder = "server-stub/core/gate/analysis/"
    measures = list(rows(folder + "measures.def", "FLO_MEASURE"))
    kinds = {"RATIO": "a change in %", "COUNT": "a rate",
             "DEATHS": "a hard stop", "LEAK": "a growth in % an hour"}
    words = {r[0]: r[1] for r in measures}
    members = [[kinds[r[0]], "`%s`" % r[1],
                "`halt`, `rollback`, `pause`" if r[3] == "ON_FAIL" else
                "a phase, `last`, `never`" if r[3] == "FROM" else
                "%s to %s" % (r[4], r[5]), r[6]]
               for r in rows(folder + "measures.def", "FLO_MEASURE_FIELD")]
    presets = list(rows(folder + "presets.def", "FLO_PRESET"))
    phases = list(rows(folder + "presets.def", "FLO_PRESET_PHASE"))
    rules = list(rows(folder + "presets.def", "FLO_PRESET_RULE"))

    def said(preset, measure):
        for r in rules:
            if (r[0], r[1]) != (preset, measure):
                continue
            if measure == "DEATHS":
                return "on"
            kind = [m[2] for m in measures if m[0] == measure][0]
            start = {"1": "", "LAST": ", critical in the last phase",
                     "NEVER": ", never critical"}.get(
                         r[5], ", critical from phase %s" % r[5])
            prove = ", ".join(r[6:])
            if kind == "LEAK":
                return "+%s %% an hour, weight %s%s" % (r[2], r[4], start)
            return ("+%s %%, prove %s %%, weight %s%s" % (
                r[2], prove, r[4], start) if kind == "RATIO" else
                    "%s times and +%s%s, weight %s%s" % (
                        r[2], r[3], "" if r[5] == "NEVER" else
                        ", prove +%s" % prove, r[4], start))
        return "–"

    def phase(r):
        least = "at least %s" % r[3] if r[3] != "0" else ""
        most = "at most %s" % r[4] if int(r[4]) < 200000 else ""
        bounds_of = ", ".join(x for x in (least, most) if x)
        return "%s %%%s, soak %d min" % (
            r[2], " (%s)" % bounds_of if bounds_of else "", int(r[5]) // 60)

    return ("\n## Statistical gates\n\nMembers of `gates` next to those above. "
            "Each compares updated devices with controls of the same segment "
            "(`docs/internals/gates.md`). `preset` is `cautious`, `normal`, "
            "`fast` or `none`; a gate's member changes it, `false` leaves it "
            "out. `alarm_only: true`: gates halt, and no phase waits for them. "
            "`hold_out_pct` and `watch_ms` are of a preset's hold-out. Without "
            "`gates`, 200 devices and more have `normal`.\n\n" +
            table(["gate", "kind", "meaning"],
                  [["`%s`" % r[1], kinds[r[2]], r[6]] for r in measures]) +
            "\n" + table(["kind", "member", "possible", "meaning"], members) +
            "\nPresets:\n\n" +
            table([""] + ["`%s`" % p[1] for p in presets],
                  [["phase %d" % (i + 1)] +
                   [([phase(r) for r in phases if r[0] == p[0]] +
                     4 * ["–"])[i] for p in presets] for i in range(4)] +
                  [["hold-out"] + ["%s %% (50 to 500 devices), %d h" %
                                   (p[2], int(p[3]) // 3600)
                                   for p in presets],
                   ["`failed`"] + ["%s %%" % p[4] for p in presets]] +
                  [["`%s`" % words[m[0]]] + [said(p[0], m[0])
                                             for p in presets]
                   for m in measures
                   if any(r[1] == m[0] for r in rules)]))


def rollouts():
    lines = [["`%s`" % r[1], "yes" if r[2] == "1" else "no", r[3],
              r[4] or "–"]
             for r in rows("server-stub/core/rollout/rollout_states.def",
                           "FLO_ROLLOUT_STATE")]
    words = [r[1] for r in rows("server-stub/core/rollout/rollout_states.def",
                                "FLO_ROLLOUT_STATE")]
    cells = {"DOES": "yes", "NONE": "–", "SAME": "same",
             "STATE": "`rollout.state`", "APPROVAL": "`rollout.approval`",
             "ENDED": "`rollout.ended`"}
    verbs = [["`%s`" % r[1]] + [cells[c] for c in r[2:-1]] + [r[-1]]
             for r in rows("server-stub/core/rollout/rollout_verbs.def",
                           "^FLO_ROLLOUT_VERB")]
    verbs += [["`%s`" % r[0]] + ["yes"] * len(words) + [r[1]]
              for r in rows("server-stub/core/rollout/rollout_verbs.def",
                            "^FLO_ROLLOUT_READ")]
    events = [["`%s`" % r[1]] + [cells[c] for c in r[2:-1]] + [r[-1]]
              for r in rows("server-stub/core/rollout/rollout_events.def",
                            "FLO_ROLLOUT_EVENT")]
    table_of_gates = "server-stub/core/gate/gates.def"
    gates = [["`%s`" % r[1], r[3], r[4], r[5]]
             for r in rows(table_of_gates, "FLO_GATE")]
    names = {r[0]: r[1] for r in rows(table_of_gates, "FLO_GATE")}
    fields = [["`%s`" % names[r[0]], "`%s`" % r[1], *bounds(r), r[7]]
              for r in rows(table_of_gates, "FLO_GATE_FIELD")]
    return ("# Rollouts\n\n" + NOTE % "server-stub/core/*.def" +
            "## States\n\n" + table(["state", "still changes by itself",
                                     "meaning", "next"], lines) +
            "\n## Verbs\n\nThe answer of each verb of `flotilla rollout` in "
            "each state. yes: allowed; `same`: it is so already, nothing "
            "happens and nothing is refused; `–`: does not concern it; an "
            "error id: refused with it. A change freeze refuses `start`, "
            "`resume` and `promote` with `fleet.change_freeze` (423) and says "
            "until when; a frozen fleet refuses them with `fleet.frozen`. "
            "Table: `server-stub/core/rollout/rollout_verbs.def`.\n\n" +
            table(["verb"] + ["`%s`" % w for w in words] + ["meaning"],
                  verbs) +
            "\n## Events\n\nEvents that no person asks for; cells as above. "
            "The trace (`flotilla rollout explain ID`) says why something was "
            "ignored.\n\n" +
            table(["event"] + ["`%s`" % w for w in words] + ["meaning"],
                  events) +
            "\n## Specification\n\nThe fields of rollout.yaml (`flotilla rollout "
            "init`, `start -f`), of the body of `POST /v1/rollouts`, and the "
            "flags of `flotilla rollout start`. All but `release` may be left "
            "out. `rollout edit` changes those with `yes` while it runs. "
            "Table: `server-stub/core/spec/spec.def`.\n\n" +
            table(["field", "value", "standard", "flag", "edit", "meaning"],
                  spec_fields()) +
            "\n## Kinds of failures\n\nFor `abort_on` and `retries`; a kind "
            "that may be tried again has a chance at a second attempt. Table: "
            "`server-stub/core/failure/failures.def`.\n\n" +
            table(["kind", "errors", "tried again", "meaning"],
                  [["`%s`" % r[1], ", ".join("`%s…`" % p
                                             for p in r[2].split()) or "–",
                    "yes" if r[3] == "1" else "no", r[4]]
                   for r in rows("server-stub/core/failure/failures.def",
                                 "^FLO_FAILURE")]) +
            "\n## Gates\n\nA phase is left only when every gate passes; "
            "silence with the release is never success. Formulas: "
            "`server-stub/core/gate/share.c`.\n\n" +
            table(["gate", "at most", "unit", "meaning"], gates) +
            "\nMembers of a gate in `gates` of a rollout:\n\n" +
            table(["gate", "member", "possible", "standard", "meaning"],
                  fields) + analysis())


def build():
    """Fields of a build's specification, each under the path where it stands."""
    source = "server-stub/cli/builds/build.def"
    kinds = {"TITLE": "MODEL@VERSION", "TEXT": "text of %s to %s bytes", "NAME": "name",
             "PATH": "path", "CORPUS": "path, or `builtin`", "SIZE": "`90MB`, `1.2GiB` or bytes",
             "LOSS": "`1%%`", "COUNT": "whole number, %s to %s", "TRUTH": "true or false",
             "NAMES": "list of %s to %s texts", "PAIRS": "%s to %s texts or whole numbers by name",
             "FILES": "%s to %s paths by name", "PART": "object",
             "LIST": "list of %s to %s objects", "GATES": "gates, as below",
             "ROLLOUT": "fields of [rollouts.md](rollouts.md), but `release`"}
    where, lines = {"BUILD": ""}, []
    for part, name, kind, _, least, most, standard, example, meaning in rows(source, "FLO_BUILD"):
        if kind in ("PART", "LIST"):
            where[example] = where[part] + name + ("[]." if kind == "LIST" else ".")
        form = kinds[kind]
        lines.append(["`%s%s`" % (where[part], name), form % ((least, most) if "%s" in form else ()),
                      "needed" if standard == "NEEDED" else "`%s`" % standard if standard else "–",
                      meaning])
    units = {"PERCENT": "`90%`, up to 100", "BYTES": "`90MB`, `1.2GiB` or bytes",
             "REAL": "number"}
    gates = [["`%s`" % name, "at least" if sense == "MIN" else "at most", units[unit],
              measure, meaning] for _, name, sense, unit, _, measure, _, meaning in
             rows(source, "FLO_BUILD_GATE")]
    return ("# The specification of a build: the file of `flotilla model build`\n\n" +
            NOTE % source + "[models-from-folders.md](../models-from-folders.md) has the chain "
            "and an example.\n\n" + table(["field", "value", "default", "meaning"], lines) +
            "\n## Gates\n\nA gate stands in `evaluate.gates`, for every variant, or in a "
            "variant's own `gates`.\n\n" +
            table(["gate", "the figure is", "limit", "in the table", "meaning"], gates))


def policy():
    lines = [["`%s`" % r[0], r[4], r[5], r[6]]
             for r in rows("proto/policy.def", "FLO_POLICY")]
    return ("# Policy\n\n" + NOTE % "proto/policy.def" +
            "The wishes of an order about a device on its way to a release: "
            "`policy` of `POST /v1/rollouts` and of a deploy order. All are "
            "optional.\n\n" +
            table(["field", "default", "unit", "meaning"], lines))


def cli():
    flags = {}
    for block in re.finditer(r"flo_(?:flags_)?(\w+)\[\] = \{(.*?)FLO_FLAGS_END\s*\}\s*;",
                             expanded("server-stub/cli/flags.c"), re.S):
        flags[block.group(1)] = [
            ["`--%s%s`" % (name, "" if value == "NULL" else
                           " " + value.strip('"')),
             "".join(re.findall(r'"([^"]*)"', about))]
            for name, value, about in re.findall(
                r'\{\s*"([^"]+)",\s*(NULL|"[^"]*"),\s*((?:"[^"]*"\s*)+),',
                block.group(2))]
    out = ("# The command line: flotilla\n\n" + NOTE %
           "server-stub/cli/commands.def` and `flags.c" +
           "`FLOTILLA_CONTROLLER`, `FLOTILLA_TOKEN_FILE` and "
           "`FLOTILLA_CONTEXT` stand for the flags, but where `--context` is "
           "given; what `login` remembers "
           "lies in `~/.config/flotilla`. Exit codes: errors.md. The other "
           "programs: programs.md.\n\n## Flags of every command\n\n"
           "They may also stand before the command; `-o`, `-q`, `-h` are "
           "short for `--output`, `--quiet`, `--help`.\n\n" +
           table(["flag", "meaning"], flags.pop("global_flags")))
    commands = "server-stub/cli/commands.def"
    titles = dict(rows(commands, "^FLO_COMMAND_GROUP"))
    nouns = {group: [] for group in titles}
    for call, _, group, *_ in rows(commands, "^FLO_COMMAND"):
        noun = "`%s`" % call.split()[0]
        nouns[group] += [noun] if noun not in nouns[group] else []
    out += "\n## Commands\n\n" + table(["group", "commands"], [
        [title, ", ".join(nouns[group])] for group, title in titles.items()])
    for call, name, _, usage, example, about in rows(commands, "^FLO_COMMAND"):
        out += ("\n## flotilla %s\n\n%s.\n\n```\nflotilla %s\n```\n"
                "\nExample: `flotilla %s`\n" % (
                    call, about[:1].upper() + about[1:],
                    (call + " " + usage).strip(),
                    (call + " " + example).strip()))
        if flags.get(name):
            out += "\n" + table(["flag", "meaning"], flags[name])
    return out


def programs():
    """The help of each program; kept as it is before a build."""
    here = os.environ.get("FLOTILLA_BIN", os.path.join(ROOT, "build", "bin"))
    if not os.path.exists(os.path.join(here, "flotilla-engine")):
        return None

    def ask(*words):
        got = subprocess.run([os.path.join(here, words[0]), *words[1:],
                              "--help"], capture_output=True, text=True)
        return got.stdout.strip() or got.stderr.strip()

    def commands(program):
        names = re.findall(r"^  ([a-z][a-z-]*(?: [a-z-]+)?)  ",
                           ask(program), re.M)
        return [[program], *([program, *n.split()] for n in names
                             if n not in ("worker", "tuf"))]

    calls = [*commands("flotilla-controller"), *commands("flotilla-agent"),
             *commands("flotilla-engine"),
             *commands("flotilla-model"), *commands("flotilla-updater"),
             *commands("flotilla-relay")]
    return ("# The other programs\n\n" +
            NOTE.replace("`%s`", "%s") % "each program's `--help`" +
            "`flotilla` itself: cli.md.\n" + "".join(
                "\n## %s\n\n```\n%s\n```\n" % (" ".join(c), ask(*c))
                for c in calls))


def version():
    base = open(os.path.join(ROOT, "base/include/flotilla/base.h"),
                encoding="utf-8").read()
    return re.search(r'FLO_VERSION "([^"]+)"', base).group(1)


def fields():
    path = "server-stub/core/select/fields.def"
    kinds = {"TEXT": "text", "LIST": "several", "AGE": "time since",
             "FLAG": "true or false", "NUMBER": "number"}
    units = {"NONE": "", "BYTES": ", as 200MiB", "MS": ", as 10m"}
    lines = [["`%s`" % r[1], kinds[r[2]] + units[r[3]],
              "yes" if r[4] == "MOVING" else "", r[5]]
             for r in rows(path, "FLO_SELECT_FIELD")]
    return ("# Fields of a device, and selectors\n\n" + NOTE % path +
            "A selector says which devices are meant. `--where`, `-l`, "
            "`--selector`, saved groups and REST (`where=`) read the same "
            "language:\n\n```\n"
            "hw=rpi5 and site in (lyon,nantes) and not lab\n"
            "state=online and last_seen<10m and memory>=2GiB\n"
            "release.help<2.4.0 or not model=help\n```\n\n"
            "| form | meaning |\n| --- | --- |\n"
            "| `a and b`, `a,b` | both |\n"
            "| `a or b` | one of them; `and` binds tighter |\n"
            "| `not a`, `!a`, `(a)` | the opposite, brackets |\n"
            "| `= == != < <= > >=` | comparison; texts are ordered as people "
            "count (gw-2 before gw-10) |\n"
            "| `in (x,y)`, `not in (x,y)` | one of these values, none of them "
            "|\n"
            "| `name` | the field or the label is there |\n"
            "| `label.KEY` | a label, also where a field has its name or no "
            "device has it yet |\n"
            "| `release.MODEL` | the version of that model that serves |\n"
            "| `'a b'`, `\"a b\"` | a value with blanks or signs; a quote inside stands twice |\n\n"
            "Sizes are `B kB MB GB TB KiB MiB GiB TiB`, times `ms s m h d w`. "
            "A device that does not say a value is in no comparison with it; "
            "`!=` and `not in` are opposites, so it is in those. A text has "
            "at most 1,024 bytes, 64 comparisons, 256 values and 24 brackets "
            "inside each other.\n\nFields that move change by themselves. A "
            "group that has assignments may not be selected by one.\n\n" +
            table(["field", "kind", "moves", "meaning"], lines))


def block_types():
    """Rows of the delta's types: their numbers, then their fields."""
    for row in rows("updater/delta/tensor/types.def", "FLO_BLOCK_TYPE"):
        cells, fields = row[:19], ",".join(row[19:])
        yield cells, [[f.strip() for f in found.split(",")] for found in
                      re.findall(r"FLO_BLOCK_FIELD\(([^)]*)\)", fields)]


def block_numbers():
    """The numbers that describe each type."""
    def of(kind, cells):
        (_, name, _, values, size, part, bits, flip, zero, grid, scale_bits,
         scale_flip, scale_zero, offset, rule, divisor, over, _, _) = cells
        yield from ("%s, %s" % (name, cells[0]), values, size)
        if kind != "CODES":
            yield from ["–"] * 8
            return
        signed = lambda flag: ", signed" if flag != "0" else ""
        yield part
        yield bits + signed(flip)
        yield "uneven" if grid == "1" else zero
        yield "–" if scale_bits == "0" else scale_bits + signed(scale_flip)
        yield "–" if scale_bits == "0" else scale_zero
        yield {"NONE": "0", "M": "m", "DMIN": "−dmin · min"}[offset]
        yield "%s, %s" % (rule.lower(), divisor)
        yield over.replace("-", "−")
    return table(["type, id", "values", "bytes", "run", "code bits",
                  "code zero", "scale bits", "scale zero", "offset",
                  "rule, divisor", "over"],
                 [list(of(cells[2], cells)) for cells, _ in block_types()])


def span(first, count):
    return str(first) if count == 1 else "%d–%d" % (first, first + count - 1)


def block_fields():
    """The place of each bit of a type."""
    lines = []
    for cells, fields in block_types():
        name, kind, values, size = cells[1:5]
        offset, d_at, m_at = cells[13], int(cells[17]), int(cells[18])
        if kind != "CODES":
            lines.append([name, "value", "0", "0",
                          span(0, 8 * int(size)), ""])
            continue
        halves = [("d", d_at)] + ([] if offset == "NONE" else
                                  [(offset.lower(), m_at)])
        lines += [[name, half, at, "0", "0–15", ""]
                  for half, at in halves]
        for field in fields:
            first, count, at, bits, run, per, shift, into = map(int, field[1:])
            what = {"CODES": "code", "SCALES": "scale", "MINS": "min"}[field[0]]
            groups = (count or int(values)) // (run * per)
            def sum_of(base, *terms):
                """base + factor · letter of those that are not always 0."""
                said = [str(base)] if base else []
                said += [("" if factor == 1 else "%d" % factor) + letter
                         for factor, letter, most in terms if most > 1]
                return " + ".join(said) or "0"
            g, t, k = ("g", groups), ("t", per), ("k", run)
            lines.append([
                name, "%s %s" % (what, sum_of(first, (run * per, *g),
                                              (run, *t), (1, *k))),
                sum_of(at, (run, *g), (1, *k)),
                sum_of(shift, (bits, *t)), span(into, bits),
                ", ".join("%s < %d" % x for x in (g, t, k) if x[1] > 1)])
    return table(["type", "number", "byte", "from bit", "bits of the number",
                  "for"], lines)


def with_tables(name, *tables):
    """A page that is written by hand, but for its tables of a .def file."""
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        text = file.read()
    for mark, source, make in tables:
        begin = "<!-- %s: made by `make docs` from %s -->\n" % (mark, source)
        before, rest = text.split(begin)
        text = before + begin + make() + rest[rest.index("<!-- end -->"):]
    return text


def delta_page():
    return with_tables("docs/internals/delta.md",
                       ("numbers of the types", "types.def", block_numbers),
                       ("bits of the types", "types.def", block_fields))


def architectures():
    return table(["name", "models", "particular", "compared"],
                 [["`%s`" % name, models, particular, checked]
                  for _, name, models, particular, checked in
                  rows("base/architectures.def", "FLO_ARCHITECTURE")])


def import_keys():
    """Rows of reading.def by file.  Rows of the rotation stand for each
    spelling of it, and are shown once."""
    files = {}
    call = r'READING\(((?:"(?:[^"\\]|\\.)*"|[^()"])*)\)'
    for row in re.finditer(call, expanded("engine/publish/import/reading.def")):
        cells = re.findall(r'((?:"(?:[^"\\]|\\.)*"\s*)+|[^,"\s]+)\s*(?:,|$)', row.group(1))
        file, keys, families, fate, values, _, why = (
            "".join(re.findall(r'"([^"]*)"', cell)) if '"' in cell else cell
            for cell in cells)
        shown = ["`%s`" % key for key in keys.split()
                 if not key.startswith("rope_parameters.")
                 and not key.startswith("rope_scaling.full_")]
        files.setdefault(file, []).extend(
            [names, those, " or ".join("`%s`" % value for value in values.split("|") if value),
             fate.lower(), why]
            for names in textwrap.wrap(" ".join(shown), 100)
            for those in textwrap.wrap(families.replace(" ", ", ") or "all", 100))
    head = ["keys", "families", "values", "fate", "why, or what applies it"]
    return ("# Keys of folders\n\n" + NOTE % "engine/publish/import/reading.def" +
            "`flotilla-model import` reads each key of these files. The first row "
            "that fits a key, its family and its value decides: it is applied, "
            "harmless, left to the request, or refused by its name. A key or "
            "value without a row is refused; `--accept-unknown KEY` passes it "
            "over, and the new file says so. `null` counts as absent. A key "
            "that `config.json` does not have at all is what its class takes "
            "(`engine/publish/texts/classes.json`, by `model_type`), and is read by "
            "the same rows, as of `config.json, by its class`. "
            "`flotilla-model import --explain DIR` prints what is done with a "
            "folder's keys.\n\n`*` is any item, `**` all that is below. A row of "
            "`rope_scaling` holds for `rope_parameters`, too, and for "
            "`full_attention` in both. Keys of a text model inside "
            "(`text_config`) are read as those of the file. The rows hold what the "
            "classes of transformers 4.57.1 and 5.24.0, peft 0.21.2 and "
            "sentence-transformers 6.2.0 write (1 December 2026).\n" +
            "".join("\n## %s\n\n" % file + table(head, lines)
                    for file, lines in files.items()) + gguf_keys())


def gguf_keys():
    """Rows of unread.def: what is not read of a GGUF file."""
    source = "engine/model/file/unread.def"
    may = {"ANY": "anything", "MOST": "at most %s", "SAME": "the same as `%s`",
           "EXPERTLESS": "anything, without experts", "GATING": "the family's function",
           "CAUSAL": "false for encoders, else true", "ACTIVATION": "the family's own",
           "WINDOW": "0, or at least the context"}
    return ("\n## GGUF files\n\nThe commands that make or judge a model refuse a GGUF file "
            "with a key that nothing reads: a key of the file's family "
            "(`llama.residual_gain`), of its tokenizer, or of an adapter. The engine "
            "itself says which keys of the family it looks at. These are left unread, as "
            "long as they say what is here; keys of no other kind are looked at. A device "
            "serves what was released. The rows hold what llama.cpp's converter writes "
            "(1 December 2026).\n\n" +
            table(["key", "may say", "why"], [
                ["`%s`" % name, may[rule] % other if "%" in may[rule] else may[rule], why]
                for name, rule, other, why in rows(source, "UNREAD")]))


def models_page():
    return with_tables("docs/reference/models.md",
                       ("architectures", "base/architectures.def", architectures))


def local_api_page():
    source = "agent/parties.def"
    return with_tables(
        "docs/reference/local-api.md",
        ("parties", source, lambda: table(["party", "known by"], [
            [word, known] for _, _, word, known in rows(source, "FLO_PARTY")])),
        ("shared", source, lambda: table(
            ["thing", "share of one party", "what another party sees"],
            [r[1:] for r in rows(source, "FLO_SHARED")])))


def release_fields():
    source = "proto/release.def"
    return table(
        ["field", "bounds; default", "meaning"],
        [["`%s`" % name, "≤ %s bytes; empty" % most, meaning]
         for name, most, _, meaning in rows(source, "FLO_RELEASE_TEXT")] +
        [["`needs.%s`" % name, "≤ 4 words; any", meaning]
         for name, meaning in rows(source, "FLO_RELEASE_WORDS")] +
        [["`needs.%s`" % name, "≤ %s; not asked" % re.sub(
            r"(?:UINT64_C\()?1\)? << (\d+)", r"2^\1", most), meaning]
         for name, _, most, _, meaning in rows(source, "FLO_RELEASE_NEED")])


CONTRACTS = ["docs/internals/contracts%s.md" % part for part in (
    "", "/documents", "/messages", "/processes", "/device", "/rest", "/rollouts")]


def contracts_page(name):
    """A page that is written by hand, but for the numbers that a mark names."""
    tables = [("fields alike", "release.def", release_fields)]
    return constants.written(with_tables(
        name, *(tables if name.endswith("/documents.md") else [])), name)


def clients_page():
    """Calls of real client packages: as the story plays them."""
    sys.path.insert(0, os.path.join(ROOT, "tests", "integration", "clients"))
    import calls
    every = [row for program in calls.PROGRAMS for row in program.rows]
    out = ("# Clients that work unchanged\n\n" +
           NOTE % "tests/integration/clients/calls.py" +
           "%d calls of %d real packages, unmodified, work against "
           "`flotilla-agent serve`. The story `e2e_clients` makes "
           "each of these calls in every run and checks the objects that the client "
           "returns: their classes, valid arguments, and finish "
           "reasons. `deploy/install-deps.sh --optional` installs the packages "
           "in the versions that are pinned here.\n\nMost calls are answered by a model that "
           "the story builds (`tests/integration/reciter.py`). The model calls a tool "
           "if it has one, and adds a text after the result. So this page shows "
           "that a client and the API understand each other. How well a model "
           "chooses its calls is measured in benchmarks.md.\n" % (
               len(every), sum(len(p.packages) for p in calls.PROGRAMS)))
    for program in calls.PROGRAMS:
        pinned = calls.versions(program.environment)
        out += "\n## %s (%s)\n\n" % (
            ", ".join("%s %s" % (name, pinned[name])
                      for name in program.packages),
            "npm" if program.environment == "node" else "Python")
        out += table(["call", "in the package's words", "what the client gets"], [
            [name.replace("_", " "), "`%s`" % words if "`" not in words
             else words, calls.gets(name)]
            for name, words in program.rows])
    return out


PAGES = {"docs/clients.md": clients_page, "docs/reference/models.md": models_page,
         "docs/reference/local-api.md": local_api_page,
         "docs/internals/delta.md": delta_page,
         **{name: lambda name=name: contracts_page(name) for name in CONTRACTS},
         "import-keys.md": import_keys, "fields.md": fields, "errors.md": errors, "topics.md": topics, "states.md": states,
         "metrics.md": metrics, "prometheus.md": prometheus, "orders.md": orders, "config.md": config, "oidc.md": oidc, "cli.md": cli, "api.md": api,
         "rollouts.md": rollouts, "build.md": build, "policy.md": policy, "programs.md": programs,
         "proto/openapi/controller.json": lambda: openapi.text(version()),
         "proto/openapi/local.json": lambda: local_openapi.text(version())}


def main():
    stale = []
    made = {name: make() for name, make in PAGES.items()}
    made.update(error_codes.pages())
    for name, text in made.items():
        if text is None:
            continue
        path = os.path.join(ROOT, name if "/" in name else
                            os.path.join("docs", "reference", name))
        old = open(path, encoding="utf-8").read() if os.path.exists(path) else ""
        if old == text:
            continue
        if "--check" in sys.argv[1:]:
            stale.append(name)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            open(path, "w", encoding="utf-8").write(text)
    for name in error_codes.left_over():
        if "--check" in sys.argv[1:]:
            stale.append(name)
        else:
            os.remove(os.path.join(ROOT, name))
    if stale:
        print("made from tables and stale: %s (run make docs)" % " ".join(stale))
        return 1
    return 0


sys.exit(main())
