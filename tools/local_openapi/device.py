"""Calls of this API alone: health, numbers, and how good an answer was."""
from .forms import FLAG, JSON, TEXT, WHOLE, call, ref, said, shape, words

TAG = "flotilla"
MEANING = "Health, numbers and feedback"
DEGRADED = shape({"id": TEXT, "text": TEXT})
POWER = {"limits?": TEXT, "temperature_mc?": WHOLE, "trip_mc?": WHOLE,
         "battery_pct?": WHOLE, "mains?": FLAG}
SCHEMAS = {
    "judgement": shape({"model": {**said(1), "examples": ["tiny"]},
                        "good": FLAG, "id?": TEXT}),
    "judged": shape({"object": words("feedback"), "model": TEXT}),
    "health": shape({"status": words("ok"), "model": TEXT,
                     "degraded?": DEGRADED, **POWER}),
    "unhealthy": shape({"status": words("loading", "down"), "why?": TEXT,
                        "degraded?": DEGRADED, **POWER})}
HEALTH = call("getHealth", "A model is ready", "health", (), security=[])
HEALTH["responses"]["503"] = {
    "description": "none is; `why` is an id of docs/reference/errors.md",
    "content": {JSON: {"schema": ref("unhealthy")}}}
PATHS = {
    "/v1/feedback": {"post": call(
        "createFeedback", "An answer was good, or not", "judged",
        (400, 401, 404, 413), "judgement")},
    "/health": {"get": HEALTH},
    "/metrics": {"get": call(
        "getMetrics", "Numbers for Prometheus",
        {"text/plain": {"schema": TEXT}}, (401,))}}
