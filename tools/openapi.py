#!/usr/bin/env python3
"""The OpenAPI document of the controller, from its tables: routes.def,
answers.def, objects.def, types.def, and those of policies and gates.
`tools/docs.py` writes it to proto/openapi/controller.json."""
import json
import re

from deftable import rows

ROUTES = "server-stub/rest/routes.def"
ANSWERS = "server-stub/rest/answers/answers.def"
OBJECTS = "server-stub/rest/answers/objects.def"
TYPES = "server-stub/core/request/types.def"
GATES = "server-stub/core/gate/gates.def"
NAME = "^[a-z0-9][a-z0-9._-]{0,63}$"
TITLE = "^[a-z0-9][a-z0-9._-]{0,63}@[a-z0-9][a-z0-9._-]{0,63}$"
GRANT = "(viewer|operator|releaser|admin|auditor|" \
    "(viewer|operator):[a-z0-9][a-z0-9._-]{0,63})"
GRANTS = "^%s(,%s){0,7}$" % (GRANT, GRANT)
TEXT = "^[^\\u0000]*$"
QUERY = "[^\\u0000-\\u001f\\u007f]*$"  # the head has no control characters
LINE = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069]*$"


class Word:
    """One word of a shape."""

    def __init__(self, text):
        match = re.match(r"([^ {\[=|:!?~]+)(?::([^ {\[=|!?~]+))?([!?~]*)"
                         r"(?:=([^ |]+))?(.*)$", text, re.S)
        if match is None or match.group(5)[:1] not in ("", "{", "["):
            raise SystemExit("no word of a shape: `%s`" % text)
        self.name, self.type, marks, self.value, rest = match.groups()
        self.type = self.type or self.name
        self.needed, self.absent, self.null = (m in marks for m in "!?~")
        self.bracket = rest[:1]
        self.inside = rest[1:-1]


def parts(text, mark):
    """`text` cut at each `mark` that stands outside of brackets."""
    out, depth = [""], 0
    for char in text:
        depth += (char in "{[") - (char in "}]")
        if char == mark and depth == 0:
            out.append("")
        else:
            out[-1] += char
    return [part.strip() for part in out]


def orders():
    """The shape of an order that people ask for."""
    return "|".join("op=%s %s" % (row[1], row[5]) for row in rows(
        "proto/orders.def", "FLO_ORDER_ASKED"))


