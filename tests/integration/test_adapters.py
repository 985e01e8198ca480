"""Adapters behind the local API: named by a request, beside each other."""
import os
import subprocess
import threading

import pytest

from test_local_api import ROOT, SEVERITY, Server

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
        thread.join()
    assert got == [expected[i % 2] for i in range(8)]


def test_models_list_the_adapter_and_refuse_others(server):
    models = [m["id"] for m in server.call("GET", "/v1/models")[2]["data"]]
    assert NAME + ":site" in models
    status, _, body = server.call("GET", "/v1/models/" + NAME + ":site")
    assert (status, body["id"]) == (200, NAME + ":site")
    for wrong in [NAME + ":", NAME + ":other", ":site", NAME + ":site:site"]:
        status, _, body = server.chat(model=wrong)
        assert (status, body["error"]["param"]) == (404, "model"), wrong
    status, _, body = server.call("POST", "/v1/embeddings",
                                  {"model": NAME + ":site", "input": "a"})
    assert body["error"]["code"] == "not.built"


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
         option], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert text in done.stderr
