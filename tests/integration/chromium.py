"""A page in Debian's headless chromium, by its debugging pipe.

The dashboard's clock (base/web/data/time.js) stands still here until the test moves
it, and runs what is due then: nobody waits for a timer."""
import base64
import json
import os
import shutil
import subprocess

import waits

PROGRAM = shutil.which("chromium-headless-shell") or shutil.which("chromium")

# A step is less than each pause of the page, so its timers come in order.  The
# page is not left alone for longer than the controller ever is silent: only a
# test that says so goes on beyond that.
TIME = """globalThis.flotillaTime = (() => {
  const timers = new Map();
  let now = Date.now(), last = 0;
  const add = (ms, run, each) => timers.set(last += 1, {
    at: now + Math.max(ms, 0), run, each }) && last;
  return {
    now: () => now,
    after: (ms, run) => add(ms, run, 0),
    each: (ms, run) => add(ms, run, ms),
    stop: (timer) => timers.delete(timer),
    async go(ms) {
      for (const end = now + ms;;) {
        const [id, due] = [...timers].reduce((first, one) =>
          one[1].at < first[1].at ? one : first, [0, { at: end + 1 }]);
        now = Math.max(now, Math.min(due.at, end));
        if (due.at > end) {
          return;
        }
        if (due.each) {
          due.at += due.each;
        } else {
          timers.delete(id);
        }
        due.run();
        await Promise.resolve();
      }
    },
    jump(ms) { // a machine slept, or its clock was set back: no timer runs
      now += ms;
      timers.forEach((timer) => { timer.at += Math.min(ms, 0); });
    },
    async step() {
      const { live } = await import("/app/data/live.js");
      const { underway } = await import("/app/data/exchange.js");
      if ([...underway].some((one) => now - one.since > 3000)) {
        return; // an answer takes none of the page's time
      }
      if (live.state !== "live" || now - live.heard < 12000) {
        await this.go(250);
      }
    },
  };
})()"""


class Page:
    def __init__(self, folder, time=TIME):
        """time: a script before the page's own; "": its clock is real."""
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
        self.call("Page.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=time)

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
        """True of the page, whose clock goes on meanwhile."""
        def ask():
            if self.run("!!(%s)" % script):
                return True
            self.run("location.protocol === 'about:' ||"
                     " globalThis.flotillaTime?.step()")
            return False
        waits.until(script, ask, self.text)

    def go_on(self, seconds):
        """The page's clock; what was due in that time was run."""
        self.run("flotillaTime.go(%d)" % (1000 * seconds))

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
    page.until("document.querySelector(%s)" % json.dumps(selector))
    page.run("(i => { i.value = %s; i.dispatchEvent(new Event('input',"
             " {bubbles: true})) })(document.querySelector(%s))" % (
                 json.dumps(words), json.dumps(selector)))


def press(page, words, place="main"):
    button = "[...document.querySelectorAll('%s button')].find(b =>" \
        " b.innerText === '%s')" % (place, words)
    page.until(button)
    page.run(button + ".click()")