class Shapes:
    """Shapes as JSON Schemas."""

    def __init__(self):
        self.types = {r[0]: r for r in rows(TYPES, "FLO_REST_TYPE")}
        self.used = set()

    def limits(self, row):
        word, kind, least, most, form, meaning = row
        self.used.add(word)
        number = lambda text: float(text) if "." in text or "e" in text \
            else int(text)
        if kind in ("TEXT", "ID", "LINE"):
            out = {"type": "string", "minLength": int(least),
                   "maxLength": int(most), "pattern":
                   LINE if kind == "LINE" else TEXT}
        elif kind in ("NAME", "TITLE"):
            out = {"type": "string",
                   "pattern": NAME if kind == "NAME" else TITLE}
        elif kind == "GRANTS":
            out = {"type": "string", "maxLength": int(most),
                   "pattern": GRANTS}
        elif kind == "METRIC":
            out = {"type": "string", "enum": [
                r[1] for r in rows("proto/metrics.def", "FLO_METRIC")]}
        elif kind == "PAIR":
            out = {"type": "string", "maxLength": int(most),
                   "pattern": NAME[:-1] + "=" + TEXT[1:]}
        elif kind == "WORD":
            out = {"type": "string", "enum": form.split("|")}
        elif kind in ("WHOLE", "REAL"):
            out = {"type": "integer" if kind == "WHOLE" else "number"}
            if abs(number(least)) < 1e300:
                out.update(minimum=number(least), maximum=number(most))
        elif kind == "FLAG":
            out = {"type": "boolean"}
        elif kind == "LIST":
            out = {"type": "array", "minItems": int(least),
                   "maxItems": int(most)}
        elif kind == "OBJECT":
            out = {"type": "object"}
        else:
            out = {}
        if meaning:
            out["description"] = meaning
        return out

    def about(self, word):
        """The meaning of a word, where it has a row."""
        if word.type not in self.types or \
                not self.types[word.type][5]:
            return {}
        self.used.add(word.type)
        return {"description": self.types[word.type][5]}

    def type(self, name, where):
        if name not in self.types:
            raise SystemExit("%s has no row `%s`, which %s needs" % (
                TYPES, name, where))
        return self.limits(self.types[name])

    def element(self, inside, where, strict):
        """The schema of a bracket's inside."""
        if inside.startswith("@"):
            return {"$ref": "#/components/schemas/" + inside[1:]}
        if inside.startswith(":"):
            out = self.type(inside[1:].rstrip("~"), where)
            if inside.endswith("~"):
                out["type"] = [out["type"], "null"]
            return out
        if inside == "*":
            return {"$ref": "#/components/schemas/free"} if strict else {}
        return self.object(inside, where, strict)

    def word(self, word, where, strict):
        where = "%s.%s" % (where, word.name)
        if word.bracket == "":
            out = self.type(word.type, where)
        elif word.bracket == "[":
            out = self.limits(self.types[word.type]) \
                if word.type in self.types and \
                self.types[word.type][1] == "LIST" else {"type": "array"}
            out["items"] = self.element(word.inside, where, strict)
        elif word.inside == "@policy":
            out = policy()
        elif word.inside == "@gates":
            out = gates()
        elif word.inside == "@edit":
            out = specification("SPEC", is_edit=True)
        elif word.inside.startswith("@"):
            out = self.element(word.inside, where, strict)
        elif word.inside == "*":
            out = {"type": "object", "additionalProperties": self.element(
                "*", where, strict)}
        elif word.inside.startswith(":"):
            out = {"type": "object", "additionalProperties": self.element(
                word.inside, where, strict), "propertyNames": {
                    "pattern": NAME}}
        else:
            out = self.object(word.inside, where, strict)
        if word.null:
            out = {"oneOf": [out, {"type": "null"}]} if "$ref" in out or \
                "type" not in out else dict(out, type=[out["type"], "null"])
        return out

    def object(self, shape, where, strict):
        """`strict`: a request, where unknown members are refused, and only
        members with `!` must be there."""
        properties, needed = {}, []
        for text in parts(shape, " "):
            if not text:
                continue
            word = Word(text)
            if word.value:
                properties[word.name] = {"const": word.value,
                                         **self.about(word)}
            else:
                properties[word.name] = dict(self.word(word, where, strict),
                                             **self.about(word))
            if word.needed or word.value or not (strict or word.absent):
                needed.append(word.name)
        out = {"type": "object", "properties": properties}
        if needed:
            out["required"] = needed
        if strict:
            out["additionalProperties"] = False
        return out

    def body(self, shape, where):
        if shape == "@rollout":
            return specification("SPEC")
        if shape == "@envelope":
            return self.element(shape, where, True)
        return self.forms(orders() if shape == "@order" else shape, where)

    def forms(self, shape, where):
        """A body: one of its forms.  The last one may have the choice open;
        then it is not one of those before it."""
        forms = [self.object(form, where, True) for form in parts(shape, "|")]
        if len(forms) == 1:
            return forms[0]
        choice = Word(parts(parts(shape, "|")[0], " ")[0]).name
        taken = [form["properties"][choice]["const"] for form in forms
                 if "const" in form["properties"][choice]]
        for form in forms:
            value = form["properties"][choice]
            if "enum" in value:
                value["enum"] = [v for v in value["enum"] if v not in taken]
        return {"oneOf": forms}

    def answer(self, shape, where):
        forms = [{"$ref": "#/components/schemas/" + form[1:]}
                 if form.startswith("@") else {} if form == "*"
                 else self.object(form, where, False)
                 for form in parts(shape, "|")]
        return forms[0] if len(forms) == 1 else {"anyOf": forms}


