"""A page in Debian's headless chromium, by its debugging pipe."""
import base64
import json
import os
import shutil
import subprocess

import waits

PROGRAM = shutil.which("chromium-headless-shell") or shutil.which("chromium")


class Page:
    def __init__(self, folder):
        to_read, self.to = os.pipe()
        self.of, to_write = os.pipe()
        # The browser reads descriptor 3 and writes 4.
        self.process = subprocess.Popen(
            ["bash", "-c", 'exec "$0" "$@" 3<&%d 4>&%d' % (to_read, to_write),
             PROGRAM, "--headless", "--no-sandbox", "--disable-gpu",
             "--remote-debugging-pipe", "--window-size=1280,1000",
             "--user-data-dir=" + os.path.join(folder, "chromium")],
            pass_fds=(to_read, to_write), stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.rest, self.number, self.session = b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")
        self.session = self.call("Target.attachToTarget", flatten=True, **{
            "targetId": target["targetId"]})["sessionId"]

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self.rest:
                more = os.read(self.of, 1 << 16)
                assert more, "the browser ended"
                self.rest += more
            text, self.rest = self.rest.split(b"\0", 1)
            answer = json.loads(text)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]

    def run(self, script):
        """Value of a script; a promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=script,
                           awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def until(self, script):
        waits.until(script, lambda: self.run("!!(%s)" % script), self.text)

    def text(self, selector="body"):
        return self.run("document.querySelector(%s)?.innerText" %
                        json.dumps(selector))

    def picture(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def close(self):
        self.process.terminate()
        self.process.wait(waits.HANG_S)
        os.close(self.to)
        os.close(self.of)


def go(page, path, selector):
    page.run("location.hash = %s" % json.dumps("#/" + path))
    page.until("document.querySelector(%s)" % json.dumps(selector))


def has(page, selector, words):
    page.until("document.querySelector(%s)?.innerText.includes(%s)" % (
        json.dumps(selector), json.dumps(words)))


def write(page, selector, words):
    page.run("(i => { i.value = %s; i.dispatchEvent(new Event('input',"
             " {bubbles: true})) })(document.querySelector(%s))" % (
                 json.dumps(words), json.dumps(selector)))


def press(page, words, place="main"):
    page.run("[...document.querySelectorAll('%s button')].find(b =>"
             " b.innerText === '%s').click()" % (place, words))
