"""`flotilla-engine proxy` by itself: frames on one side, a runtime on the
other.  The runtime is fake_runtime.py, with its faults."""
import base64
import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile

import pytest

import sets
import whisper_model
from runtime_parts import processes
from waits import HANG_S, same, until

ENGINE = pathlib.Path(os.environ["FLOTILLA_BIN"]) / "flotilla-engine"
FAKE = pathlib.Path(__file__).with_name("fake_runtime.py")
OPEN, GENERATE, CANCEL, STATS, PING, TOKENISE, EMBED = 1, 2, 3, 4, 5, 6, 9
READY, TOKEN, DONE, FAILED, STATS_ANSWER, PONG, EMBEDDING = \
    101, 102, 103, 104, 105, 106, 110
VECTORS, CANCELS, RAW = 1 << 7, 1 << 11, 1 << 15
AUDIO, JSON, SCHEMA, BIAS = 1 << 19, 1 << 20, 1 << 21, 1 << 22
TOOLS, THINKING, IMAGES, RERANK = 1 << 23, 1 << 24, 1 << 25, 1 << 26
TEXTS = {READY: (3, 23), TOKEN: (3, 9), DONE: (2,), FAILED: (2, 3, 4),
         EMBEDDING: (3,)}
ANSWERS = {"hello": "good morning to you", "three": "1 2 3",
           "call": {"thought": "so it is",
                    "calls": [["light", '{"on": "\u00fc"}'], ["wait", ""]]},
           "mixed": {"calls": [["light", "{}"], ["wait", "{}"],
                               ["", "{}", 0]]},
           "nameless": {"calls": [["", "{}"]]},
           "other": {"calls": [["light", "{}"], ["door", "{}"]]},
           "broken": {"calls": [["light", '{"on": ']]},
           "list": {"calls": [["light", "[]"], ["wait", "{}"]]},
           "silent": {"calls": [["light", '{"on": ']], "finish": None},
           "cut": {"calls": [["light", '{"on": ']], "finish": "length"},
           "umlaut": "gr\u00fc\u00dfe \U0001f600 ok",
           "person": '{"age": 36, "name": "Ada"}',
           "old": '{"age": 360, "name": "Ada"}',
           "thinker": {"thought": "so it is", "text": '{"name": "Ada"}'},
           "tools": {"text": "no form", "calls": [["light", "{}"]]}}


def number(tag, value):
    return struct.pack("<HIQ", tag, 8, value)


def text(tag, value):
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<HI", tag, len(data)) + data


class Frame:
    def __init__(self, kind, request, payload):
        self.kind, self.request, self.fields = kind, request, {}
        at = 0
        while at < len(payload):
            tag, size = struct.unpack_from("<HI", payload, at)
            data = payload[at + 6:at + 6 + size]
            at += 6 + size
            is_text = tag in TEXTS.get(kind, ())
            self.fields[tag] = data if is_text else \
                struct.unpack("<Q", data)[0]

    def text(self, tag):
        return self.fields.get(tag, b"").decode()

    def value(self, tag):
        return self.fields.get(tag, 0)


