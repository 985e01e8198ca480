"""Words that the shapes of all APIs are made of.  Limits are the constants of
the agent's sources."""
from constants import constant

TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
COUNT = {"type": "integer", "minimum": 0}
FLAG = {"type": "boolean"}
NULL = {"type": "null"}
FREE = {"type": "object"}
TOKENS_MAX = constant("PARAMS_TOKENS_MAX")
MESSAGES_MAX = constant("FLO_WIRE_MESSAGES_MAX")
CHOICES_MAX = constant("SERVE_CHOICES_MAX")
INPUTS_MAX = constant("FLO_WIRE_INPUTS_MAX")
TOOLS_MAX = constant("tools/TOOLS_MAX")
NAME_CHARS_MAX = constant("FLO_TOOLS_NAME_BYTES_MAX")


def words(*values):
    return {"enum": list(values)}


def either(*forms):
    return {"anyOf": list(forms)}


def or_null(form):
    """In one form where that can be: schemathesis knows its boundaries."""
    if "enum" in form:
        return {**form, "enum": form["enum"] + [None]}
    if form == NULL:
        return form
    if "type" in form:
        return {**form, "type": [form["type"], "null"]}
    return either(*form["anyOf"], NULL) if "anyOf" in form else form


def many(form, **more):
    return {"type": "array", "items": form, **more}


def number(least, most):
    return {"type": "number", "minimum": least, "maximum": most}


def shape(members, **more):
    """`name?` may be absent.  Other members may stand next to them."""
    return {"type": "object",
            "required": [name for name in members if name[-1] != "?"],
            "properties": {name.rstrip("?"): form
                           for name, form in members.items()}, **more}


def ref(name):
    return {"$ref": "#/components/schemas/" + name}


def whole(least, most):
    return {"type": "integer", "minimum": least, "maximum": most}


def said(least=0, most=None):
    """A text of so many characters."""
    return {"type": "string", "minLength": least,
            **({} if most is None else {"maxLength": most})}


def optional(members):
    """Fields that may be absent, or null."""
    return {name + "?": or_null(form) for name, form in members.items()}


TOKEN_ID = whole(0, 2**31 - 1)
TOKEN_IDS = many(TOKEN_ID, minItems=1)
MODEL_CHARS_MAX = 3 * constant("FLO_NAME_MAX") + 2  # model@version:adapter
MODEL = {**said(0, MODEL_CHARS_MAX), "examples": ["tiny"]}
FUNCTION_NAME = {"type": "string",
                 "pattern": "^[A-Za-z0-9_.-]{1,%d}$" % NAME_CHARS_MAX}
METADATA = {"type": "object", "maxProperties": 16,
            "propertyNames": {"maxLength": 64},
            "additionalProperties": said(0, 512)}

# ---- calls ----

WHY = {400: "a field or the path is wrong; `param` names a field",
       401: "the token is not ours",
       403: "the device's owner does not let this client read assets",
       404: "no such path, no such model, or none of this client's",
       409: "it is in use",
       413: "the body is larger than is taken",
       422: "there is no room left",
       429: "the app has used up its limit, or has too many under way",
       503: "no model got ready in time; try again"}
READ = (400, 401, 404)
ASKED = (400, 401, 404, 413, 429, 503)
JSON, EVENTS, LINES = "application/json", "text/event-stream", \
    "application/x-ndjson"


def call(name, summary, answer, statuses, body=None, kind=JSON, error="error",
         leads=(), **more):
    """`answer`: a shape's name, or the forms by their Content-Type.  `leads`:
    calls that take the answer's id."""
    content = answer if isinstance(answer, dict) else {
        JSON: {"schema": ref(answer)}}
    good = {"200": {"description": summary, "content": content}}
    if leads:
        good["200"]["links"] = {lead: {"operationId": lead, "parameters": {
            "id": "$response.body#/id"}} for lead in leads}
    out = {"operationId": name, "summary": summary, **more, "responses": {
        **(good if content else {}),
        **{str(status): {"description": WHY[status], "content": {
            JSON: {"schema": ref(error)}}} for status in statuses}}}
    if body:
        out["requestBody"] = {"required": True, "content": {
            kind: {"schema": ref(body)}}}
    return out


# OpenAPI before 3.2 describes one event of a stream.
EVENT = {"type": "object", "properties": {"event": TEXT, "data": TEXT},
         "required": ["data"]}


def streamed(answer, kind=EVENTS):
    return {JSON: {"schema": ref(answer)},
            kind: {"schema": EVENT if kind == EVENTS else TEXT}}


def query(name, schema):
    return {"name": name, "in": "query", "schema": schema}


def in_path(name, schema):
    return {"name": name, "in": "path", "required": True, "schema": schema}
