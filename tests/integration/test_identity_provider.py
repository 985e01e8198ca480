"""People log in by an identity provider: glewlwyd of Debian, over HTTPS, with a
browser that is played."""
import http.cookiejar
import itertools
import json
import os
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

import fleet as F
from controller_parts import BIN, Controller
from waits import HANG_S, Seen, same, until

SCHEMA = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
if shutil.which("glewlwyd") is None or not os.path.exists(SCHEMA):
    pytest.skip("no program 'glewlwyd': deploy/install-deps.sh --optional",
                allow_module_level=True)


PORT = F.held_port()  # the provider knows exact addresses alone
BACK = "http://127.0.0.1:%d/callback" % PORT
SECRET = "the-client-is-ours"
# The plugin's switches; each absent one is off.
PLUGIN = {
    "jwt-type": "rsa", "jwt-key-size": "256", "access-token-duration": 3600,
    "refresh-token-duration": 3600, "code-duration": 3600,
    "auth-type-code-enabled": True, "auth-type-id-token-enabled": True,
    "jwks-show": True, "pkce-allowed": True, "pkce-required": True,
    "subject-type": "public",
    "claims": [{"name": name, "type": "string", "user-property": of,
                "mandatory": True, "on-demand": False}
               for name, of in (("groups", "groups"),
                                ("preferred_username", "username"))]}