def number(text):
    """A limit of a C table."""
    constants = {"FLO_POLICY_DAY_MS": 86400000,
                 "FLO_POLICY_MONTH_MS": 30 * 86400000,
                 "FLO_POLICY_TERABYTE": 1 << 40}
    return constants.get(text) or (float(text) if "." in text else int(text))


def policy():
    properties = {}
    for name, kind, least, most, _, unit, meaning in rows("proto/policy.def",
                                                          "FLO_POLICY"):
        properties[name] = {
            "type": "integer" if kind == "WHOLE" else "number",
            "minimum": number(least), "maximum": number(most),
            "description": meaning + (", in " + unit if unit else "")}
    return {"type": "object", "properties": properties,
            "additionalProperties": False}


def gates():
    metrics = [r[1] for r in rows("proto/metrics.def", "FLO_METRIC")]
    properties, most = {}, {}
    for name, word, _, count, *_ in rows(GATES, "FLO_GATE"):
        properties[name] = (word, {"type": "object", "properties": {},
                                   "additionalProperties": False})
        most[name] = int(count)
    for gate, member, _, kind, least, limit, standard, meaning in rows(
            GATES, "FLO_GATE_FIELD"):
        if kind == "METRIC":
            value = {"type": "string", "enum": metrics}
        elif kind == "ON_FAIL":
            value = {"type": "string", "enum": ["halt", "rollback", "pause"]}
        else:
            value = {"type": "number" if kind == "REAL" else "integer",
                     "minimum": number(least), "maximum": number(limit)}
        schema = properties[gate][1]
        schema["properties"][member] = dict(value, description=meaning)
        if kind not in ("ON_FAIL",) and number(standard) < number(least):
            schema.setdefault("required", []).append(member)
    return {"type": "object", "additionalProperties": False, "properties": {
        word: schema if most[name] == 1 else
        {"type": "array", "maxItems": most[name], "items": schema}
        for name, (word, schema) in properties.items()}}


DURATION = "^([1-9][0-9]{0,5}m?s|[1-9][0-9]{0,3}m|[1-6]?[0-9]{1,2}h|" \
    "[12]?[1-9]d)$"
RATE = "^([1-9][0-9]{0,4}/(s|min)|[1-9][0-9]{1,4}/h)$"
SIZE = "^([1-9][0-9]?(\\.[0-9]{1,6})?|100)%$"
LONG_DURATION = "^([1-9][0-9]{0,5}s|[1-9][0-9]{0,3}m|[1-6]?[1-9][0-9]?h|" \
    "[12]?[1-9]d)$"
# Ends after it begins, so that no pair of equal times is made.
WINDOW = "^((mon|tue|wed|thu|fri|sat|sun)" \
    "([-,](mon|tue|wed|thu|fri|sat|sun))? )?0[0-9]:[0-5][0-9]-1[0-9]:[0-5]" \
    "[0-9]( device-local| UTC| [+-]0[0-9]:[0-5][0-9])?$"
MOMENT = "^20[3-9][0-9]-0[1-9]-[01][1-9]T[01][0-9]:[0-5][0-9]:[0-5][0-9]Z$"
SPEC = "server-stub/core/spec/spec.def"


def kinds_of_failures(may_retry=None):
    return [r[1] for r in rows("server-stub/core/failure/failures.def",
                               "^FLO_FAILURE")
            if may_retry is None or r[3] == may_retry]