class Proxy:
    def __init__(self, folder, fault="", place="{socket}", group=None,
                 **settings):
        tree = folder / "tree"
        tree.mkdir(exist_ok=True)
        (tree / "model.json").write_text(json.dumps({"answers": ANSWERS}))
        where = ["--socket", place] if "socket" in place else \
            ["--port", place]
        self.settings = {
            "name": "fake", "api": "openai", "health": "/health",
            "exec": [sys.executable, str(FAKE), "--tree", "{tree}", "--entry",
                     "model.json", "--fault", fault] + where,
            "ready_ms": HANG_S * 1000, "stop_ms": 500, "memory_bytes": 1 << 28,
            "sessions": 2, "context": 64, "threads": 1,
            "abilities": VECTORS | CANCELS | RAW,
            "read": [str(FAKE.parent), sys.prefix]}
        self.settings.update(settings)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.child = subprocess.Popen(
            ["/bin/bash", "-c", '%sexec "$@" 3<&%d' % (
                "echo 0 >%s && " % group if group else "",
                theirs.fileno()), "sh", str(ENGINE), "proxy", "preferred"],
            pass_fds=[theirs.fileno()])
        theirs.close()
        self.socket, self.buffer, self.next_id = ours, b"", 10
        self.socket.settimeout(HANG_S)
        descriptor = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
        payload = (number(7, 1) + text(9, "model.json") +
                   text(10, json.dumps(self.settings)))
        socket.send_fds(ours, [self.frame(OPEN, 1, payload)], [descriptor])
        os.close(descriptor)

    def frame(self, kind, request, payload=b""):
        return struct.pack("<4sIHHI", b"FLW1", len(payload), kind, 0,
                           request) + payload

    def send(self, kind, request=0, payload=b""):
        self.socket.sendall(self.frame(kind, request, payload))

    def receive(self):
        while True:
            if len(self.buffer) >= 16:
                _, size, kind, _, request = struct.unpack_from(
                    "<4sIHHI", self.buffer)
                if len(self.buffer) >= 16 + size:
                    payload = self.buffer[16:16 + size]
                    self.buffer = self.buffer[16 + size:]
                    return Frame(kind, request, payload)
            data = self.socket.recv(1 << 16)
            if not data:
                return None
            self.buffer += data

    def ready(self):
        frame = self.receive()
        assert frame.kind == READY, (frame.text(4), frame.text(2),
                                     frame.text(3))
        return frame

    def failed(self):
        frame = self.receive()
        assert frame is not None and frame.kind == FAILED, frame.kind
        return frame

    def ask(self, prompt, max_tokens=32, extra=b""):
        self.next_id += 1
        self.send(GENERATE, self.next_id, text(100, "user") +
                  text(101, prompt) + number(4, max_tokens) + extra)
        return self.next_id

    def answer(self, request, may_end=False):
        """Text, frames and the last frame: of the request, or of the proxy
        where it may end before."""
        frames = []
        while True:
            frame = self.receive()
            assert frame is not None
            if may_end and (frame.request, frame.kind) == (0, FAILED):
                break
            if frame.request != request:
                continue
            if frame.kind != TOKEN:
                break
            assert frame.value(1) == len(frames)
            frames.append(frame)
        parts = [f.text(3) for f in frames]
        at = 0
        for piece, part in zip(frames, parts):
            assert piece.value(8) == at
            at += len(part.encode())
        return "".join(parts), frames, frame

    def end(self):
        self.socket.close()
        return self.child.wait(HANG_S)


@pytest.fixture
def start(tmp_path):
    proxies = []

    def begin(*args, **settings):
        proxies.append(Proxy(tmp_path, *args, **settings))
        return proxies[-1]
    yield begin
    for proxy in proxies:
        proxy.socket.close()
        proxy.child.kill()
        proxy.child.wait()
    no_runtime_is_left(tmp_path)


def no_runtime_is_left(folder):
    until("no runtime is left", lambda: not processes(folder),
          lambda: processes(folder))


@pytest.mark.parametrize("place", ["{socket}", "{port}"])
def test_an_answer_comes_in_pieces_with_its_counts(start, place):
    proxy = start(place=place, abilities=VECTORS | CANCELS | RAW | RERANK)
    ready = proxy.ready()
    assert ready.text(23) == "fake" and ready.fields[6] == 64
    assert ready.fields[21] == 2 and ready.fields[22] == VECTORS | CANCELS | \
        RAW
    answer, frames, done = proxy.answer(proxy.ask("hello"))
    assert answer == "good morning to you" and len(frames) == 4
    assert done.kind == DONE and done.value(1) == 0
    assert done.fields[3] == 1 and done.fields[4] == 4
    answer, _, done = proxy.answer(proxy.ask("three", max_tokens=2))
    assert answer == "1 2 " and done.fields[1] == 1  # length
    assert proxy.answer(proxy.ask("umlaut"))[0] == ANSWERS["umlaut"]
    assert proxy.end() == 0


def test_a_server_may_have_its_paths_elsewhere(start):
    proxy = start(prefix="/v3")
    proxy.ready()
    assert proxy.answer(proxy.ask("where"))[0] == "/v3/chat/completions"
    proxy.send(GENERATE, 5, text(1, "where") + number(4, 8))
    assert proxy.answer(5)[0] == "/v3/completions"
    proxy.send(EMBED, 6, text(103, "ab"))
    assert proxy.receive().kind == EMBEDDING
    bare = start(prefix="")
    bare.ready()
    assert bare.answer(bare.ask("where"))[0] == "/chat/completions"
    failed = start(prefix="/v1 HTTP/1.1\r\nX: y").failed()
    assert failed.text(4) == "runtime.start" and "prefix" in failed.text(2)


def test_a_text_is_answered_by_a_program_without_openai(start):
    proxy = start(api="http")
    proxy.ready()
    assert proxy.answer(proxy.ask("three"))[0] == "1 2 3"


