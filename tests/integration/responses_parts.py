"""The published schema of Open Responses as data, and streams read by it.

The members are those of its document of 2026-04-24 that every server must
send.  A type is a class, None, a set of values, a tuple of alternatives, a
list of one type, or an object; `name?` may be absent."""
import json

TEXT = {"type": {"output_text"}, "text": str, "annotations": list,
        "logprobs?": list}
THOUGHT = {"type": {"reasoning_text"}, "text": str}
SUMMARY = {"type": {"summary_text"}, "text": str}
INPUT = {"type": {"input_text"}, "text": str}
STATUS = {"in_progress", "completed", "incomplete"}
MESSAGE = {"type": {"message"}, "id": str, "status": STATUS,
           "role": {"user", "assistant", "system", "developer"},
           "content": [(TEXT, INPUT)]}
CALL = {"type": {"function_call"}, "id": str, "call_id": str, "name": str,
        "arguments": str, "status": STATUS}
OUTPUT = {"type": {"function_call_output"}, "id": str, "call_id": str,
          "output": (str, [INPUT]), "status": STATUS}
REASONING = {"type": {"reasoning"}, "id": str, "content?": [THOUGHT],
             "summary": [SUMMARY]}
ITEM = (MESSAGE, CALL, OUTPUT, REASONING)
TOOL = {"type": {"function"}, "name": str, "description": (str, None),
        "parameters": (dict, None), "strict": (bool, None)}
CHOICE = {"none", "auto", "required"}
NAMED = {"type": {"function"}, "name?": str}
FORMAT = ({"type": {"text"}}, {"type": {"json_object"}},
          {"type": {"json_schema"}, "name": str, "description": (str, None),
           "schema": (dict, None), "strict": bool})
USAGE = {"input_tokens": int, "output_tokens": int, "total_tokens": int,
         "input_tokens_details": {"cached_tokens": int},
         "output_tokens_details": {"reasoning_tokens": int}}
RESPONSE = {
    "id": str, "object": {"response"}, "created_at": int,
    "completed_at": (int, None), "status": str,
    "incomplete_details": ({"reason": str}, None), "model": str,
    "previous_response_id": (str, None), "instructions": (str, None),
    "output": [ITEM], "error": ({"code": str, "message": str}, None),
    "tools": [TOOL], "tool_choice": (
        CHOICE, NAMED, {"type": {"allowed_tools"}, "tools": [NAMED],
                        "mode": CHOICE}),
    "truncation": {"auto", "disabled"}, "parallel_tool_calls": bool,
    "text": {"format": FORMAT, "verbosity?": {"low", "medium", "high"}},
    "top_p": float, "presence_penalty": float, "frequency_penalty": float,
    "top_logprobs": int, "temperature": float,
    "reasoning": ({"effort": ({"none", "low", "medium", "high", "xhigh"},
                              None),
                   "summary": ({"concise", "detailed", "auto"}, None)}, None),
    "usage": (USAGE, None), "max_output_tokens": (int, None),
    "max_tool_calls": (int, None), "store": bool, "background": bool,
    "service_tier": str, "metadata": dict, "safety_identifier": (str, None),
    "prompt_cache_key": (str, None),
    "user": (str, None)}  # of the document of 2026-01-15 too

INNER = {"item_id": str, "output_index": int}
PART = {**INNER, "content_index": int}
EVENTS = {
    "response.created": {"response": RESPONSE},
    "response.in_progress": {"response": RESPONSE},
    "response.completed": {"response": RESPONSE},
    "response.incomplete": {"response": RESPONSE},
    "response.failed": {"response": RESPONSE},
    "response.output_item.added": {"output_index": int, "item": ITEM},
    "response.output_item.done": {"output_index": int, "item": ITEM},
    "response.content_part.added": {**PART, "part": (TEXT, THOUGHT)},
    "response.content_part.done": {**PART, "part": (TEXT, THOUGHT)},
    "response.output_text.delta": {**PART, "delta": str, "logprobs?": list},
    "response.output_text.done": {**PART, "text": str, "logprobs?": list},
    "response.reasoning_text.delta": {**PART, "delta": str},
    "response.reasoning_text.done": {**PART, "text": str},
    "response.function_call_arguments.delta": {**INNER, "delta": str},
    "response.function_call_arguments.done": {**INNER, "arguments": str}}
LAST = ("response.completed", "response.incomplete", "response.failed")


def wrong(value, form, where):
    """The fault of a value, or None."""
    if isinstance(form, tuple):
        faults = [wrong(value, one, where) for one in form]
        return None if None in faults else "; ".join(faults)
    if isinstance(form, set):
        fits = value in list(form)
    elif form is None:
        fits = value is None
    elif isinstance(form, type):
        wanted = (int, float) if form is float else form
        fits = isinstance(value, wanted) and (
            form is bool or not isinstance(value, bool))
    elif isinstance(form, list):
        fits = isinstance(value, list)
        for i, one in enumerate(value if fits else []):
            fault = wrong(one, form[0], "%s[%d]" % (where, i))
            if fault:
                return fault
    else:
        fits = isinstance(value, dict)
        for name, inside in form.items() if fits else ():
            key = name.rstrip("?")
            if key not in value and name == key:
                return "%s lacks %s" % (where, key)
            fault = key in value and wrong(value[key], inside,
                                           where + "." + key)
            if fault:
                return fault
    return None if fits else "%s is %r, not %r" % (where, value, form)


