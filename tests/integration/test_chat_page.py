"""The chat page in a real browser: `flotilla-agent serve` with the tiny model,
and a double of its API that says what a hostile model would."""
import itertools
import json
import os
import threading

import pytest

import chromium
import draw
from chat_parts import Double
from chromium import has, press, write
from test_local_api import NAME, SEVERITY, TOKEN, Server

if not chromium.PROGRAM:
    pytest.skip("chromium-headless-shell is not installed",
                allow_module_level=True)
# Refusals by the page's own policy.
WATCH = """addEventListener("securitypolicyviolation", (event) =>
  (globalThis.refused ??= []).push(event.violatedDirective))"""


@pytest.fixture(scope="module")
def server(bin_dir, folder):
    one = Server(bin_dir, folder)
    yield one
    one.close()


@pytest.fixture(scope="module")
def address(server):
    return "http://127.0.0.1:%d/" % server.port


@pytest.fixture(scope="module")
def double(bin_dir, folder):
    place = os.path.join(folder, "open")
    os.mkdir(place)
    real = Server(bin_dir, place, token=None)
    one = Double(real.port)
    yield one
    one.close()
    real.close()


@pytest.fixture(scope="module")
def browser(folder):
    one = chromium.Page(folder, time=WATCH)
    yield one
    one.close()


@pytest.fixture
def page(browser):
    yield browser
    assert browser.run("globalThis.refused") is None


def fresh(page, address, selector="#message"):
    """The page of a tab that has kept nothing."""
    page.open(address)
    page.run("addEventListener('pagehide', () => sessionStorage.clear())")
    page.open("about:blank")
    page.open(address)
    page.until("document.querySelector(%s)" % json.dumps(selector))


@pytest.fixture
def chat(page, double):
    """A conversation with the double, which has not begun."""
    double.models, double.asked = None, []
    fresh(page, double.address)
    page.until("document.querySelector('#model option')")
    return page


def settle(page):
    """The answer is whole."""
    page.until("document.querySelector('#send') &&"
               " document.querySelector('.turn:last-of-type .numbers')")


def ask(page, words):
    write(page, "#message", words)
    page.until("!document.querySelector('#send').disabled")
    page.run("document.querySelector('#send').click()")


def sets(page, **fields):
    if not page.run("!!document.querySelector('#settings')"):
        page.run("document.querySelector('#show').click()")
    for name, value in fields.items():
        write(page, "#settings [name=%s]" % name, value)
    press(page, "Close", "#settings")
    page.until("!document.querySelector('#settings')")


def says(*parts):
    return lambda request: iter(parts)


def key(page, name, code, modifiers=0, text=None):
    for kind in ("keyDown", "keyUp"):
        more = {"text": text} if text and kind == "keyDown" else {}
        page.call("Input.dispatchKeyEvent", type=kind, key=name, code=name,
                  windowsVirtualKeyCode=code, modifiers=modifiers, **more)


# ---- who may ----

def test_a_wrong_token_is_told_in_the_apis_own_words(page, address):
    fresh(page, address, "#token")
    assert page.run("!document.querySelector('[role=alert]')")
    for wrong, words in (("correct-horse", "the token is not the right one"),
                         ("héllo", "no blanks")):
        write(page, "#token", wrong)
        press(page, "Open")
        has(page, "[role=alert]", words)
    write(page, "#token", TOKEN)
    press(page, "Open")
    has(page, "#model", NAME + " · ready")


def test_a_token_in_the_link_opens_the_page_and_leaves_the_address(
        page, address):
    fresh(page, address, "#token")
    page.run("location.hash = '#token=%s'" % TOKEN)
    has(page, "#model", NAME)
    assert page.run("location.href") == address
    assert page.run("history.state") is None
    page.open("about:blank")
    page.open(address)  # the tab has it
    has(page, "#model", NAME)


def test_a_token_that_is_valid_no_more_is_asked_for_again(page, address):
    fresh(page, address + "#token=" + TOKEN)
    has(page, "#model", NAME)
    page.run("sessionStorage.setItem('flotilla.token', 'one of yesterday')")
    ask(page, "hello")
    has(page, "[role=alert]", "the token is not the right one")
    assert page.run("sessionStorage.getItem('flotilla.token')") is None


# ---- answers ----

