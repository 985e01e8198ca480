"""Parts of the stories of batches: requests, and the API in raw HTTP."""
import json
import os
import signal

from test_local_api import NAME, Server
from waits import Seen, until

QUESTION = "Classify: 23:45 oven-%d voltage drop temp=35C"
BOUNDARY = "b0undary"


def request(number, url="/v1/chat/completions", **fields):
    body = {"model": NAME, "temperature": 0, "max_tokens": 8,
            "messages": [{"role": "user", "content": QUESTION % number}]}
    return {"custom_id": "r%d" % number, "method": "POST", "url": url,
            "body": {**body, **fields}}


def lines_of(requests):
    return "".join((line if isinstance(line, str) else json.dumps(line)) + "\n"
                   for line in requests)


class BatchServer(Server):
    """A server with a folder of batches, which can be killed."""

    def __init__(self, bin_dir, folder, options=()):
        self.again = (bin_dir, folder, options)
        self.folder = os.path.join(folder, "batches")
        super().__init__(bin_dir, folder, options=(
            "--batch-folder", self.folder, *options))

    def kill(self):
        """kill -9, and another start on the same folder."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.__init__(*self.again)

    def upload(self, text, headers={}, **fields):
        fields.setdefault("purpose", "batch")
        body = "".join(
            '--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
            % (BOUNDARY, name, value) for name, value in fields.items())
        body += ('--%s\r\nContent-Disposition: form-data; name="file"; '
                 'filename="in.jsonl"\r\n\r\n%s\r\n--%s--\r\n'
                 % (BOUNDARY, text, BOUNDARY))
        return self.call("POST", "/v1/files", body.encode(), {
            "Content-Type": "multipart/form-data; boundary=" + BOUNDARY,
            **headers})

    def file(self, requests):
        status, _, file = self.upload(lines_of(requests))
        assert status == 200, file
        return file["id"]

    def batch(self, requests, **fields):
        status, _, batch = self.call("POST", "/v1/batches", {
            "input_file_id": self.file(requests), "completion_window": "24h",
            "endpoint": "/v1/chat/completions", **fields})
        assert status == 200, batch
        return batch["id"]

    def look(self, batch):
        return self.call("GET", "/v1/batches/" + batch)[2]

    def wait(self, batch, ask, what="the batch"):
        """The batch once ask() of it is true."""
        def look():
            seen = self.look(batch)
            return ask(seen) and seen or Seen(seen)
        return until(what, look)

    def ended(self, batch):
        return self.wait(batch, lambda seen: seen["status"] in (
            "completed", "failed", "expired", "cancelled"))

    def content(self, file):
        status, _, text = self.call("GET", "/v1/files/%s/content" % file)
        assert status == 200, text
        return [json.loads(line) for line in text.splitlines()]
