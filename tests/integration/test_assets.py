"""Assets: documents that a release carries are read by the programs that the
device's owner lets read them, from a folder and from the local API."""
import hashlib
import http.client
import json
import os
import re
import subprocess

import pytest

import sets
from conftest import MODELS
from fleet import held_port
from waits import HANG_S, same, until

MODEL = os.path.join(MODELS, "tiny-v2.Q4_0.gguf")
GOLDEN = os.path.join(MODELS, "golden-tiny-v2.json")
SECRETS = {name: name + "-has-a-long-secret" for name in ("all", "desk", "guest", "other")}
FAQ = {1: "Open at nine.\n" * 20000, 2: "Open at eight.\n"}


class Site:
    """A device whose owner lets programs read assets."""

    def __init__(self, fleet):
        self.fleet = fleet
        fleet.up(["gw"])
        self.gw = fleet.devices["gw"]
        self.port = held_port()
        self.folder = os.path.join(self.gw.dir, "assets")
        for name, secret in SECRETS.items():
            path = os.path.join(self.gw.dir, name + ".token")
            with open(path, "w", encoding="utf-8") as file:
                file.write(secret + "\n")
            os.chmod(path, 0o600)
        self.configure(models=["*"], folder=self.folder)

    def configure(self, models, folder):
        """The owner's configuration, from the agent's next start on."""
        tokens = {name: {"file": os.path.join(self.gw.dir, name + ".token"),
                         "models": ["other" if name == "other" else "tiny"],
                         "assets": name != "guest"}
                  for name in ("desk", "guest", "other")}
        extra = "tokens: %s\n" % json.dumps(tokens)
        if models:
            extra += "assets_models: %s\n" % json.dumps(models)
        if folder:
            extra += "assets_folder: %s\n" % json.dumps(folder)
        self.gw.write_config(extra)
        with open(self.gw.config, encoding="utf-8") as file:
            text = file.read()
        with open(self.gw.config, "w", encoding="utf-8") as file:
            file.write(text.replace(
                "listen:\n", "token_file: %s\nlisten:\n  - 127.0.0.1:%d\n" % (
                    json.dumps(os.path.join(self.gw.dir, "all.token")),
                    self.port)))
        self.start_again()

    def start_again(self, meanwhile=lambda: None):
        self.gw.stop()
        meanwhile()
        self.gw.start()

        def answers():
            try:
                return self.get("/health")[0] in (200, 503)
            except OSError:  # it does not listen yet
                return False
        until("the API", answers)

    def create(self, version, **files):
        words = []
        for name, text in files.items():
            path = os.path.join(self.fleet.dir, "%s-%d" % (name, version))
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            words += ["--file", "texts/%s.txt=%s:asset" % (name, path)]
        self.fleet.program(
            "flotilla", "release", "create", "tiny@%d" % version,
            "--model-file", MODEL, "--golden", GOLDEN, "--sign-with",
            self.fleet.key, "--publish", "--delta-from", "none", *words)

    def take_back(self, release):
        self.fleet.cli("rollout", "rollback", "--release", release,
                       "--everywhere", "--reason", "wrong hours", "--confirm",
                       release)

    def get(self, path, **headers):
        connection = self.gw.connection()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers, body

    def names(self):
        status, headers, body = self.get("/v1/assets/tiny")
        assert status == 200, body
        said = json.loads(body)
        assert headers["X-Flotilla-Release"] == "tiny@" + said["version"]
        return said["version"], [row["name"] for row in said["data"]]

    def shown(self):
        """Texts by name, as a program reads them in the folder."""
        return {name: text.decode() for name, text in sets.tree(
            os.path.join(self.folder, "tiny")).items()}


@pytest.fixture(scope="module")
def site(fleet):
    return Site(fleet)


def test_an_app_reads_assets_by_folder_and_by_api(site):
    site.create(1, faq=FAQ[1], tone="Be brief.\n")
    site.fleet.roll("tiny@1")
    assert site.names() == ("1", ["texts/faq.txt", "texts/tone.txt"])
    status, headers, body = site.get("/v1/assets/tiny/texts/faq.txt")
    assert status == 200 and body.decode() == FAQ[1]
    digest = hashlib.sha256(body).hexdigest()
    assert headers["ETag"] == '"sha256:%s"' % digest
    assert headers["Content-Type"] == "application/octet-stream"
    listed = json.loads(site.get("/v1/assets/tiny")[2])["data"][0]
    assert listed == {"object": "asset", "name": "texts/faq.txt",
                      "role": "asset", "bytes": len(body), "sha256": digest}
    until("the folder", lambda: same(site.shown(), {
        "texts/faq.txt": FAQ[1], "texts/tone.txt": "Be brief.\n"}))
    path = os.path.join(site.folder, "tiny", "texts", "faq.txt")
    assert os.stat(path).st_mode & 0o7777 == 0o440
    assert os.stat(path).st_nlink == 2