def test_a_streamed_answer_is_the_apis_own(page, address, server):
    fresh(page, address + "#token=" + TOKEN)
    has(page, "#model", NAME)
    sets(page, temperature="0")
    ask(page, SEVERITY)
    settle(page)
    own = server.chat(messages=[{"role": "user", "content": SEVERITY}])[2]
    assert page.text(".answer .words") == \
        own["choices"][0]["message"]["content"]
    assert page.text(".answer h2") == NAME + "@local"
    numbers = page.text(".numbers")
    for words in ("first token ", " tokens/s", "3 tokens"):
        assert words in numbers, numbers
    assert page.text("#announce") == "severity: critical"


def test_the_tab_keeps_the_chat_and_nothing_else_does(page, address, server):
    page.open("about:blank")
    page.open(address)
    has(page, ".answer .words", "severity: critical")
    assert page.run("[localStorage.length, document.cookie,"
                    " location.href]") == [0, "", address]
    page.run("document.querySelector('#fresh').click()")
    page.until("!document.querySelector('.turn')")
    page.open("about:blank")
    page.open(address)
    has(page, ".hello", NAME)
    assert page.run("!document.querySelector('.turn')")


def test_an_error_of_the_api_is_its_sentence_and_its_fix(page, address,
                                                         server):
    fresh(page, address + "#token=" + TOKEN)
    has(page, "#model", NAME)
    sets(page, max="-1")
    ask(page, "hello")
    settle(page)
    error = server.chat(max_tokens=-1)[2]["error"]
    for words in (error["message"], error["code"],
                  error["fix"].replace("`", "")):
        has(page, ".answer [role=alert]", words)
    sets(page, max="2", temperature="0")
    press(page, "Try again")
    has(page, ".answer .words", "")
    settle(page)
    assert page.run("document.querySelectorAll('.turn').length") == 2
    has(page, ".numbers", "ended by the limit")


@pytest.mark.parametrize("way", ("button", "Escape"))
def test_an_answer_is_stopped_and_what_came_of_it_stays(chat, double, way):
    rest = threading.Event()
    double.say = says({"content": "one "}, {"content": "two "}, rest,
                      {"content": "three"})
    ask(chat, "count")
    has(chat, ".answer .words", "one two")
    assert chat.run("document.querySelector('[aria-busy=true]') !== null")
    if way == "button":
        chat.run("document.querySelector('#stop').click()")
    else:
        key(chat, "Escape", 27)
    settle(chat)
    rest.set()
    assert chat.text(".answer .words") == "one two"
    assert "stopped" in chat.text(".numbers")
    double.say = says({"content": "five"})
    ask(chat, "and on")
    has(chat, ".turn:last-of-type .words", "five")
    assert [(m["role"], m["content"]) for m in double.asked[-1]["messages"]
            ] == [("user", "count"), ("assistant", "one two "),
                  ("user", "and on")]


def test_enter_sends_and_shift_enter_begins_a_line(chat, double):
    double.say = says({"content": "yes"})
    chat.run("document.querySelector('#message').focus()")
    chat.call("Input.insertText", text="a")
    key(chat, "Enter", 13, modifiers=8, text="\r")
    chat.call("Input.insertText", text="b")
    assert double.asked == []
    key(chat, "Enter", 13, text="\r")
    settle(chat)
    one = double.asked[0]
    assert one["messages"] == [{"role": "user", "content": "a\nb"}]
    assert one["stream"] and one["stream_options"] == {"include_usage": True}
    assert "temperature" not in one and "max_tokens" not in one
    assert chat.run("document.querySelector('#message').value") == ""