def specification(part, is_edit=False):
    """The fields of a part of a rollout's specification; those that an edit may
    change."""
    properties = {}
    per = None
    fields = [(r[0], r[1], r[2], *r[4:8], r[8], r[9])
              for r in rows(SPEC, "^FLO_SPEC")] + [
        (r[0], r[1], r[2], *r[4:8], r[10], r[11])
        for r in rows(SPEC, "^FLO_SPEC_FLAG")]
    for where, name, kind, least, most, _, possible, meaning, change in fields:
        if where != part or (is_edit and change == "FIXED"):
            continue
        limits = {"minimum": number(least), "maximum": number(most)}
        text = {"TEXT": TITLE if name == "release" else LINE, "NAME": NAME,
                "DURATION": DURATION, "RATE": RATE}
        if kind in text:
            value = {"type": ["string", "null"], "pattern": text[kind]}
            if kind == "TEXT":
                value.update(minLength=int(least), maxLength=int(most))
        elif kind == "WORD":
            value = {"enum": possible.split("|") + [None]}
        elif kind == "TRUTH":
            value = {"type": ["boolean", "null"]}
        elif kind == "NAMES":
            value = {"type": ["array", "null"], "minItems": int(least),
                     "maxItems": int(most), "uniqueItems": True,
                     "items": {"type": "string", "pattern": NAME}}
        elif kind == "LABELS":
            value = {"type": ["array", "null"], "minItems": int(least),
                     "maxItems": int(most), "uniqueItems": True,
                     "items": {"type": "string", "pattern": NAME[:-1] +
                               "(&" + NAME[1:-1] + ")?$"}}
        elif kind == "TIME":
            value = {"type": ["string", "null"], "pattern": MOMENT}
            properties[name + "_ms"] = {
                "type": ["integer", "null"], **limits,
                "description": meaning + ", in ms since 1970"}
        elif kind == "WINDOW":
            value = {"type": ["string", "null"], "pattern": WINDOW}
        elif kind == "FAILURE":
            value = {"enum": kinds_of_failures() + ["any", None]}
        elif kind == "RETRIES":
            times = {"type": "integer", **limits}
            value = {"anyOf": [times, {"type": "null"}, {
                "type": "object", "additionalProperties": False,
                "properties": {k: times for k in
                               [*kinds_of_failures("1"), "any"]}}]}
        elif kind == "DEADLINES":
            value = {"type": ["object", "null"], "additionalProperties": False,
                     "properties": {
                         r[1]: {"type": "string", "pattern": LONG_DURATION}
                         for r in rows("proto/execution.def", "FLO_EXECUTION")
                         if r[2] == "WAY" and r[1] != "queued"}}
        elif kind == "PER":
            per = {"type": "integer", **limits, "description": meaning}
            continue
        elif kind in ("COUNT", "DEVICES"):
            value = {"type": ["integer", "null"], **limits}
        elif kind in ("SHARE", "PER_S", "REAL"):
            value = {"type": ["number", "null"], **limits}
            if kind == "SHARE":
                value["exclusiveMinimum"] = value.pop("minimum")
        elif kind == "SIZE":
            value = {"anyOf": [{"type": "integer", "minimum": 1,
                                "maximum": 200000},
                               {"type": "string", "pattern": SIZE},
                               {"type": "null"}]}
        elif kind == "PART":
            value = dict(specification(possible, is_edit), minProperties=1)
            value["type"] = ["object", "null"]
        elif kind == "LIST":
            value = {"type": ["array", "null"], "minItems": int(least),
                     "maxItems": int(most),
                     "items": specification(possible, is_edit)}
        else:
            value = gates() if kind == "GATES" else policy()
            value["type"] = ["object", "null"]
        properties[name] = dict(value, description=meaning)
        if kind == "DURATION":
            properties[name + "_ms"] = {
                "type": ["integer", "null"], **limits,
                "description": meaning + ", in ms"}
        elif kind == "RATE":
            properties[name + "_per_min"] = {
                "type": ["number", "null"], **limits, "description": meaning}
    out = {"type": "object", "properties": properties,
           "additionalProperties": False}
    if per is not None:
        out["patternProperties"] = {"^per_[a-z0-9]{1,60}$": per}
    if part == "SPEC" and not is_edit:
        properties["release"]["type"] = "string"
        out["required"] = ["release"]
    return out