def test_parts_and_what_is_known_need_not_be_sent_again(site):
    path = "/v1/assets/tiny@1/texts/faq.txt"
    status, headers, body = site.get(path, Range="bytes=5-11")
    assert status == 206 and body.decode() == FAQ[1][5:12]
    status, _, body = site.get(path, **{"If-None-Match": headers["ETag"]})
    assert status == 304 and body == b""


@pytest.mark.parametrize("path, status, code", [
    ("/v1/assets/other", 404, "infer.model"),
    ("/v1/assets/tiny@7/texts/faq.txt", 404, "infer.model"),
    ("/v1/assets/tiny/none.md", 404, "local.asset"),
    ("/v1/assets/tiny/model.gguf", 404, "local.asset"),
    ("/v1/assets/tiny/golden.json", 404, "local.asset"),
    ("/v1/assets/tiny/texts", 404, "local.asset"),
    ("/v1/assets/tiny/texts/../texts/faq.txt", 404, "local.asset"),
    ("/v1/assets/tiny/..%2f..%2fstate", 404, "local.asset"),
    ("/v1/assets/tiny/%00", 400, "rest.header"),
])
def test_other_names_are_refused(site, path, status, code):
    got, _, body = site.get(path)
    assert (got, json.loads(body)["error"]["code"]) == (status, code), body


def test_an_update_switches_both(site):
    site.create(2, faq=FAQ[2])
    site.fleet.roll("tiny@2")
    assert site.names() == ("2", ["texts/faq.txt"])
    assert site.get("/v1/assets/tiny/texts/faq.txt")[2].decode() == FAQ[2]
    assert site.get("/v1/assets/tiny/texts/tone.txt")[0] == 404
    until("the folder", lambda: same(site.shown(), {"texts/faq.txt": FAQ[2]}))


def test_a_rollback_switches_both_back(site):
    site.take_back("tiny@2")
    until("the former release", lambda: same(
        site.names(), ("1", ["texts/faq.txt", "texts/tone.txt"])))
    assert site.get("/v1/assets/tiny/texts/faq.txt")[2].decode() == FAQ[1]
    until("the folder", lambda: same(sorted(site.shown()),
                                     ["texts/faq.txt", "texts/tone.txt"]))


def test_a_trial_shows_its_own_and_what_ends_it_the_former(site):
    """A release on trial answers requests, so its assets are read."""
    site.create(3, plan="Closed.\n")
    policy = os.path.join(site.fleet.dir, "roll.yaml")  # of fleet.roll()
    site.fleet.ask("rollout", "start", "tiny@3", "--phase", "100%", "--soak",
                   "10h", "-f", policy)
    until("the trial", lambda: same(site.names(), ("3", ["texts/plan.txt"])))
    until("the folder", lambda: same(site.shown(),
                                     {"texts/plan.txt": "Closed.\n"}))
    site.take_back("tiny@3")
    until("the former release", lambda: same(site.names()[0], "1"))
    until("the folder", lambda: same(sorted(site.shown()),
                                     ["texts/faq.txt", "texts/tone.txt"]))


def test_a_start_mends_the_folder_and_clears_it(site):
    site.start_again(lambda: subprocess.run(
        "rm tiny/texts/faq.txt && mkdir -p .tiny.new/texts && "
        "cp -a tiny/. .gone.%s && ln -s .gone.%s gone && echo 1 >own"
        % ("0" * 64, "0" * 64), shell=True, check=True, cwd=site.folder))
    until("the folder", lambda: same(site.shown().get("texts/faq.txt"), FAQ[1]))
    until("no more", lambda: same(
        [re.sub(r"^\..*", ".", name) for name in sets.names(site.folder)],
        [".", "own", "tiny"]))


def of_app(site, name):
    """An app's answer, over TCP."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port,
                                            timeout=HANG_S)
    connection.request("GET", "/v1/assets/tiny/texts/tone.txt", headers={
        "Authorization": "Bearer " + SECRETS[name]})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_another_app_is_refused(site):
    assert of_app(site, "desk") == (200, b"Be brief.\n")
    assert of_app(site, "all") == (200, b"Be brief.\n")
    for name, status, code in (("guest", 403, "local.assets"),
                               ("other", 404, "infer.model")):
        got, body = of_app(site, name)
        assert (got, json.loads(body)["error"]["code"]) == (status, code), body


def test_only_models_that_the_owner_names_are_offered(site):
    site.configure(models=["other"], folder=site.folder)
    until("the model", lambda: site.get("/v1/assets/tiny")[0] != 503)
    status, _, body = site.get("/v1/assets/tiny")
    assert status == 403
    assert json.loads(body)["error"]["code"] == "local.assets"
    until("an empty folder", lambda: same(sets.names(site.folder),
                                           ["own"]))


def test_a_model_that_is_removed_leaves_the_folder(site):
    site.configure(models=["tiny"], folder=site.folder)
    until("the folder", lambda: same(sorted(site.shown()),
                                     ["texts/faq.txt", "texts/tone.txt"]))
    site.fleet.cli("model", "remove", "tiny", "--everywhere", "--confirm",
                   "tiny")
    until("an empty folder", lambda: same(sets.names(site.folder),
                                           ["own"]))
    assert site.get("/v1/assets/tiny")[0] == 404
