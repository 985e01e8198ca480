"""Adapters behind the local API: named by a request, next to each other."""
import json
import os
import signal
import struct
import subprocess
import tempfile
import threading

import pytest

from test_local_api import ROOT, SEVERITY, Server
from waits import HANG_S, joined

MODELS = os.path.join(ROOT, "tests", "models")
BASE = os.path.join(MODELS, "tiny-v1.F16.gguf")
SITE = os.path.join(MODELS, "tiny-v1-site-lora.gguf")
NAME = "tiny-v1.f16"


@pytest.fixture(scope="module")
def server(bin_dir, folder):
    one = Server(bin_dir, folder, BASE, ["--lora", "site=" + SITE])
    yield one
    one.close()


@pytest.fixture(scope="module")
def expected(bin_dir):
    """Answers of the base and with the adapter, from flotilla-engine run."""
    def run(*options):
        return subprocess.run(
            [os.path.join(bin_dir, "flotilla-engine"), "run", "--model", BASE,
             "--prompt", SEVERITY, "--n", "24", *options], check=True,
            capture_output=True, text=True).stdout.rstrip("\n")
    answers = run(), run("--lora", SITE)
    assert answers[0] != answers[1]
    return answers


def answer(server, model):
    status, _, body = server.chat(model=model, max_tokens=24)
    assert status == 200, body
    return body["choices"][0]["message"]["content"]


def test_a_request_names_its_adapter(server, expected):
    for name, text in [(NAME, expected[0]), (NAME + ":site", expected[1]),
                       (NAME + "@local:site", expected[1]),
                       ("site", expected[1]),
                       (NAME, expected[0])]:
        assert answer(server, name) == text


def test_requests_with_and_without_run_together(server, expected):
    got = [None] * 8

    def ask(i):
        got[i] = answer(server, NAME + (":site" if i % 2 else ""))
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        joined(thread)
    assert got == [expected[i % 2] for i in range(8)]


def test_models_list_the_adapter_and_refuse_others(server):
    models = {m["id"]: m["parent"]
              for m in server.call("GET", "/v1/models")[2]["data"]}
    assert models == {NAME: None, NAME + ":site": NAME, "site": NAME}
    status, _, body = server.call("GET", "/v1/models/" + NAME + ":site")
    assert (status, body["id"]) == (200, NAME + ":site")
    for wrong in [NAME + ":", NAME + ":other", ":site", NAME + ":site:site"]:
        status, _, body = server.chat(model=wrong)
        assert (status, body["error"]["param"]) == (404, "model"), wrong