def check(response):
    fault = wrong(response, RESPONSE, "response")
    assert fault is None, fault
    return response


def read_stream(text):
    """The types of a stream's events, and its last response.  Each event has
    its place, its shape, and the text that its deltas add up to."""
    kinds, items, open_item, last = [], [], None, None
    parts = text.split("\n\n")
    assert parts[-2:] == ["data: [DONE]", ""], parts[-2:]
    for number, part in enumerate(parts[:-2]):
        assert last is None, "after the last event: " + part
        first, second = part.split("\n")
        event = json.loads(second.removeprefix("data: "))
        kind = event["type"]
        assert first == "event: " + kind
        assert event["sequence_number"] == number
        fault = wrong(event, EVENTS[kind], kind)
        assert fault is None, fault
        kinds.append(kind)
        word = kind.rsplit(".", 1)[-1]
        if number < 2:
            assert kind == ("response.created", "response.in_progress")[number]
            assert event["response"]["status"] == "in_progress"
        elif kind == "response.output_item.added":
            assert open_item is None
            assert event["output_index"] == len(items)
            open_item = dict(event["item"], grown="")
        elif kind == "response.output_item.done":
            assert event["output_index"] == len(items)
            assert event["item"]["id"] == open_item["id"]
            assert told(event["item"]) == open_item["grown"]
            items.append(event["item"])
            open_item = None
        elif kind in LAST:
            last = event["response"]
        else:
            assert event["item_id"] == open_item["id"]
            assert event["output_index"] == len(items)
            if word == "delta":
                open_item["grown"] += event["delta"]
            elif kind != "response.content_part.added":
                whole = event.get("text", event.get("arguments"))
                if whole is None:
                    whole = event["part"]["text"]
                assert whole == open_item["grown"]
    assert open_item is None and last["output"] == items
    return kinds, last


def told(item):
    """The text of an item of an answer."""
    return item["arguments"] if item["type"] == "function_call" else \
        "".join(part["text"] for part in item["content"])


def without_ids(response):
    """As much of it as a second answer has too."""
    out = {key: value for key, value in response.items()
           if key not in ("id", "created_at", "completed_at", "usage")}
    out["output"] = [{key: value for key, value in item.items()
                      if key not in ("id", "call_id")}
                     for item in response["output"]]
    out["tokens"] = response["usage"] and response["usage"]["output_tokens"]
    return out


# ---- Open Responses' compliance program ----

def _said(role, content):
    return {"type": "message", "role": role, "content": content}


WEATHER = {"type": "function", "name": "get_weather",
           "description": "Get the current weather for a location",
           "parameters": {"type": "object", "properties": {"location": {
               "type": "string", "maxLength": 40,
               "description": "The city and state"}},
               "required": ["location"]}}
ASKED = "What's the weather like in San Francisco?"
PNG = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4"
       "z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC")
# Its seven requests, by name.
COMPLIANCE = {
    "basic": {"input": [_said("user", "Say hello in exactly 3 words.")]},
    "system-prompt": {"input": [
        _said("system", "You are a pirate. Always respond in pirate speak."),
        _said("user", "Say hello.")]},
    "multi-turn": {"input": [
        _said("user", "My name is Alice."),
        _said("assistant", "Hello Alice! How can I help you today?"),
        _said("user", "What is my name?")]},
    "stream": {"input": [_said("user", "Count from 1 to 5.")],
               "stream": True},
    "call": {"input": [_said("user", ASKED)], "tools": [WEATHER]},
    "call-stream": {"input": [_said("user", ASKED)], "tools": [WEATHER],
                    "stream": True},
    "image": {"input": [_said("user", [
        {"type": "input_text",
         "text": "What do you see in this image? Answer in one sentence."},
        {"type": "input_image",
         "image_url": "data:image/png;base64," + PNG}])]}}


def complies(name, status, answer):
    """The program's own checks of an answer to a request; gives it back."""
    assert status == 200, answer
    if "stream" in COMPLIANCE[name]:
        kinds, answer = read_stream(answer)
        wanted = ["output_item.added", "function_call_arguments.delta",
                  "function_call_arguments.done", "output_item.done"] \
            if "tools" in COMPLIANCE[name] else ["output_text.delta"]
        for kind in wanted:
            assert "response." + kind in kinds, (kind, kinds)
    assert check(answer)["output"] and answer["status"] == "completed"
    assert ("function_call" in [one["type"] for one in answer["output"]]) == \
        ("tools" in COMPLIANCE[name]), answer["output"]
    return answer