# A value of a free member: JSON as our reader takes it.
FREE = {
    "anyOf": [{"type": ["boolean", "null"]},
              {"type": "string", "pattern": TEXT},
              {"type": "number", "minimum": -(1 << 53),
               "maximum": 1 << 53},
              {"type": "array", "items": {"$ref": "#/components/schemas/free"}},
              {"type": "object", "propertyNames": {"pattern": TEXT},
               "additionalProperties": {"$ref": "#/components/schemas/free"}}]}
BASE64 = "[A-Za-z0-9+/]"
ENVELOPE = {
    "type": "object",
    "description": "A DSSE envelope, as text without blanks and in this order: "
                   "docs/internals/contracts/documents.md section 2",
    "required": ["payload", "payloadType", "signatures"],
    "additionalProperties": False,
    "properties": {
        "payload": {"type": "string", "pattern":
                    "^(%s{4})*(%s{2}==|%s{3}=)?$" % (3 * (BASE64,))},
        "payloadType": {"type": "string", "minLength": 1, "pattern":
                        "^application/vnd\\.flotilla\\.[a-z0-9.-]+\\+json$"},
        "signatures": {
            "type": "array", "minItems": 1, "maxItems": 8,
            "items": {
                "type": "object", "required": ["keyid", "sig"],
                "additionalProperties": False,
                "properties": {
                    "keyid": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                    "sig": {"type": "string",
                            "pattern": "^%s{86}==$" % BASE64}}}}}}
PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `code` is a stable id of docs/reference/"
                   "errors.md; `type` leads to its meaning.",
    "required": ["type", "title", "status", "detail", "instance", "code",
                 "fix", "request_id"],
    "properties": {
        "type": {"type": "string"}, "title": {"type": "string"},
        "status": {"type": "integer"}, "detail": {"type": "string"},
        "instance": {"type": "string"}, "code": {"type": "string"},
        "why": {"type": "string"}, "fix": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {"type": "array", "items": {
            "type": "object", "required": ["detail"], "properties": {
                "pointer": {"type": "string",
                            "description": "a member of the body, RFC 6901"},
                "parameter": {"type": "string",
                              "description": "a parameter of the query"},
                "detail": {"type": "string"}}}}}}


def problems():
    return {"4XX": {"$ref": "#/components/responses/problem"},
            "5XX": {"$ref": "#/components/responses/problem"}}


def path_parameters(pattern):
    is_release = pattern.startswith("/v1/releases/")
    kinds = {"name": {"type": "string",
                      "pattern": TITLE if is_release else NAME},
             "group": {"type": "string", "pattern": NAME},
             "digest": {"type": "string",
                        "pattern": "^sha256:[0-9a-f]{64}$"}}
    return [{"name": name, "in": "path", "required": True,
             "schema": kinds.get(name, {"type": "string", "minLength": 1,
                                        "maxLength": 64, "pattern":
                                        "^[A-Za-z0-9._@:-]+$"})}
            for name in re.findall(r"{(\w+)}", pattern)]


def header(name, meaning, **schema):
    return {"name": name, "in": "header", "required": False,
            "description": meaning, "schema": dict({"type": "string"},
                                                   **schema)}


def operation(shapes, name, access, flags, query, pattern, meaning):
    parameters = path_parameters(pattern)
    for text in query.split():
        word = Word(text)
        schema = shapes.word(word, name, True)
        if "pattern" in schema:
            schema["pattern"] = schema["pattern"].replace(TEXT[1:], QUERY)
        parameters.append({"name": word.name, "in": "query", "required": False,
                           "schema": schema})
    out = {"operationId": name, "summary": meaning,
           "x-least-role": access.lower()}
    if parameters:
        out["parameters"] = parameters
    if access == "NONE":
        out["security"] = []
    if "DEVICES" in flags:
        out["x-listener"] = "devices, people"
    return out