PEOPLE = {"mira": ["sre", "lyon"], "boss": ["boss"], "guest": ["guests"]}


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Browser:
    """A person's cookies; redirects are looked at, not followed."""
    def __init__(self, provider):
        self.base = provider.base
        self.opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(
                context=ssl.create_default_context(cafile=provider.ca)),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
            Stay)

    def ask(self, method, path, body=None):
        request = urllib.request.Request(
            path if path.startswith("https:") else self.base + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"}, method=method)
        try:
            answer = self.opener.open(request, timeout=HANG_S)
        except urllib.error.HTTPError as error:
            answer = error
        return answer.status, answer.headers, answer.read()

    def must(self, *request):
        status, _, body = self.ask(*request)
        assert status == 200, (request, status, body)

    def sign_in(self, name):
        self.must("POST", "/auth/",
                  {"username": name, "password": "password of " + name})
        self.must("PUT", "/auth/grant/flotilla", {"scope": "openid"})

    def back(self, url):
        """The address to which the provider sends the browser."""
        status, headers, body = self.ask("GET", url + "&g_continue")
        assert status == 302, (status, body)
        assert headers["Location"].startswith(BACK), headers["Location"]
        return headers["Location"]

    def follow(self, url):
        """The words with which the provider sends the browser back."""
        query = urllib.parse.urlparse(self.back(url)).query
        return dict(urllib.parse.parse_qsl(query))


def openssl(*words, data=None):
    return subprocess.run(["openssl", *words], input=data, text=True,
                          capture_output=True, check=True).stdout


class Provider:
    def __init__(self, folder):
        self.dir = folder
        self.ca = os.path.join(folder, "ca.pem")
        self.port = F.held_port()
        self.base = "https://127.0.0.1:%d/api" % self.port
        self.issuer = self.base + "/oidc"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=id",
                "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                "-keyout", self.file("key.pem"), "-out", self.ca)
        self.database()
        with open(self.file("conf"), "w") as out:
            out.write("""
port=%d
bind_address="127.0.0.1"
external_url="https://127.0.0.1:%d"
login_url="login.html"
api_prefix="api"
log_mode="file"
log_level="INFO"
log_file="%s"
cookie_secure=1
session_expiration=86400
session_key="SESSION"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="/usr/lib/glewlwyd/user"
client_module_path="/usr/lib/glewlwyd/client"
user_middleware_module_path="%s"
user_auth_scheme_module_path="/usr/lib/glewlwyd/scheme"
plugin_module_path="/usr/lib/glewlwyd/plugin"
use_secure_connection=true
secure_connection_key_file="%s"
secure_connection_pem_file="%s"
hash_algorithm="SHA512"
database = { type="sqlite3"; path="%s"; };
""" % (self.port, self.port, self.file("log"), self.dir, self.file("key.pem"),
                self.ca, self.file("db")))

    def file(self, name):
        return os.path.join(self.dir, name)

    def database(self):
        """As Debian makes it, and people have groups."""
        store = sqlite3.connect(self.file("db"))
        with open(SCHEMA) as schema:
            store.executescript(schema.read())
        row = "g_user_module_instance"
        form = json.loads(store.execute(
            "SELECT gumi_parameters FROM " + row).fetchone()[0])
        form["data-format"]["groups"] = {
            "multiple": True, "read": True, "write": True}
        store.execute("UPDATE %s SET gumi_parameters = ?" % row,
                      (json.dumps(form),))
        store.commit()
        store.close()

    def start(self):
        self.process = subprocess.Popen(
            ["glewlwyd", "-c", self.file("conf")], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

        def answers():
            try:
                return Browser(self).ask("GET", "/auth/")[0] > 0
            except OSError:
                return False
        until("the provider", answers)

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(HANG_S)

    def plugin(self):
        key = openssl("genrsa", "2048")
        public = openssl("rsa", "-pubout", data=key)
        return {"module": "oidc", "name": "oidc", "display_name": "oidc",
                "parameters": dict(PLUGIN, iss=self.issuer, key=key,
                                   cert=public)}

    def admin(self):
        browser = Browser(self)
        browser.must("POST", "/auth/",
                     {"username": "admin", "password": "password"})
        return browser

    def fill(self):
        admin = self.admin()
        admin.must("POST", "/mod/plugin/", self.plugin())
        for client in ("flotilla", "other"):
            admin.must("POST", "/client/?source=database", {
                "client_id": client, "name": client, "confidential": True,
                "password": SECRET, "client_secret": SECRET, "enabled": True,
                "redirect_uri": [BACK], "authorization_type": ["code"],
                "token_endpoint_auth_method": ["client_secret_basic"],
                "scope": ["openid"]})
        for name, groups in PEOPLE.items():
            admin.must("POST", "/user/?source=database", {
                "username": name, "name": name, "enabled": True,
                "password": "password of " + name, "scope": ["openid"],
                "groups": groups})

    def rotation(self):
        """A function that puts another key in place, soon."""
        admin, plugin = self.admin(), self.plugin()

        def rotate():
            admin.must("PUT", "/mod/plugin/oidc", plugin)
            admin.must("PUT", "/mod/plugin/oidc/reset")
        return rotate


@pytest.fixture(scope="module")
def provider(folder):
    os.mkdir(os.path.join(folder, "id"))
    one = Provider(os.path.join(folder, "id"))
    try:
        one.start()
        one.fill()
        yield one
    finally:
        one.stop()


def oidc_yaml(provider, folder, **more):
    secret = os.path.join(folder, "secret")
    with open(os.open(secret, os.O_CREAT | os.O_WRONLY, 0o600), "w") as out:
        out.write(SECRET + "\n")
    path = os.path.join(folder, "oidc.yaml")
    with open(path, "w") as out:
        out.write("""
issuer: %s
client_id: flotilla
client_secret_file: %s
ca_file: %s
name: the test's company
scopes: openid
roles:
  - group: sre
    role: operator:store-eu
  - group: lyon
    role: viewer
  - group: boss
    role: admin
""" % (provider.issuer, secret, provider.ca))
        for key, value in more.items():
            out.write("%s: %s\n" % (key, value))
    return path


@pytest.fixture(scope="module")
def controller(provider, folder):
    one = Controller(folder).start("--oidc", oidc_yaml(provider, folder),
                                   "--proxy", "127.0.0.1")
    yield one
    one.stop()


def in_time(answer):
    """The answer, unless the provider was too slow for the controller: then
    all who ask are told so, for two seconds."""
    return Seen(answer.body) if answer.json.get(
        "code") == "login.provider" else answer


def whole(login):
    """The answer to a login: to one more where the provider was too slow, for
    a code is good for one answer."""
    return until("an answer of the provider", lambda: in_time(login()))


def begin(controller):
    answer = whole(lambda: controller.ask(
        "POST", "/v1/login/start", {"redirect": BACK}, token=""))
    assert answer.status == 200, answer.body
    return answer.json


def finish(controller, login, back, **more):
    body = dict({"secret": login["secret"]}, **back)
    body.update(more)
    return controller.ask("POST", "/v1/login/finish", {
        name: body[name] for name in ("state", "secret", "code", "error", "iss")
        if name in body}, token="")


def login_of(controller, provider, name):
    """A login that has its code, and lacks its end: arguments of finish()."""
    browser = Browser(provider)
    browser.sign_in(name)
    login = begin(controller)
    return controller, login, browser.follow(login["url"])


def log_in(controller, provider, name):
    return whole(lambda: finish(*login_of(controller, provider, name)))


def refused(answer, code):
    assert answer.json.get("code") == code, answer.body
    assert answer.status == {"login.provider": 502}.get(code, 403)
    assert answer.headers.get_content_type() == "application/problem+json"


def test_a_person_has_the_roles_of_its_groups_and_a_session_that_ends(
        controller, provider):
    known = controller.ask("GET", "/v1/login", token="").json
    assert known == {"name": "the test's company", "issuer": provider.issuer}
    session = log_in(controller, provider, "mira").json
    assert session["role"] == "operator:store-eu,viewer"
    me = controller.ask("GET", "/v1/me", token=session["token"]).json
    assert me["name"] == "mira" and me["user"] is None
    assert controller.ask("GET", "/v1/devices",
                          token=session["token"]).status == 200
    made = controller.ask("POST", "/v1/tokens", {"kind": "enroll"},
                          token=session["token"])
    assert made.json["code"] == "rest.role"
    # the audit has who it was, by whom that was said
    record = controller.ask("GET", "/v1/audit?order=newest&limit=20").json
    row = [r for r in record["items"] if r["what"] == "login"][0]
    detail = json.loads(row["detail"])
    assert row["who"] == session["id"] + " mira" and row["result"] == "ok"
    assert detail["issuer"] == provider.issuer and len(detail["subject"]) > 8
    # an admin sees it, with its end
    tokens = controller.ask("GET", "/v1/tokens").json["items"]
    shown = [t for t in tokens if t["id"] == session["id"]][0]
    assert shown["kind"] == "session" and shown["name"] == "mira"
    assert 7.9 < (shown["expires_at_ms"] - shown["created_at_ms"]) / 36e5 < 8.1
    # log out: gone at once
    assert controller.ask("POST", "/v1/logout",
                          token=session["token"]).status == 200
    assert controller.ask("GET", "/v1/me",
                          token=session["token"]).status == 401
    assert controller.ask("POST", "/v1/logout").json["code"] == "state.conflict"


def test_roles_are_those_of_each_login_and_who_has_none_is_refused(
        controller, provider):
    assert log_in(controller, provider, "boss").json["role"] == "admin"
    refused(log_in(controller, provider, "guest"), "login.role")
    record = controller.ask("GET", "/v1/audit?order=newest&limit=5").json
    assert record["items"][0]["result"] == "login.role"
    # a person who changes groups, and one who leaves
    admin = provider.admin()
    admin.must("PUT", "/user/boss?source=database", {
        "name": "boss", "enabled": True, "scope": ["openid"],
        "groups": ["lyon"]})
    assert log_in(controller, provider, "boss").json["role"] == "viewer"
    admin.must("PUT", "/user/boss?source=database", {
        "name": "boss", "enabled": False, "scope": ["openid"],
        "groups": ["boss"]})
    assert Browser(provider).ask("POST", "/auth/", {
        "username": "boss", "password": "password of boss"})[0] == 401


def test_an_answer_that_is_not_of_this_login_is_refused(controller, provider):
    browser = Browser(provider)
    browser.sign_in("mira")
    # another state, another's secret, the same answer twice
    words = []

    def second_state():
        login = begin(controller)
        words[:] = controller, login, browser.follow(login["url"])
        refused(finish(*words, state="x" * 43), "login.state")
        return finish(*words)

    assert whole(second_state).status == 200
    refused(finish(*words), "login.state")
    login, other = begin(controller), begin(controller)
    back = browser.follow(login["url"])
    refused(finish(controller, other, back), "login.state")

    def turned(old, new):
        """The browser asks the provider for something else."""
        login = begin(controller)
        nonce = urllib.parse.parse_qs(login["url"])["nonce"][0]
        return finish(controller, login, browser.follow(
            login["url"].replace(old or nonce, new)))

    # another nonce: a token that was made for another login
    answer = whole(lambda: turned(None, "n" * 43))
    refused(answer, "login.token")
    assert "nonce" in answer.json["detail"]
    # another client's code, a code without its verifier, no code of anybody
    browser.must("PUT", "/auth/grant/other", {"scope": "openid"})
    refused(whole(lambda: turned("client_id=flotilla", "client_id=other")),
            "login.denied")
    refused(whole(lambda: turned("code_challenge=", "code_challenge=A")),
            "login.denied")
    login = begin(controller)
    refused(finish(controller, login, {"state": login["state"],
                                       "error": "access_denied"}),
            "login.denied")
    login = begin(controller)
    refused(finish(controller, login, browser.follow(login["url"]),
                   iss="https://evil.example.com"), "login.state")
    evil = controller.ask("POST", "/v1/login/start",
                          {"redirect": "https://evil.example.com/"}, token="")
    assert evil.status == 422 and evil.json["code"] == "rest.meaning"


def test_the_command_signs_in_by_a_browser_and_logs_out(
        controller, provider, tmp_path):
    env = {"XDG_CONFIG_HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    flotilla = os.path.join(BIN, "flotilla")

    def come_back(url):
        browser = Browser(provider)
        browser.sign_in("mira")
        back = browser.back(url)
        # a page that guesses gets nothing, and the command waits on
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(BACK + "?state=x&code=y", timeout=HANG_S)
        with urllib.request.urlopen(back, timeout=HANG_S) as page:
            assert b"terminal" in page.read()

    def log_in_once():
        process = subprocess.Popen(
            [flotilla, "login", controller.rest, "--port", str(PORT)], env=env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        said = [process.stderr.readline()]
        while said[-1] and not said[-1].startswith("  https://"):
            said.append(process.stderr.readline())
        if said[-1]:
            come_back(said[-1].strip())
        out, err = process.communicate(timeout=HANG_S)
        said = "".join(said) + err
        if "error[login.provider]" in said:  # it was too slow
            return Seen(said)
        assert process.returncode == 0, said
        return out

    out = until("an answer of the provider", log_in_once)
    assert "as mira (operator:store-eu,viewer)" in out, out
    kept = tmp_path / "flotilla" / "default.token"
    assert kept.stat().st_mode & 0o777 == 0o600

    def run(*words):
        return subprocess.run([flotilla, *words], env=env, capture_output=True,
                              text=True, timeout=HANG_S, stdin=subprocess.DEVNULL)
    assert run("device", "list").returncode == 0
    token = kept.read_text().strip()
    assert "session has ended" in run("logout").stdout
    assert controller.ask("GET", "/v1/me", token=token).status == 401
    assert not kept.exists() and run("device", "list").returncode != 0


def test_one_stranger_behind_the_proxy_locks_nobody_out(controller, provider):
    turns = itertools.count()

    def tries(client):
        """The answer to a code that is none."""
        return controller.ask("POST", "/v1/login/finish", {
            "state": "x", "secret": "y", "code": "z"}, token="", headers={
                "X-Forwarded-For": "192.0.2.1, " + client}).status

    def is_locked_out(clients):
        """All of them are one, which may try so often: once more each
        second, so they ask at once."""
        assert tries(clients[0]) == 403
        with ThreadPoolExecutor(16) as many:
            answers = set(many.map(tries, clients))
        return 429 in answers and answers <= {403, 429}

    def late():
        """Nothing that strangers do meanwhile ends it.  They are others each
        time."""
        login = login_of(controller, provider, "mira")
        for _ in range(300):
            begin(controller)
        turn = next(turns)
        assert is_locked_out(["198.51.%d.7" % turn] * 200)
        assert tries("198.51.%d.8" % turn) == 403
        # An IPv6 client is its network.
        assert is_locked_out(["2001:db8:%x::%x" % (turn, i)
                              for i in range(200)])
        assert tries("2001:db8:%x:1::1" % turn) == 403
        return finish(*login)

    assert whole(late).status == 200


def test_keys_may_change_at_the_provider(controller, provider):
    """Those of the controller are asked for each ten seconds at most."""
    assert log_in(controller, provider, "mira").status == 200

    def second_is_refused():
        """The first of two changes is found; False: so is the second, which
        came later than that, or the provider was too slow."""
        first, second = provider.rotation(), provider.rotation()
        logins = [login_of(controller, provider, "mira") for _ in range(2)]
        first()
        answer = in_time(finish(*logins[0]))
        if not answer:
            return answer
        if answer.status != 200:  # too soon behind the try before
            refused(answer, "login.token")
            until("it is found", lambda: same(
                log_in(controller, provider, "mira").status, 200))
        second()
        answer = in_time(finish(*logins[1]))
        if not answer:
            return answer
        if answer.status != 200:
            refused(answer, "login.token")
        return answer.status != 200

    until("a second change is refused", second_is_refused)


def test_while_the_provider_is_down_tokens_of_local_users_work(
        controller, provider):
    browser = Browser(provider)
    browser.sign_in("mira")
    login = begin(controller)
    back = browser.follow(login["url"])
    provider.stop()
    answer = finish(controller, login, back)
    refused(answer, "login.provider")
    assert "identity provider" in answer.json["detail"]
    assert controller.ask("GET", "/v1/devices").status == 200
    assert controller.ask("GET", "/readyz").status == 200


def test_a_file_that_would_let_nobody_in_or_anybody_is_refused(
        controller, provider, folder):
    bad = {"issuer: https": "issuer: http", "role: viewer": "role: king",
           "scopes: openid": "scopes: profile", "client_id": "client",
           "role: admin": "rank: admin"}
    text = open(oidc_yaml(provider, folder)).read()
    path = os.path.join(folder, "bad.yaml")
    for old, new in bad.items():
        with open(path, "w") as out:
            out.write(text.replace(old, new, 1))
        done = subprocess.run(
            [os.path.join(BIN, "flotilla-controller"), "--data",
             os.path.join(folder, "none"), "--check", "--oidc", path],
            capture_output=True, text=True, timeout=HANG_S)
        assert done.returncode == 2 and "error[cfg." in done.stderr, done.stderr
    os.chmod(os.path.join(folder, "secret"), 0o644)
    done = subprocess.run(
        [os.path.join(BIN, "flotilla-controller"), "--data",
         os.path.join(folder, "none"), "--check", "--oidc",
         oidc_yaml(provider, folder)], capture_output=True, text=True,
        timeout=HANG_S)
    assert done.returncode == 2 and "error[cfg.perm]" in done.stderr