def test_settings_go_with_each_question(chat, double):
    double.say = says({"content": "yes"})
    sets(chat, system="Be brief.", temperature="0.5", max="7",
         tools='[{"type": "function", "function": {"name": "f"}}]')
    ask(chat, "hello")
    settle(chat)
    one = double.asked[0]
    assert one["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (one["temperature"], one["max_tokens"]) == (0.5, 7)
    assert one["tools"] == [{"type": "function", "function": {"name": "f"}}]


def test_a_model_is_chosen_by_its_name_and_shows_its_state(chat, double):
    double.models = [
        {"id": "big", "state": "loading", "parent": None},
        {"id": "small", "state": "on-demand", "parent": None},
        {"id": "small:site", "state": "ready", "parent": "small"},
        {"id": "site", "state": "ready", "parent": "small"},
        {"id": "heard", "parent": None, "pipeline": ["ear", "small"]}]
    chat.run("document.querySelector('#model').dispatchEvent("
             "new Event('focus'))")
    has(chat, "#model", "big · loading")
    names = "[...document.querySelectorAll('#model option')].map(" \
            "o => o.innerText)"
    assert chat.run(names) == ["big · loading", "small · on-demand",
                               "small:site · ready"]
    chat.run("(s => { s.value = 'small'; s.dispatchEvent(new Event('change'))"
             " })(document.querySelector('#model'))")
    double.say = says({"content": "yes"})
    ask(chat, "hello")
    settle(chat)
    assert double.asked[0]["model"] == "small"
    double.models[0]["state"] = "ready"  # the page looks again by itself
    has(chat, "#model", "big · ready")


# ---- thoughts and tools ----

def test_thoughts_are_folded_and_no_part_of_the_answer(chat, double):
    double.say = says({"reasoning_content": "I am "},
                      {"reasoning_content": "thinking"}, {"content": "done"})
    ask(chat, "think")
    settle(chat)
    assert chat.text(".answer .words") == "done"
    assert chat.run("document.querySelector('.thoughts').open") is False
    assert chat.run("document.querySelector('.thoughts p').textContent") == \
        "I am thinking"


def test_a_call_of_a_tool_is_shown_and_its_result_goes_back(chat, double):
    def call(index, **function):
        return {"tool_calls": [{"index": index, "function": function}]}

    double.say = says(
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function",
                         "function": {"name": "weather", "arguments": ""}}]},
        call(0, arguments='{"city": '), call(0, arguments='"Bonn"}'),
        {"tool_calls": [{"index": 1, "id": "c2", "function": {
            "name": "<b>clock</b>", "arguments": "no JSON"}}]})
    ask(chat, "weather?")
    settle(chat)
    assert chat.run("[...document.querySelectorAll('.calls h3 code')].map("
                    "e => e.innerText)") == ["weather", "<b>clock</b>"]
    assert chat.run("[...document.querySelectorAll('.calls pre')].map("
                    "e => e.innerText)") == ['{\n  "city": "Bonn"\n}',
                                             "no JSON"]
    double.say = says({"content": "It rains."})
    for i, words in enumerate(("rain", "noon")):
        write(chat, ".calls section:nth-of-type(%d) textarea" % (i + 1), words)
    press(chat, "Send results")
    has(chat, ".turn:last-of-type .words", "It rains.")
    settle(chat)
    assert double.asked[-1]["messages"][1:] == [
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {
                "name": "weather", "arguments": '{"city": "Bonn"}'}},
            {"id": "c2", "type": "function", "function": {
                "name": "<b>clock</b>", "arguments": "no JSON"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "tool", "tool_call_id": "c2", "content": "noon"}]


def test_tools_that_are_no_list_are_told_before_anything_is_sent(chat, double):
    for wrong, words in (("{", "This is no JSON"), ("{}", "JSON list")):
        sets(chat, tools=wrong)
        ask(chat, "hello")
        has(chat, "#fault", words)
        assert chat.run("document.querySelector('#message').value") == "hello"
    assert double.asked == []


# ---- what goes wrong ----

@pytest.mark.parametrize("end, words", [
    ({"error": {"message": "the engine was killed", "code": "engine.killed",
                "fix": "ask again"}}, ["the engine was killed", "ask again"]),
    (None, ["the answer was cut off", "try again"])])
def test_an_answer_that_breaks_says_so_and_can_be_asked_again(
        chat, double, end, words):
    double.say = says({"content": "half "}, end)
    ask(chat, "hello")
    settle(chat)
    assert chat.text(".answer .words") == "half"
    for word in words:
        has(chat, ".answer [role=alert]", word)
    double.say = says({"content": "whole"})
    press(chat, "Try again")
    has(chat, ".answer .words", "whole")
    assert double.asked[-1]["messages"] == [{"role": "user",
                                             "content": "hello"}]