def json_content(schema):
    return {"application/json": {"schema": schema}}


def call(shapes, row, answers):
    method, pattern, access, flags, handler, what, query, body = row
    _, status, shape, also, meaning = answers[handler]
    out = operation(shapes, handler[len("flo_rest_"):], access, flags, query,
                    pattern, meaning)
    responses = {status: {"description": meaning, "content": json_content(
        shapes.answer(shape, handler))}}
    if also:
        code, shape = also.split(" ", 1)
        responses[code] = {"description": meaning, "content": json_content(
            shapes.answer(shape, handler))}
    out["responses"] = dict(responses, **problems())
    if method in ("POST", "PATCH", "PUT"):
        schema = shapes.body(body, handler)
        out["requestBody"] = {"required": bool({"oneOf", "required", "$ref"} &
                                               set(schema)),
                              "content": json_content(schema)}
        if "YAML" in flags: # the same tree, for people
            out["requestBody"]["content"]["application/yaml"] = {
                "schema": schema}
    if "WRITE" in flags and method == "POST" and access != "NONE":
        out.setdefault("parameters", []).append(header(
            "Idempotency-Key", "the same key and request give the same "
            "answer for a day", minLength=1, maxLength=64,
            pattern="^[!-~]+$"))
    if "TAGGED" in flags and method != "GET" and "{" in pattern:
        out.setdefault("parameters", []).append(header(
            "If-Match", "the ETag of the record as it was read; another one "
            "is 412", minLength=1, pattern="^[!-~]+$"))
    for status in (status, also.split(" ")[0]):
        if status in responses:
            responses[status]["headers"] = answer_headers(flags, shape)
    if what:
        out["x-audit"] = what
    return pattern, method.lower(), out


def answer_headers(flags, shape):
    names = ["RateLimit", "RateLimit-Policy"]
    names += ["ETag"] if "TAGGED" in flags else []
    names += ["Link"] if shape.startswith("items[") else []
    return {name: {"$ref": "#/components/headers/" + name} for name in names}


HEADERS = {
    "RateLimit": "requests left of the token's bucket (r), seconds until it "
                 "is full (t)",
    "RateLimit-Policy": "requests of a full bucket (q), seconds to fill it (w)",
    "ETag": "names the state that a change of the record depends on",
    "Link": "the next page: <...>; rel=\"next\""}


def stream(shapes, row):
    (name, method, pattern, access, flags, status, takes, gives, shape, what,
     meaning) = row
    out = operation(shapes, name.lower(), access, flags, "", pattern, meaning)
    content = json_content(shapes.answer(shape, name)) if shape else {
        gives: {} if "event" in gives else {"schema": {"type": "string"}}}
    out["responses"] = dict({status: {"description": meaning,
                                      "content": content}}, **problems())
    if method == "PUT":
        out["responses"]["200"] = dict(out["responses"][status],
                                       description="It was there")
        out["requestBody"] = {"required": True, "content": {
            takes: {"schema": {"type": "string", "format": "binary"}
                    if takes != "application/json" else {}}}}
    if "CERTIFICATE" in flags:
        out["x-certificate"] = "a device's, on the devices' listener"
    if what:
        out["x-audit"] = what
    return pattern, method.lower(), out


# Members of answers that name a thing of another path: the answer's object, or
# the call that answers it; the pointer; the call that takes it.  The id of a
# report is that of the order that asked for it.
NAMED = (("@release", "digest", "envelope"),
         ("release", "document/files/0/get/0/digest", "blob"),
         ("@order", "id", "report"), ("@report_head", "id", "report"))


def add_links(paths, objects):
    """From an answer that names a thing to the calls that take its name."""
    for pattern, calls in paths.items():
        for method, call in calls.items():
            for status in ("200", "201", "202"):
                answer = call["responses"].get(status)
                if answer is None or method == "delete":
                    continue
                for one, word, place in named_by(
                        pattern, method, call, answer, paths, objects):
                    answer.setdefault("links", {})[one] = {
                        "operationId": one, "parameters": {
                            word: "$response.body#" + place}}