def test_vectors_come_with_length_one(start):
    proxy = start()
    proxy.ready()
    proxy.send(EMBED, 5, text(103, "ab") + text(103, "abcd"))
    for index, length in enumerate((2, 4)):
        frame = proxy.receive()
        assert frame.kind == EMBEDDING and frame.value(1) == index
        vector = struct.unpack("<3f", frame.fields[3])
        assert abs(sum(v * v for v in vector) - 1) < 1e-6
        assert abs(vector[0] / vector[1] - length) < 1e-5
    assert proxy.receive().kind == DONE


def test_speech_goes_to_the_runtime_as_a_form(start):
    proxy = start(abilities=AUDIO)
    proxy.ready()
    wav = whisper_model.tone(300, 0.1)
    proxy.send(GENERATE, 7, text(25, wav) + text(26, "de"))
    answer, frames, done = proxy.answer(7)
    assert done.kind == DONE and len(frames) == 1
    assert answer == "%d bytes in de" % len(wav)
    plain = start(api="http", abilities=AUDIO)  # the file is the whole body
    plain.ready()
    plain.send(GENERATE, 8, text(25, b"three"))
    assert plain.answer(8)[0] == "1 2 3"
    deaf = start()
    deaf.ready()
    deaf.send(GENERATE, 9, text(25, wav))
    assert deaf.answer(9)[2].text(4) == "not.built"


def test_what_an_answer_likes_is_passed_on(start):
    penalties = struct.pack("<HId", 28, 8, -1.5) + \
        struct.pack("<HId", 29, 8, 0.25)
    biases = text(30, struct.pack("<IfIf", 7, -100, 9, 1.5))
    proxy = start()
    proxy.ready()
    answer = proxy.answer(proxy.ask("three", extra=penalties))[0]
    assert json.loads(answer) == {"presence_penalty": -1.5,
                                  "frequency_penalty": 0.25}
    failed = proxy.answer(proxy.ask("three", extra=biases))[2]
    assert failed.text(4) == "not.built"
    proxy = start(abilities=BIAS)
    proxy.ready()
    answer = proxy.answer(proxy.ask("three", extra=biases))[0]
    assert json.loads(answer) == {"logit_bias": {"7": -100, "9": 1.5}}


def test_a_form_of_answers_goes_where_the_runtime_knows_it(start):
    schema = '{"type":"object"}'
    proxy = start(abilities=JSON)
    proxy.ready()
    answer = proxy.answer(proxy.ask("three", extra=number(15, 3)))[0]
    assert json.loads(answer) == {"type": "json_object"}
    failed = proxy.answer(proxy.ask("three", extra=number(15, 2) +
                                    text(16, schema)))[2]
    assert failed.text(4) == "not.built" and "schema" in failed.text(2).lower()
    proxy = start(abilities=SCHEMA)
    proxy.ready()
    answer = proxy.answer(proxy.ask("three", extra=number(15, 2) +
                                    text(16, schema)))[0]
    assert json.loads(answer)["json_schema"]["schema"] == {"type": "object"}
    failed = proxy.answer(proxy.ask("three", extra=number(15, 1) +
                                    text(16, 'root ::= "a"')))[2]
    assert failed.text(4) == "not.built"


PERSON = {"type": "object", "properties": {
    "name": {"type": "string"}, "age": {"type": "integer", "maximum": 150}},
    "required": ["name"], "additionalProperties": False}


def form(schema):
    return number(15, 2) + text(16, json.dumps(schema))


def test_an_answer_with_a_form_is_held_until_it_was_checked(start):
    proxy = start("form:1", abilities=SCHEMA)
    proxy.ready()
    _, frames, failed = proxy.answer(proxy.ask("person", extra=form(PERSON)))
    assert failed.kind == FAILED and failed.text(4) == "infer.form"
    assert frames == []
    assert "the runtime fake: answer: no JSON at byte 0" in failed.text(2)
    answer, frames, done = proxy.answer(proxy.ask("person",
                                                  extra=form(PERSON)))
    assert answer == ANSWERS["person"] and len(frames) == 1
    assert done.kind == DONE and done.value(1) == 0 and done.fields[4] == 4
    _, frames, failed = proxy.answer(proxy.ask("old", extra=form(PERSON)))
    assert failed.text(4) == "infer.form" and frames == []
    assert "answer /age: must be at most 150, is an integer" in failed.text(2)