def test_parts_of_unknown_shapes_do_no_harm(chat, double):
    double.say = says({"content": 7, "tool_calls": "x"}, {"tool_calls": [
        None, {"index": -1}, {"index": 1e9}, {"index": "0"}, {}]},
        {"content": {"toString": 1}, "reasoning_content": []},
        {"content": "good"})
    ask(chat, "hello")
    settle(chat)
    assert chat.text(".answer .words") == "good"


# ---- no markup ----

EVIL = """<img src=x onerror="document.title='taken'"> <script>document.title=1</script>

[x](javascript:document.title=2) ![x](javascript:alert(1)) [d](data:text/html,x)
[j](JaVaScRiPt:alert(1)) [n](java\tscript:alert(1)) <javascript:alert(1)>
[p](//evil.example) [r](/v1/models) [u](https://good.example@evil.example/)

| <svg onload=alert(1)> | b |
| --- | --- |
| <b>x</b> | <iframe src=/> |

```html
<img src=x onerror=alert(1)>
```
"""


def test_markup_of_a_model_stays_text(chat, double):
    double.say = says(*({"content": EVIL[i:i + 7]}
                        for i in range(0, len(EVIL), 7)))
    ask(chat, "<i>question</i>")
    settle(chat)
    text = chat.text(".answer .words")
    for words in ("<img src=x onerror=\"document.title='taken'\">",
                  "<script>document.title=1</script>",
                  "[x](javascript:document.title=2)", "<svg onload=alert(1)>",
                  "<iframe src=/>", "<img src=x onerror=alert(1)>"):
        assert words in text, words
    assert chat.text(".user p") == "<i>question</i>"
    assert chat.run("document.querySelectorAll('main :is(a, img, script, svg,"
                    " iframe, b, i)').length") == 0
    assert chat.run("document.title") == "Chat · Flotilla"


def test_code_is_copied_as_it_is(chat, double):
    double.say = says({"content": "```sh\na <b>\n  b\n```"})
    ask(chat, "code")
    settle(chat)
    chat.run("Object.defineProperty(navigator, 'clipboard', { value: {"
             " writeText: async (text) => { window.copied = text; } } })")
    press(chat, "Copy")
    has(chat, ".block", "Copied")
    assert chat.run("copied") == "a <b>\n  b"


def tree(page, text):
    return page.run("import('/app/data/markdown.js').then(m => m.parse(%s))"
                    % json.dumps(text))


def words(*nodes):
    return {"kind": "paragraph", "nodes": list(nodes)}


def mark(kind, *nodes):
    return {"kind": kind, "nodes": list(nodes)}


def link(href, *nodes):
    return {"kind": "link", "href": href, "nodes": list(nodes)}


def code(text):
    return {"kind": "code", "text": text}


def items(start, *own):
    return {"kind": "list", "start": start, "items": [
        [one] if isinstance(one, dict) else one for one in own]}