def named_by(pattern, method, call, answer, paths, objects):
    """(call, parameter, JSON pointer) of what an answer names.  A list names
    its elements, an answer to a change the thing that is changed."""
    for word in sorted(set(re.findall(r"{(\w+)}", " ".join(paths)))):
        place = place_of(method, answer, word, objects)
        for deep in paths if place else ():
            if deep.startswith(pattern + "/{%s}" % word) or \
                    (deep == pattern and deep.endswith("/{%s}" % word)):
                for one in paths[deep].values():
                    if one is not call:
                        yield one["operationId"], word, place
    for source, below, one in NAMED:
        word = "digest" if below.endswith("digest") else "id"
        if source == call["operationId"]:
            yield one, word, "/" + below
        for form in forms_of(answer):
            inside = form.get("properties", {}).get("items", {})
            if "@" + refers(form) == source:
                yield one, word, "/" + below
            if "@" + refers(inside.get("items", {})) == source:
                yield one, word, "/items/0/" + below


def forms_of(answer):
    schema = answer.get("content", {}).get("application/json", {}).get(
        "schema", {})
    return schema.get("anyOf", [schema])


def refers(schema):
    return schema.get("$ref", "").rsplit("/", 1)[-1]


def place_of(method, answer, word, objects):
    """JSON pointer of that member in an answer; None: it is not there.  An id
    may be a name.  The list in a plan is of other things."""
    def members(schema):
        return objects.get(refers(schema), schema).get("properties", {})

    for form in forms_of(answer):
        inside, before = members(form), "/"
        if "items" in inside:
            inside, before = members(inside["items"].get("items", {})), \
                "/items/0/"
            if method != "get":
                return None
        for member in (word, "name") if word == "id" else (word,):
            if member in inside:
                return before + member
    return None


def document(version):
    shapes = Shapes()
    answers = {r[0]: r for r in rows(ANSWERS, "FLO_REST_ANSWER")}
    paths = {}
    for row in rows(ROUTES, "FLO_REST_STREAM"):
        pattern, method, out = stream(shapes, row)
        paths.setdefault(pattern, {})[method] = out
    for row in rows(ROUTES, "FLO_REST_ROUTE"):
        if row[4] not in answers:
            raise SystemExit("%s has no row for %s" % (ANSWERS, row[4]))
        pattern, method, out = call(shapes, row, answers)
        paths.setdefault(pattern, {})[method] = out
    objects = {r[0]: shapes.object(r[1], r[0], False)
               for r in rows(OBJECTS, "FLO_REST_OBJECT")}
    add_links(paths, objects)
    unused = set(shapes.types) - shapes.used - {"any_list", "any_object"}
    if unused:
        raise SystemExit("%s: no shape uses %s" % (TYPES,
                                                   " ".join(sorted(unused))))
    objects["envelope"] = ENVELOPE
    objects["free"] = FREE
    objects["problem"] = PROBLEM
    return {
        "openapi": "3.1.0",
        "info": {"title": "Flotilla controller", "version": version,
                 "summary": "Devices, releases, rollouts, emergency orders",
                 "description": "Made by `make docs` from the controller's "
                 "tables. Unknown members and parameters are refused. Words: "
                 "docs/internals/contracts/rest.md section 8.",
                 "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "headers": {name: {"description": text, "schema": {
                "type": "string"}} for name, text in HEADERS.items()},
            "responses": {"problem": {
                "description": "It did not happen; `code` and `fix` say why "
                               "and what to do",
                "content": {"application/problem+json": {"schema": {
                    "$ref": "#/components/schemas/problem"}}}}},
            "schemas": objects}}


def text(version):
    return json.dumps(document(version), indent=1, ensure_ascii=False) + "\n"