def test_an_answer_that_the_limit_cut_off_or_that_calls_is_not_checked(start):
    proxy = start("form", abilities=SCHEMA | TOOLS)
    proxy.ready()
    answer, _, done = proxy.answer(proxy.ask("person", max_tokens=2,
                                             extra=form(PERSON)))
    assert answer == '{"age": 36, ' and done.fields[1] == 1  # length
    answer, frames, done = proxy.answer(proxy.ask(
        "tools", extra=form(PERSON) + WITH_TOOLS))
    assert answer == "no form" and done.kind == DONE
    assert parts_of(frames) == [(2, "light"), (3, "{}")]


def test_thoughts_pass_before_the_text_that_is_held(start):
    proxy = start("form", abilities=SCHEMA)
    proxy.ready()
    answer, frames, done = proxy.answer(proxy.ask(
        "thinker", extra=form(PERSON) + number(31, 1)))
    assert answer == '{"name": "Ada"}' and done.kind == DONE
    assert [f.text(3) for f in frames] == ["", "", "", answer]
    assert parts_of(frames) == [(1, "soitis")]


def test_a_long_answer_with_a_form_is_sent_in_several_pieces(start,
                                                             monkeypatch):
    long = json.dumps(" ".join(["\u00fc" * 3000] * 200), ensure_ascii=False)
    monkeypatch.setitem(ANSWERS, "long", long)
    proxy = start("form", abilities=SCHEMA)
    proxy.ready()
    answer, frames, done = proxy.answer(proxy.ask(
        "long", max_tokens=256, extra=form({"type": "string"})))
    assert answer == long and done.kind == DONE and len(frames) == 3
    assert max(len(f.fields[3]) for f in frames) <= 1 << 19


def test_a_schema_that_cannot_be_checked_is_refused_before_it_is_sent(start):
    proxy = start("form:1", abilities=SCHEMA)
    proxy.ready()
    schema = {"properties": {"age": {"multipleOf": 2}}}
    failed = proxy.answer(proxy.ask("person", extra=form(schema)))[2]
    assert failed.text(4) == "infer.schema"
    assert failed.text(2) == \
        "schema /properties/age/multipleOf: is not supported"
    # That one was not sent, so the runtime's answer without a form follows.
    failed = proxy.answer(proxy.ask("person", extra=form(PERSON)))[2]
    assert failed.text(4) == "infer.form"


LIGHT = [{"type": "function", "function": {"name": name, "parameters": {}}}
         for name in ("light", "wait")]
WITH_TOOLS = number(31, 1) + text(32, json.dumps(LIGHT))


def parts_of(frames):
    """Thoughts, calls and their arguments, each with those that follow."""
    found = []
    for frame in frames:
        data, at = frame.fields[9] if 9 in frame.fields else b"", 0
        while at < len(data):
            kind, size = struct.unpack_from("<II", data, at)
            more = data[at + 8:at + 8 + size].decode()
            at += 8 + size
            if found and found[-1][0] == kind != 2:
                found[-1] = (kind, found[-1][1] + more)
            else:
                found.append((kind, more))
    return found


def test_calls_of_tools_pass_through_a_runtime_that_has_them(start):
    proxy = start(abilities=TOOLS | THINKING)
    proxy.ready()
    answer, frames, done = proxy.answer(proxy.ask("call", extra=WITH_TOOLS))
    assert answer == "" and done.kind == DONE and done.value(1) == 0
    assert parts_of(frames) == [
        (1, "soitis"), (2, "light"), (3, '{"on": "\u00fc"}'), (2, "wait"),
        (3, "{}")]
    # Who does not ask for parts gets none.
    answer, frames, _ = proxy.answer(proxy.ask("call", extra=text(
        32, json.dumps(LIGHT))))
    assert answer == "" and frames == []


def test_what_is_asked_of_tools_is_passed_on(start):
    proxy = start(abilities=TOOLS | THINKING)
    proxy.ready()

    def body(extra, prompt="show"):
        return json.loads(proxy.answer(proxy.ask(prompt, extra=extra))[0])
    plain = body(b"")
    assert not {"tools", "tool_choice", "parallel_tool_calls",
                "reasoning_effort", "chat_template_kwargs"} & set(plain)
    got = body(WITH_TOOLS)
    assert got["tools"] == LIGHT and got["tool_choice"] == "auto"
    assert got["parallel_tool_calls"] is True
    assert body(WITH_TOOLS + number(33, 1))["tool_choice"] == "none"
    got = body(WITH_TOOLS + number(33, 2) + number(35, 1))
    assert got["tool_choice"] == "required"
    assert got["parallel_tool_calls"] is False
    got = body(WITH_TOOLS + number(33, 2) + text(34, "light"))
    assert got["tool_choice"] == {"type": "function",
                                  "function": {"name": "light"}}
    got = body(number(36, 2) + text(37, "low"))
    assert got["reasoning_effort"] == "low"
    assert got["chat_template_kwargs"] == {"enable_thinking": False}


