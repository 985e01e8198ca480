"""The dashboard after a silence: a controller that stands still, a network that
swallows bytes, a tab that was frozen.  The page says that it is stale, opens
the stream again, and is live at the first byte.  Its clock is the test's."""
import json
import os
import select
import shutil
import signal
import socket
import tempfile
import threading

import pytest

import chromium
from chromium import go, has
from controller_parts import Controller
from waits import HANG_S, joined, stopped, until, wall_ms

if not chromium.PROGRAM:
    pytest.skip("chromium-headless-shell is not installed",
                allow_module_level=True)
STALE_S = 20  # until the page says so and opens the stream again
BACK_S = 3    # until it is live, once the controller answers
LIVE = "document.getElementById('live').dataset.state === 'live'"


class Network:
    """Between page and controller.  While it swallows, both sides stay
    connected and no byte comes through, then or ever, on what was open."""

    def __init__(self, port):
        self.port, self.swallows, self.ends = port, False, False
        self.swallowed = threading.Event()
        self.bell, self.ear = socket.socketpair()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.carry, daemon=True)
        self.thread.start()

    def carry(self):
        peers, lost = {}, set()
        while not self.ends:
            if self.swallows:
                lost.update(peers)
                self.swallowed.set()
            for one in select.select([self.listener, self.ear, *peers], [], [],
                                     HANG_S)[0]:
                if one is self.ear:
                    one.recv(1)
                    continue
                if one is self.listener:
                    near = one.accept()[0]
                    far = socket.create_connection(("127.0.0.1", self.port))
                    peers[near], peers[far] = far, near
                    continue
                if one not in peers:
                    continue
                try:
                    data = one.recv(1 << 16)
                    if data and one not in lost and not self.swallows:
                        peers[one].sendall(data)
                except OSError:
                    data = b""
                if not data:
                    for end in (one, peers[one]):
                        peers.pop(end)
                        end.close()
        for one in peers:
            one.close()

    def swallow(self):
        self.swallowed.clear()
        self.swallows = True
        self.bell.send(b"!")
        assert self.swallowed.wait(HANG_S)

    def close(self):
        self.ends = True
        self.bell.send(b"!")
        joined(self.thread)
        for end in (self.listener, self.bell, self.ear):
            end.close()


@pytest.fixture(scope="module")
def controller():
    folder = tempfile.mkdtemp(prefix="flo-q-", dir="/tmp")
    one = Controller(folder).start()
    yield one
    one.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def network(controller):
    one = Network(int(controller.rest.rsplit(":", 1)[1]))
    yield one
    one.close()


@pytest.fixture(scope="module")
def browser(controller):
    one = chromium.Page(os.path.dirname(controller.dir))
    yield one
    one.close()


def opened(page, url, token):
    """A live page whose requests are counted."""
    page.open(url)
    page.run("sessionStorage.setItem('flotilla.token', %s)" % json.dumps(token))
    page.open("about:blank")
    page.open(url)
    page.until("document.getElementById('live')")
    page.until(LIVE)
    page.run("window.streams = 0; window.before ||= window.fetch; window.fetch"
             " = (path, ...more) => { window.streams += path === '/v1/events';"
             " return before(path, ...more); }; 0")
    return page


def goes_stale(page):
    """From a byte that was heard: the page's seconds until it says so."""
    heard = "import('/app/data/live.js').then(m => m.live.heard)"

    def silent():
        last = page.run(heard)
        for second in range(STALE_S):
            if page.run("!(%s)" % LIVE):
                return second or 1
            page.go_on(1)
        # A byte that was under way when the silence began.
        assert page.run(heard) > last or page.run("!(%s)" % LIVE), (
            page.text())
        return 0 if page.run(LIVE) else STALE_S
    took = until("the page is stale", silent, page.text)
    has(page, ".stale", "nothing was heard for")
    assert page.run("streams") > 0, "the stream was opened again"
    assert page.run("getComputedStyle(document.querySelector('main'))"
                    ".filter") != "none"
    return took


def comes_back(page):
    """It is live within BACK_S of the page's clock from now on: that stands
    still while bytes are under way."""
    def is_live():
        return page.run(LIVE)
    for _ in range(BACK_S * 4):
        if page.run("flotillaTime.go(250).then(() => %s)" % LIVE):
            break
    until("the page is live", is_live, page.text)
    page.until("document.querySelector('.stale') === null")
    page.until("document.querySelector('main:not(.is-stale) h1')")


def changes(page, controller, name):
    """A screen that reads and a button that acts do so again."""
    go(page, "rollouts", "[aria-label='Change freezes']")
    assert controller.ask("PUT", "/v1/change-freezes/" + name, {
        "from_ms": 1, "until_ms": wall_ms() + 3600000,
        "reason": "a rest"}).status == 200
    go(page, "fleet", "main h1")
    go(page, "rollouts", "[aria-label='Change freezes']")
    has(page, "main", name)


def test_a_controller_that_stood_still_is_seen_and_heard_again(
        browser, controller):
    page = opened(browser, controller.rest, controller.token)
    stopped(controller.process.pid)
    try:
        goes_stale(page)
        page.go_on(42)
    finally:
        os.kill(controller.process.pid, signal.SIGCONT)
    comes_back(page)
    changes(page, controller, "after-a-stop")


def test_a_network_that_swallows_is_seen_and_a_new_connection_is_live(
        browser, controller, network):
    page = opened(browser, network.url, controller.token)
    network.swallow()
    goes_stale(page)
    page.go_on(120)
    network.swallows = False
    comes_back(page)
    changes(page, controller, "after-a-hole")


def test_a_call_into_a_silence_ends_and_says_what_to_do(
        browser, controller, network):
    page = opened(browser, network.url, controller.token)
    network.swallow()
    page.run("window.said = []; import('/app/data/api.js').then(({ call }) => {"
             " for (const [method, path] of [['GET', '/v1/version'],"
             " ['POST', '/v1/orders']]) { call(method, path).catch(e =>"
             " said.push([method, e.code, e.message, e.fix])); } })")
    page.go_on(31)
    until("both ended", lambda: page.run("said.length") == 2, page.text)
    network.swallows = False
    said = {line[0]: line[1:] for line in page.run("said")}
    assert said["POST"] == ["net.timeout",
                            "the controller said nothing for 30 s",
                            "it may have been done: look before you press "
                            "again"], said
    assert said["GET"][0].startswith("net."), said
    comes_back(page)


def test_a_tab_that_was_frozen_is_live_at_its_first_look(
        browser, controller, network):
    page = opened(browser, network.url, controller.token)
    page.call("Page.setWebLifecycleState", state="frozen")
    network.swallow()
    page.run("flotillaTime.jump(3600000)")
    network.swallows = False
    page.call("Page.setWebLifecycleState", state="active")
    until("the frozen tab has opened a stream",
          lambda: page.run("streams") > 0, page.text)
    comes_back(page)
    changes(page, controller, "after-a-frost")


def test_a_page_whose_clock_is_set_back_still_hears_silence(
        browser, controller, network):
    page = opened(browser, network.url, controller.token)
    page.run("flotillaTime.jump(-86400000)")
    page.go_on(1)
    network.swallow()
    goes_stale(page)
    network.swallows = False
    comes_back(page)