BR = {"kind": "br"}
TREES = [
    ("", []), ("a\n\n\nb", [words("a"), words("b")]),
    ("a\nb", [words("a", BR, "b")]),
    ("**a** *b* __c__ _d_ ~~e~~", [words(
        mark("strong", "a"), " ", mark("em", "b"), " ", mark("strong", "c"),
        " ", mark("em", "d"), " ", mark("del", "e"))]),
    ("**a *b* c**", [words(mark("strong", "a ", mark("em", "b"), " c"))]),
    ("***a***", [words(mark("strong", mark("em", "a")))]),
    ("*a **b***", [words(mark("em", "a ", mark("strong", "b")))]),
    ("**a *b** c", [words(mark("strong", "a *b"), " c")]),
    ("**a", [words("**a")]), ("2 * 3 * 4", [words("2 * 3 * 4")]),
    ("a_b_c __init__", [words("a_b_c ", mark("strong", "init"))]),
    ("a ****b", [words("a ****b")]), ("****", [{"kind": "rule"}]), ("~a~", [words("~a~")]),
    ("`a*b*` ``a`b`` `` ` ``", [words(code("a*b*"), " ", code("a`b"), " ",
                                      code("`"))]),
    ("`a \\`` b", [words("`a `` b")]), ("\\*a\\* \\q", [words("*a* \\q")]),
    ("[a *b*](https://x.example/y \"t\")", [words(
        link("https://x.example/y", "a ", mark("em", "b")))]),
    ("![a](https://x.example)", [words(link("https://x.example/", "a"))]),
    ("[a](https://x.example/w_(b))", [words(
        link("https://x.example/w_(b)", "a"))]),
    ("see https://x.example/a_b, or (http://y.example/).", [words(
        "see ", link("https://x.example/a_b", "https://x.example/a_b"),
        ", or (", link("http://y.example/", "http://y.example/"), ").")]),
    ("<https://x.example>", [words(link("https://x.example/",
                                        "https://x.example"))]),
    ("xhttp://x.example", [words("xhttp://x.example")]),
    ("[a](ftp://x.example)", [words("[a](ftp://x.example)")]),
    ("[a](b", [words("[a](b")]), ("<b>a</b>", [words("<b>a</b>")]),
    ("# a #\n#b\n###### c", [
        {"kind": "heading", "level": 1, "nodes": ["a"]}, words("#b"),
        {"kind": "heading", "level": 6, "nodes": ["c"]}]),
    ("#", [{"kind": "heading", "level": 1, "nodes": []}]),
    ("a\n---\nb", [words("a"), {"kind": "rule"}, words("b")]),
    ("```c\nint a;\n\n# no heading\n```\nb", [
        {"kind": "code", "language": "c",
         "text": "int a;\n\n# no heading"}, words("b")]),
    ("````\n```\n````", [{"kind": "code", "language": "", "text": "```"}]),
    ("~~~\na", [{"kind": "code", "language": "", "text": "a"}]),
    ("``` a`b", [words("``` a`b")]),
    ("> a\n> > b", [{"kind": "quote", "blocks": [
        words("a"), {"kind": "quote", "blocks": [words("b")]}]}]),
    ("- a\n- b\n  - c\n\n1. d\n2. e", [
        items(None, words("a"), [words("b"), items(None, words("c"))]),
        items(1, words("d"), words("e"))]),
    ("1. a\n  - b\n2. c", [items(1, [words("a"), items(None, words("b"))],
                                 words("c"))]),
    ("7) a\n\n   b\n\n8) c", [items(7, [words("a"), words("b")],
                                    words("c"))]),
    ("- ```\n  a\n  ```", [items(None, {"kind": "code", "language": "",
                                        "text": "a"})]),
    ("1986. A year", [items(1986, words("A year"))]),
    ("| a | b |\n|:-:|--:|\n| 1 | 2 \\| 3 |\n| x |\n\nc", [
        {"kind": "table", "aligns": ["middle", "end"],
         "heads": [["a"], ["b"]], "rows": [[["1"], ["2 | 3"]], [["x"], []]]},
        words("c")]),
    ("a | b\n- | -\n", [{"kind": "table", "aligns": ["start", "start"],
                         "heads": [["a"], ["b"]], "rows": []}]),
    ("a | b\n--- | --- | ---", [words("a | b", BR, "--- | --- | ---")]),
]


def test_markdown_is_read_as_people_write_it(chat):
    for text, blocks in TREES:
        assert tree(chat, text) == blocks, text


DRAWN = """Promise.all([import('/app/parts/markdown.js'),
  import('/app/parts/html.js')]).then(([m, p]) => {
  const place = document.createElement("div"), found = new Set();
  for (const text of %s) {
    p.render(p.html`<${m.Markdown} text=${text} />`, place);
    for (const one of place.querySelectorAll("*")) {
      found.add(one.localName);
      for (const { name, value } of one.attributes) {
        found.add(name === "href" && !/^https?:/.test(value) ? value : "@" + name);
      }
    }
  }
  p.render(null, place);
  return [...found].sort();
})"""
ALLOWED = set("""div p br code strong em del a h3 h4 h5 h6 blockquote ul ol li
 table thead tbody tr th td hr pre span button @class @href @title @target @rel
 @start @scope @tabindex @role @aria-label @type""".split())
PIECES = ["*", "**", "_", "~~", "`", "```", "\n", "\n\n", "- ", "1. ", "> ",
          "# ", "|", "---", "[", "](", ")", "![", "<", ">", "\\", " ", "  ",
          "a", "B", "é", "http://x.example", "https:", "javascript:", "data:",
          "<img src=x onerror=y>", "\"", "'", "&lt;", "\x00", "\u202e", "\t"]