@pytest.mark.parametrize("option,text", [
    ("site", "is not NAME=FILE"),
    ("Si:te=" + SITE, "is not NAME=FILE"),
    ("site=" + BASE, "error[model.adapter]"),
    ("site=" + SITE + ".absent", "error[absent]"),
])
def test_what_is_no_adapter_is_refused_at_the_start(bin_dir, folder, option,
                                                    text):
    done = subprocess.run(
        [os.path.join(bin_dir, "flotilla-agent"), "serve", "--model", BASE,
         "--listen", "unix:" + os.path.join(folder, "bad.sock"), "--lora",
         option], capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode != 0
    assert text in done.stderr


# ---- vectors ----

ENCODER_LORA = os.path.join(MODELS, "bert-lora.gguf")
TEXTS = ["oven-95 voltage drop", "smoke"]


def tool(bin_dir, *words):
    out = subprocess.run([os.path.join(bin_dir, "flotilla-model"), *words],
                         check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def embedded(server, model):
    status, _, body = server.call("POST", "/v1/embeddings",
                                  {"model": model, "input": TEXTS})
    assert status == 200, body
    return [one["embedding"] for one in body["data"]]


@pytest.mark.parametrize("base,adapter", [
    (BASE, SITE), (os.path.join(MODELS, "bert.Q8_0.gguf"), ENCODER_LORA)])
def test_vectors_have_the_adapter_that_the_model_names(bin_dir, base, adapter):
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="flo-") as path:
        server = Server(bin_dir, path, base, ["--lora", "site=" + adapter])
        name = os.path.basename(base).lower()[:-5]
        plain, with_site = ([row["embedding"] for row in tool(
            bin_dir, "embed", *TEXTS, "--model", base, *more)]
            for more in ((), ("--lora", adapter)))
        assert all(plain[i] != with_site[i] for i in range(2))
        for model, right in ((name, plain), (name + ":site", with_site),
                             ("site", with_site), (name, plain)):
            assert embedded(server, model) == right, model
        status, _, body = server.call("POST", "/v1/embeddings",
                                      {"model": name + ":other", "input": "a"})
        assert (status, body["error"]["param"]) == (404, "model")
        server.close()


# ---- files that come and go while it serves ----

class Folder:
    """`serve --lora-dir` and its folder of adapters."""

    def __init__(self, bin_dir, folder):
        self.path = tempfile.mkdtemp(dir=folder)
        self.server = Server(bin_dir, self.path, BASE,
                             ["--lora-dir", self.path])

    def put(self, name, data):
        """As a tool does that wants no half files: by renaming."""
        path = os.path.join(self.path, name)
        with open(path + ".part", "wb") as file:
            file.write(data)
        os.rename(path + ".part", path)
        return path

    def look(self):
        """SIGHUP; the names behind it."""
        self.server.process.send_signal(signal.SIGHUP)
        line = self.server.process.stdout.readline()
        while line.startswith("serving "):  # it was between two engines
            line = self.server.process.stdout.readline()
        assert line.startswith("adapters:"), line
        return sorted(line.split()[1:])


@pytest.fixture
def lora(bin_dir, folder):
    one = Folder(bin_dir, folder)
    yield one
    one.server.close()


SITE_DATA = open(SITE, "rb").read()


def stronger():
    """SITE with three times its alpha."""
    at = SITE_DATA.index(b"adapter.lora.alpha") + 18 + 4
    alpha, = struct.unpack("<f", SITE_DATA[at:at + 4])
    return SITE_DATA[:at] + struct.pack("<f", 3 * alpha) + SITE_DATA[at + 4:]


def status_of(server, model):
    return server.chat(model=model, max_tokens=1)[0]


def test_adapters_come_change_and_go_while_it_serves(lora, expected):
    server, pid = lora.server, lora.server.engine()
    assert status_of(server, "site") == 404
    path = lora.put("site.gguf", SITE_DATA)
    assert status_of(server, "site") == 404  # nobody said anything yet
    assert lora.look() == ["site"]
    assert answer(server, "site") == expected[1]
    lora.put("also.gguf", SITE_DATA)
    lora.put("site.gguf", stronger())
    assert lora.look() == ["also", "site"]
    changed = answer(server, "site")
    assert changed not in expected
    assert answer(server, "also") == expected[1]
    assert answer(server, NAME) == expected[0]
    # A file that is no adapter is left out; an adapter that was there stays as
    # it is.
    lora.put("site.gguf", SITE_DATA[:5000])
    lora.put("bad.gguf", b"GGUF" + bytes(100))
    lora.put("Wrong name.gguf", SITE_DATA)
    os.unlink(os.path.join(lora.path, "also.gguf"))
    assert lora.look() == ["site"]
    assert answer(server, "site") == changed
    assert status_of(server, "also") == status_of(server, "bad") == 404
    os.unlink(path)
    os.unlink(os.path.join(lora.path, "bad.gguf"))
    assert lora.look() == []
    assert status_of(server, "site") == 404
    assert answer(server, NAME) == expected[0]
    assert server.engine() == pid  # the same process all the while


def test_an_answer_keeps_the_adapter_that_is_dropped(lora):
    server = lora.server
    path = lora.put("site.gguf", SITE_DATA)
    assert lora.look() == ["site"]
    body = {"model": "site", "prompt": "a", "ignore_eos": True,
            "max_tokens": 400, "temperature": 0}
    whole = server.call("POST", "/v1/completions", body)[2]
    connection = server.connect()
    connection.request("POST", "/v1/completions",
                       json.dumps(dict(body, stream=True)))
    stream = connection.getresponse()
    text, ended, is_dropped = "", None, False
    for line in stream:
        if not line.startswith(b"data: {"):
            continue
        choice = json.loads(line[6:])["choices"][0]
        text += choice["text"]
        ended = choice["finish_reason"] or ended
        if not is_dropped:
            os.unlink(path)
            assert lora.look() == []
            assert status_of(server, "site") == 404
            is_dropped = True
    connection.close()
    assert (text, ended) == (whole["choices"][0]["text"], "length")


def test_a_new_engine_has_the_adapters_of_the_old_one(lora, expected):
    server = lora.server
    path = lora.put("site.gguf", SITE_DATA)
    assert lora.look() == ["site"]
    os.unlink(path)  # its descriptor is still open
    os.kill(server.engine(), signal.SIGKILL)
    assert answer(server, "site") == expected[1]
    assert "serving " in server.process.stdout.readline()
    # Told while no engine is there: the next one hears of it.
    lora.put("next.gguf", SITE_DATA)
    os.kill(server.engine(), signal.SIGKILL)
    assert lora.look() == ["next"]
    assert answer(server, "next") == expected[1]
    assert status_of(server, "site") == 404


def test_a_room_that_is_too_small_is_said(bin_dir, folder):
    path = tempfile.mkdtemp(dir=folder)
    server = Server(bin_dir, path, BASE,
                    ["--lora-dir", path, "--lora-room", "1"])
    for name in "abc":  # 0.3 MB open each, and 0.2 MB while it is read
        with open(os.path.join(path, name + ".gguf"), "wb") as file:
            file.write(SITE_DATA)
    server.process.send_signal(signal.SIGHUP)
    assert server.process.stdout.readline() == "adapters: a b\n"
    assert status_of(server, "b") == 200
    assert status_of(server, "c") == 404
    server.close()