def test_calls_of_the_past_go_to_the_runtime(start):
    proxy = start(abilities=TOOLS)
    proxy.ready()
    calls = [{"id": "1", "type": "function",
              "function": {"name": "light", "arguments": "{}"}}]
    proxy.next_id += 1
    proxy.send(GENERATE, proxy.next_id, b"".join((
        text(100, "user"), text(101, "on"),
        text(100, "assistant"), text(101, ""),
        text(106, json.dumps({"tool_calls": calls})),
        text(100, "tool"), text(101, "show"),
        text(106, json.dumps({"tool_call_id": "1"})), WITH_TOOLS)))
    body = json.loads(proxy.answer(proxy.next_id)[0])
    assert body["messages"] == [
        {"role": "user", "content": "on"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": "show", "tool_call_id": "1"}]


@pytest.mark.parametrize("prompt", ["mixed", "nameless"])
def test_calls_in_no_order_end_their_request_only(start, prompt):
    proxy = start(abilities=TOOLS)
    proxy.ready()
    failed = proxy.answer(proxy.ask(prompt, extra=WITH_TOOLS))[2]
    assert failed.text(4) == "runtime.answer"
    assert "one after the other" in failed.text(2)
    assert proxy.answer(proxy.ask("hello"))[0] == ANSWERS["hello"]


@pytest.mark.parametrize("prompt, says", [
    ("other", "the runtime fake called door, which is no tool that was "
              "offered"),
    ("broken", "the runtime fake called light with arguments that are no "
               "JSON object"),
    ("list", "the runtime fake called light with arguments that are no "),
    ("silent", "the runtime fake called light with arguments that are no ")])
def test_a_call_that_cannot_be_made_ends_its_request_only(start, prompt, says):
    proxy = start(abilities=TOOLS)
    proxy.ready()
    failed = proxy.answer(proxy.ask(prompt, extra=WITH_TOOLS))[2]
    assert failed.text(4) == "runtime.answer" and says in failed.text(2)
    assert proxy.answer(proxy.ask("hello"))[0] == ANSWERS["hello"]


def test_a_call_that_the_limit_cut_says_so(start):
    proxy = start(abilities=TOOLS)
    proxy.ready()
    _, frames, done = proxy.answer(proxy.ask("cut", extra=WITH_TOOLS))
    assert done.kind == DONE and done.fields[1] == 1
    assert parts_of(frames) == [(2, "light"), (3, '{"on": ')]


def test_a_call_is_one_where_one_is_allowed_or_none_is(start):
    proxy = start(abilities=TOOLS)
    proxy.ready()
    for extra, says in ((number(35, 1), "made a second call"),
                        (text(34, "wait"), "called light, which is no tool"),
                        (number(33, 1), "called light, which is no tool")):
        failed = proxy.answer(proxy.ask("call", extra=WITH_TOOLS + extra))[2]
        assert failed.text(4) == "runtime.answer" and says in failed.text(2)


PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 500


def image(at, data=PNG, detail=0):
    return text(107, struct.pack("<II", at, detail) +
                b"data:image/png;base64," + base64.b64encode(data))


def test_images_go_to_a_runtime_that_sees_among_their_texts(start):
    proxy = start(abilities=IMAGES)
    proxy.ready()
    digest = hashlib.sha256(PNG).hexdigest()[:8]
    answer = proxy.answer(proxy.ask(
        "before after", extra=image(7) + image(12, detail=3)))[0]
    assert answer == ("before  | data:image/png;base64 %s | after | "
                      "data:image/png;base64 %s high" % (digest, digest))
    for settings in ({}, {"api": "http", "abilities": IMAGES}):
        blind = start(**settings)
        assert not blind.ready().value(22) & IMAGES
        failed = blind.answer(blind.ask("a", extra=image(0)))[2]
        assert failed.text(4) == "not.built" and "images" in failed.text(2)


def test_tools_of_a_runtime_without_them_are_refused(start):
    proxy = start()
    proxy.ready()
    failed = proxy.answer(proxy.ask("call", extra=WITH_TOOLS))[2]
    assert failed.text(4) == "not.built" and "`tools`" in failed.text(2)


def test_pings_and_statistics_are_answered_while_a_request_runs(start):
    proxy = start("hang:0")
    proxy.ready()
    request = proxy.ask("hello")
    proxy.send(PING)
    assert proxy.receive().kind == PONG
    proxy.send(STATS)
    stats = proxy.receive()
    assert stats.kind == STATS_ANSWER and stats.fields[7] > 1 << 20
    assert stats.fields[1] == 1  # it runs
    proxy.send(CANCEL, request)


def test_what_the_runtime_lacks_is_refused_before_it_is_asked(start):
    proxy = start()
    proxy.ready()
    for extra in (number(20, 1), text(21, "ops"), number(13, 1),
                  number(11, 40)):
        failed = proxy.answer(proxy.ask("hello", extra=extra))[2]
        assert failed.text(4) == "not.built"
    proxy.send(TOKENISE, 9, text(1, "a"))
    assert proxy.failed().text(4) == "not.built"


def test_a_cancelled_request_ends_and_frees_its_place(start):
    proxy = start("hang:0", sessions=1)
    proxy.ready()
    first, second = proxy.ask("hello"), proxy.ask("hello")
    for request in (first, second):
        proxy.send(CANCEL, request)
        done = proxy.answer(request)[2]
        assert done.kind == DONE and done.fields[1] == 2
    proxy.send(STATS)
    stats = proxy.receive()
    assert stats.value(1) == 0 and stats.value(2) == 0


@pytest.mark.parametrize("fault, answer_id", [
    ("lies", "runtime.answer"), ("garbage", "runtime.answer"),
    ("cut", "runtime.answer")])
def test_an_answer_that_cannot_be_used_ends_its_request_only(start, fault,
                                                             answer_id):
    proxy = start(fault)
    proxy.ready()
    for _ in range(2):
        assert proxy.answer(proxy.ask("hello"))[2].text(4) == answer_id
    proxy.send(PING)
    assert proxy.receive().kind == PONG


def test_100000_pieces_become_a_bounded_number_of_frames(start):
    proxy = start("pieces:100000")
    proxy.ready()
    _, frames, failed = proxy.answer(proxy.ask("hello", max_tokens=16))
    assert failed.text(4) == "runtime.answer"
    assert len(frames) <= 65


def test_more_pieces_than_the_context_are_joined(start):
    proxy = start("pieces:1000")
    proxy.ready()
    answer, frames, done = proxy.answer(proxy.ask("hello", max_tokens=16))
    assert done.kind == DONE and answer == "x" * 1000
    assert len(frames) <= 65


def test_a_runtime_that_does_not_start_says_why(start):
    failed = start("refuse").failed()
    assert failed.text(4) == "runtime.start"
    assert "status 1" in failed.text(2)
    assert "does not please me" in failed.text(3)


def test_a_program_that_is_not_there_is_named(start):
    failed = start(exec=["/nonexistent/runtime", "{socket}"]).failed()
    assert failed.text(4) == "runtime.start"
    assert "/nonexistent/runtime" in failed.text(2)


def test_a_runtime_that_is_never_healthy_is_given_up(start, tmp_path):
    failed = start("no-health", ready_ms=800).failed()
    assert failed.text(4) == "runtime.health"
    assert "within 800 ms" in failed.text(2)
    no_runtime_is_left(tmp_path)


def test_a_runtime_that_is_unwell_later_ends_the_proxy(start):
    """Behind the end of the request, or before it."""
    proxy = start("unwell:0")
    proxy.ready()
    last = proxy.answer(proxy.ask("hello"), may_end=True)[2]
    failed = last if last.request == 0 else proxy.failed()
    assert failed.request == 0 and failed.text(4) == "runtime.health"
    assert proxy.child.wait(HANG_S) == 1


def test_a_runtime_that_dies_is_told_as_a_crash(start):
    proxy = start("die:1")
    proxy.ready()
    proxy.answer(proxy.ask("hello"))
    request = proxy.ask("hello")
    frame = proxy.receive()
    while frame.request == request and frame.kind == FAILED:
        frame = proxy.receive()  # its connection may end first
    assert frame.request == 0 and frame.text(4) == "runtime.crash"
    assert "status 1" in frame.text(2)


def test_a_leak_beyond_the_plan_ends_it(start):
    proxy = start("leak:40", memory_bytes=64 << 20)
    proxy.ready()
    for _ in range(4):
        proxy.ask("hello")
    frame = proxy.receive()
    while frame.kind in (TOKEN, DONE):
        frame = proxy.receive()
    assert frame.request == 0 and frame.text(4) == "runtime.memory"


def user_of(pid):
    return next((line.split()[1:] for line in sets.text(
        "/proc/%d/status" % pid).split("\n") if line.startswith("Uid:")), None)


def is_root_a_mount():
    """Not in a chroot that is a plain folder: nobody can unshare it there."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return any(line.split()[4] == "/" for line in file)


# A user needs a user namespace of its own for the others.
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 and not is_root_a_mount(),
    reason="no namespaces for a user: a chroot in a folder")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root chooses a user")
@pytest.mark.skipif(not is_root_a_mount(),
                    reason="this root is no mount: a chroot in a folder")
def test_a_runtime_with_a_user_of_its_own_reads_its_files_alone(start):
    python = shutil.which("python3", path="/usr/bin")
    if python is None:
        pytest.skip("no python3 in /usr/bin, where every user may run it")
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        fake = shutil.copy(FAKE, place)  # nobody may not see the source
        line = [python, fake, "--tree", "{tree}", "--entry",
                "model.json", "--socket", "{socket}"]
        proxy = start(uid=65534, gid=65534, exec=line, read=[place])
        proxy.ready()
        assert proxy.answer(proxy.ask("three"))[0] == "1 2 3"
        until("its user", lambda: same(
            [user_of(pid) for pid in processes(place)], [["65534"] * 4]))
        proxy.end()
        no_runtime_is_left(place)
        until("no tree is left", lambda: not list(
            sets.fitting("/tmp/flotilla-scratch-*/*.tree")))


@pytest.fixture
def given():
    """A cgroup of version 2 as systemd gives it."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        own = [line[3:].strip() for line in file if line.startswith("0::")]
    made = pathlib.Path("/sys/fs/cgroup") / (own + ["/"])[0].strip("/") / \
        ("flotilla-test-%d" % os.getpid())
    try:
        made.mkdir()
        if "memory" not in (made / "cgroup.controllers").read_text():
            raise OSError("no memory controller")
        os.setxattr(made, "trusted.delegate", b"1")
    except OSError as error:
        for folder in (made / "agent", made):
            if folder.exists():
                folder.rmdir()
        pytest.skip("no writable cgroup of version 2: %s" % error)
    yield made
    for folder in (made / "agent", made):
        until("an empty cgroup",
              lambda: not (folder / "cgroup.procs").read_text())
        folder.rmdir()


@pytest.fixture
def group(given):
    """The same once the agent has moved into its leaf."""
    (given / "agent").mkdir()
    (given / "cgroup.subtree_control").write_text("+memory")
    return given


def test_an_agent_takes_the_cgroup_that_was_given_to_it(given, tmp_path):
    (tmp_path / "agent.yaml").write_text("state_dir: %s\nsandbox: preferred\n"
                                         % (tmp_path / "state"))
    child = subprocess.Popen([
        "/bin/bash", "-c", 'echo 0 >%s/cgroup.procs && exec "$@"' % given,
        "sh", str(ENGINE.with_name("flotilla-agent")), "--config",
        str(tmp_path / "agent.yaml")])
    try:
        until("its memory controller", lambda: "memory" in (
            given / "cgroup.subtree_control").read_text())
        assert (given / "agent" / "cgroup.procs").read_text().split() == \
            [str(child.pid)]
    finally:
        child.terminate()
        child.wait(HANG_S)


def test_a_leak_is_ended_by_its_cgroup(start, group):
    proxy = start("leak:40", memory_bytes=64 << 20,
                  group=group / "agent" / "cgroup.procs")
    proxy.ready()
    limits = [int(sets.text(group / name / "memory.max")) for name in
              sets.names(group) if name.startswith("runtime-")]
    assert limits == [(64 << 20) + (64 << 20) // 10 // 4096 * 4096]
    for _ in range(4):
        proxy.ask("hello")
    frame = proxy.receive()
    while frame.request != 0:
        frame = proxy.receive()
    assert frame.text(4) == "runtime.memory" and "cgroup" in frame.text(2)
    assert proxy.child.wait(HANG_S) == 1
    until("no group is left", lambda: not [
        name for name in sets.names(group) if name.startswith("runtime-")])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
def test_no_process_outlives_the_proxy(start, tmp_path, how):
    proxy = start("fork")
    proxy.ready()
    # A third one leaves the two to themselves.
    until("a runtime and its grandchild", lambda: len(
        processes(tmp_path)) == 2, lambda: processes(tmp_path))
    assert sets.fitting("/tmp/flotilla-scratch-*/*/http.sock")
    if how is None:
        proxy.socket.close()
    else:
        proxy.child.send_signal(how)
    proxy.child.wait(HANG_S)
    no_runtime_is_left(tmp_path)


def test_a_file_outside_its_tree_is_not_there_for_the_runtime(start, tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"answers": ANSWERS}))
    proxy = start(exec=[sys.executable, str(FAKE), "--tree", str(tmp_path),
                        "--entry", "secret.json", "--socket", "{socket}"])
    failed = proxy.failed()
    assert failed.text(4) == "runtime.start"
    assert "Permission denied" in failed.text(3)


# ---- api none: a check for each file ----

@pytest.fixture
def checker(start):
    def begin(code, **more):
        one = start(api="none", exec=["/bin/sh", "-c", code, "sh", "{file}"],
                    **more)
        ready = one.ready()
        assert ready.text(23) == "fake"
        one.is_sandboxed = ready.fields[17]
        return one
    return begin


def play(proxy, file="model.json"):
    proxy.next_id += 1
    proxy.send(GENERATE, proxy.next_id, text(27, file) if file else b"")
    said, last = proxy_answer(proxy, proxy.next_id)
    return said, last


def proxy_answer(proxy, request):
    said = b""
    while True:
        frame = proxy.receive()
        assert frame is not None
        if frame.request == request and frame.kind == TOKEN:
            said += frame.fields[3]
        elif frame.request in (request, 0):  # or the end of the proxy
            return said, frame


def test_a_check_gives_its_words_and_its_status(checker):
    proxy = checker('test -s "$1" && echo \'{"n": 7}\'; exit 3')
    said, done = play(proxy)
    assert json.loads(said) == {"n": 7} and done.fields[14] == 3
    assert play(proxy)[1].fields[14] == 3  # a namespace of its own each
    proxy = checker("kill -9 $$")
    assert play(proxy)[1].fields[14] == 128 + 9


READS_ITSELF = """
read -r number rest </proc/self/stat; echo "$number $$"
echo named >/proc/self/comm && read -r name </proc/self/comm && echo "$name"
echo x >/proc/1/comm && echo other
"""


def test_a_program_with_devices_reads_itself_and_names_its_threads(checker):
    """As a GPU's driver does before it answers."""
    proxy = checker(READS_ITSELF, devices=["/dev/null"])
    numbers, *more = play(proxy)[0].decode().splitlines()
    assert len(set(numbers.split())) == 1
    assert more[0] == "named"
    assert len(more) == 1 or not proxy.is_sandboxed  # and no other process


def test_a_program_without_devices_reads_itself_alone(checker):
    proxy = checker(READS_ITSELF)
    numbers, *more = play(proxy)[0].decode().splitlines()
    # A changed root has no user namespaces, and so no /proc of its own.
    if subprocess.run(["unshare", "-Ur", "true"], check=False,
                      capture_output=True).returncode == 0:
        assert len(set(numbers.split())) == 1
    assert not more or not proxy.is_sandboxed


@pytest.mark.parametrize("code, more, error", [
    ("head -c 70000 /dev/zero", {}, "runtime.answer"),
    ("head -c 120m /dev/zero | tail -c 120m > /dev/null", {"memory_bytes": 1 << 26},
     "runtime.memory")])
def test_a_check_has_limits(checker, code, more, error):
    """A proxy that finds too much memory at two looks, a second apart, ends
    with all it has.  Each other one plays the next check."""
    proxy = checker(code, **more)
    frame = play(proxy)[1]
    assert frame.kind == FAILED and frame.text(4) == error, frame.text(2)
    if frame.request == 0:
        assert error == "runtime.memory"
        assert proxy.child.wait(HANG_S) == 1
    else:
        proxy.send(PING)
        assert proxy.receive().kind == PONG


@pytest.mark.parametrize("file, error", [
    ("../model.json", "meta.schema"), ("/etc/passwd", "meta.schema"),
    ("absent", "meta.schema"), ("", "infer.no_api")])
def test_a_check_plays_files_of_the_release_alone(checker, file, error):
    frame = play(checker("true"), file)[1]
    assert frame.kind == FAILED and frame.text(4) == error


# Seconds that no other process of this machine sleeps.
SLEEP = "4711.%d" % os.getpid()


def test_a_check_that_is_cancelled_leaves_no_process(checker):
    proxy = checker("exec sleep " + SLEEP)
    proxy.send(GENERATE, 40, text(27, "model.json"))
    until("the check runs", sleepers)
    proxy.send(CANCEL, 40)
    frame = proxy.receive()
    assert frame.kind == DONE and frame.fields[1] == 2
    until("no check is left", lambda: not sleepers(), sleepers)


def sleepers():
    return [pid for pid in sets.processes(name="sleep")
            if sets.words(pid) == ["sleep", SLEEP]]