ALL = """# One
#### Four

Words with `code`, **bold** and [a link](https://x.example/).

> quoted

1. one
   - two

| a | b |
| - | -: |
| 1 | 2 |

```sh
%s
```
""" % ("long " * 60)


def test_no_text_of_a_model_makes_other_elements_than_those_of_markdown(chat):
    print(draw.say("texts"))
    dice = draw.dice("texts")
    texts = ["".join(dice.choice(PIECES) for _ in range(dice.randrange(60)))
             for _ in range(2000)]
    found = set(chat.run(DRAWN % json.dumps([ALL] + texts)))
    assert found <= ALLOWED, found - ALLOWED
    assert {"a", "table", "pre", "h3"} <= found


def test_long_and_deep_texts_are_read_to_their_end(chat):
    """Depth is bounded, and no shape makes the page stand still."""
    many = 5000
    for piece in ("*a ", "[", "`", "``a`", "> ", "- ", "| a ", "\\", "![a](",
                  "<https://", "**", "~~", "_a_", "1. a\n  ", "a|b\n-|-\n",
                  "https://x.example/(", "#" * 7, " ", "- - ", "```a\n"):
        chat.run("import('/app/parts/markdown.js').then(async (m) => {"
                 " const p = await import('/app/parts/html.js');"
                 " const place = document.createElement('div');"
                 " p.render(p.html`<${m.Markdown} text=${%s.repeat(%d)} />`,"
                 " place); })" % (json.dumps(piece), many))


# ---- everybody ----

AXE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..",
                   "build", "node_modules", "axe-core", "axe.min.js")
SMALL = """[...document.querySelectorAll(
 'a, button, input, select, textarea, summary')].filter(e => !e.closest('.skip, .vh, .words p')).map(e =>
 [e.id || e.innerText, e.getBoundingClientRect()]).filter(([, r]) =>
 r.width < 43.5 || r.height < 43.5).map(([w, r]) => w + ' ' + r.width + ' x '
 + r.height)"""


def pictures(page, double, address):
    """The page in each of its states."""
    fresh(page, address, "#token")
    write(page, "#token", "wrong")
    press(page, "Open")
    has(page, "[role=alert]", "the token")
    yield "sign in"
    fresh(page, double.address)
    has(page, ".hello", NAME)
    yield "hello"
    double.say = says({"reasoning_content": "hm"}, {"content": ALL}, {
        "tool_calls": [{"index": 0, "id": "c", "function": {
            "name": "f", "arguments": "{}"}}]})
    ask(page, "all")
    settle(page)
    page.run("document.querySelector('.thoughts summary').click()")
    yield "answer"
    double.say = says({"content": "x"}, {"error": {"message": "no", "fix":
                                                   "ask `again`"}})
    ask(page, "more")
    settle(page)
    yield "error"
    rest = threading.Event()
    double.say = says({"content": "x"}, rest)
    ask(page, "slow")
    page.until("document.querySelector('#stop')")
    yield "busy"
    rest.set()
    settle(page)
    page.run("document.querySelector('#show').click()")
    write(page, "#settings [name=tools]", "{")
    has(page, "#fault", "JSON")
    yield "settings"


def show(page, width, scheme):
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=800,
              deviceScaleFactor=1, mobile=False)
    page.call("Emulation.setEmulatedMedia", features=[
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"}])


@pytest.mark.skipif(not os.path.exists(AXE), reason="axe-core is not there")
def test_everybody_can_use_it_on_a_phone_and_a_desk_by_day_and_night(
        page, double, address):
    double.models = None
    with open(AXE, encoding="utf-8") as file:
        axe = file.read()
    for state in pictures(page, double, address):
        if not page.run("!!globalThis.axe"):
            page.run(axe + "; 0")
        for width, scheme in itertools.product((360, 1280), ("light", "dark")):
            show(page, width, scheme)
            found = page.run(
                "axe.run().then(r => r.violations.map(v => v.id + ' ' +"
                " v.nodes.slice(0, 3).map(n => n.html)))")
            at = (state, width, scheme)
            assert found == [], (at, found)
            assert page.run("document.documentElement.scrollWidth") <= width, at
            small = page.run(SMALL)
            assert small == [], (at, small)
    page.call("Emulation.clearDeviceMetricsOverride")
    page.call("Emulation.setEmulatedMedia", features=[])
