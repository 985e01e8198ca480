"""Every answer that a test gets from the controller is held against the
OpenAPI document: no member is missing, of another kind, or not named there."""
import json
import os
import re
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
with open(os.path.join(ROOT, "proto/openapi/controller.json"),
          encoding="utf-8") as file:
    DOCUMENT = json.load(file)
KINDS = {"object": dict, "array": list, "string": str, "null": type(None)}
PATHS = [(re.compile("^" + re.sub(r"{\w+}", "[^/]+", path) + "$"), calls)
         for path, calls in sorted(DOCUMENT["paths"].items())]


def is_kind(value, kind):
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("integer", "number"):
        return not isinstance(value, bool) and isinstance(
            value, (int, float) if kind == "number" else int)
    return isinstance(value, KINDS[kind])


def wrong(value, schema, where=""):
    """The fault of a value, or None."""
    if "$ref" in schema:
        return wrong(value, DOCUMENT["components"]["schemas"][
            schema["$ref"].rsplit("/", 1)[1]], where)
    for word in ("oneOf", "anyOf"):
        if word in schema:
            found = [wrong(value, form, where) for form in schema[word]]
            return None if None in found else found[0]
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if kinds and not any(is_kind(value, kind) for kind in kinds):
        return "%s is %r, not %s" % (where, value, kinds)
    if "enum" in schema and value not in schema["enum"]:
        return "%s is %r, not of %s" % (where, value, schema["enum"])
    if "pattern" in schema and isinstance(value, str) and not re.search(
            schema["pattern"].replace("\\u0000", "\\x00"), value):
        return "%s is %r, not %s" % (where, value, schema["pattern"])
    if isinstance(value, (int, float)) and "minimum" in schema and not \
            schema["minimum"] <= value <= schema["maximum"]:
        return "%s is %r" % (where, value)
    if isinstance(value, dict) and "properties" in schema:
        for name in schema.get("required", []):
            if name not in value:
                return "%s lacks %s" % (where, name)
        for name, inside in value.items():
            if name not in schema["properties"]:
                return "%s.%s stands in no row of objects.def" % (where, name)
            bad = wrong(inside, schema["properties"][name],
                        "%s.%s" % (where, name))
            if bad:
                return bad
    elif isinstance(value, dict) and isinstance(
            schema.get("additionalProperties"), dict):
        for name, inside in value.items():
            bad = wrong(inside, schema["additionalProperties"],
                        "%s.%s" % (where, name))
            if bad:
                return bad
    if isinstance(value, list):
        for i, item in enumerate(value):
            bad = wrong(item, schema.get("items", {}), "%s[%d]" % (where, i))
            if bad:
                return bad
    return None


def check(method, path, status, kind, body):
    """Raises where the answer is none of the document's."""
    path = urllib.parse.urlsplit(path).path
    if status >= 400 and status != 503:
        assert kind == "application/problem+json", (method, path, kind)
        bad = wrong(json.loads(body), {
            "$ref": "#/components/schemas/problem"}, "problem")
        assert bad is None, (method, path, status, bad)
        return
    calls = next((calls for form, calls in PATHS if form.match(path)), {})
    call = calls.get(method.lower())
    if call is None or kind != "application/json" or not body:
        return
    assert str(status) in call["responses"], (method, path, status)
    schema = call["responses"][str(status)]["content"].get(kind, {}).get(
        "schema", {})
    bad = wrong(json.loads(body), schema, call["operationId"])
    assert bad is None, (method, path, bad)
