"""The package `llm`: its library, and its program on a command line."""
import json
import os
import subprocess
import sys
import tempfile

FOLDER = tempfile.mkdtemp()
os.environ["LLM_USER_PATH"] = FOLDER

import llm
from pydantic import BaseModel

from parts import (IMAGE, KEY, MODEL, QUESTION, URL, call, main, refused,
                   same)
import base64
import openai

with open(os.path.join(FOLDER, "extra-openai-models.yaml"), "w",
          encoding="utf-8") as file:
    json.dump([{"model_id": name, "model_name": MODEL, "api_base": URL + "/v1",
                "api_key_name": "flotilla", "supports_tools": True,
                "supports_schema": True, "vision": True, **more}
               for name, more in (("edge", {}),
                                  ("edge-responses", {"responses": True}))],
              file)  # which is YAML too
with open(os.path.join(FOLDER, "keys.json"), "w", encoding="utf-8") as file:
    json.dump({"flotilla": KEY}, file)


class Weather(BaseModel):
    """The weather of a city."""
    city: str


def get_weather(city: str) -> str:
    """The weather of a city."""
    return "rain in " + city


def model():
    return llm.get_model("edge")


def loops_with(one, **fields):
    chain = one.chain(QUESTION, tools=[get_weather], **fields)
    assert chain.text()
    first, last = list(chain._responses)
    made, = first.tool_calls()
    same(set(made.arguments), {"city"})
    assert last.text() and not last.tool_calls()


@call
def chat():
    answer = model().prompt(QUESTION, system="Be brief.", stream=False)
    assert answer.text() and answer.usage().output


@call
def stream():
    assert len([text for text in model().prompt(QUESTION) if text]) > 1


@call
def tool():
    made, = model().prompt(QUESTION, tools=[get_weather],
                           stream=False).tool_calls()
    same(made.name, "get_weather")


@call
def loop():
    loops_with(model(), stream=False)


@call
def loop_streamed():
    loops_with(model())


@call
def history():
    talk = model().conversation()
    assert talk.prompt(QUESTION).text() and talk.prompt("And then?").text()


@call
def structured():
    answer = model().prompt(QUESTION, schema=Weather)
    Weather.model_validate_json(answer.text())


@call
def options():
    answer = model().prompt(QUESTION, max_tokens=2, temperature=0.5, top_p=0.9,
                            presence_penalty=0.5, frequency_penalty=0.5,
                            seed=1, logit_bias={"46": -5})
    assert answer.text()


@call
def program():
    """`llm -m edge --schema 'city str' QUESTION`"""
    done = subprocess.run([sys.executable, "-m", "llm", "-m", "edge", "--schema",
                           "city str", "--no-log", QUESTION], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL)
    same(done.returncode, 0)
    Weather.model_validate_json(done.stdout)


@call
def image():
    picture = llm.Attachment(content=base64.b64decode(IMAGE))
    refused(openai.BadRequestError, "messages[0]",
            lambda: model().prompt("What is this?",
                                   attachments=[picture]).text())


@call
def responses_loop():
    loops_with(llm.get_model("edge-responses"))


main("llm")
