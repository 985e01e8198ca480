"""Rooms: each keeps its memory behind its own header (tools/layers.py calls this).

The controller and the agent's shell hold one pointer for each room.  The struct
behind it is defined in a file of that room which nobody else includes.  Fields of
the shell that several rooms read are listed here, each with its reason."""
import os
import re

PRODUCT = ("base", "proto", "engine", "updater", "agent", "server-stub")
CONTROLLER = "server-stub/state/controller.h"
SHELL = "agent/shell/shell.h"
GIVER = "agent/shell/rooms.h"  # lays out the memory of all rooms, and reads nothing
# A header that says so in its first comment is included by its own folder alone:
# structs stand there whose fields nobody else sees.
OWN = re.compile(r"/\*(?:(?!\*/).)*?not[\s*]+for[\s*]+others\.", re.S)
# A struct of callbacks that its comment calls an interface may be seen by all.
INTERFACE = re.compile(r"/\*(?:(?!\*/).)*?\b[Ii]nterface\b(?:(?!\*/).)*\*/\s*$", re.S)
# Libraries with a public header.  Each is one room, because tools/layers.py lets nobody
# else include its other headers.
LIBRARIES = ("updater/",)
# Structs that are values, as their owner hands them over.
VALUES = {"flo_outgoing": "the messages of a commit, which subscribers read"}
# Fields of struct flo_shell that every room may name.
SHARED = {
    "models": "the models of this device, whose index all rooms and the core use",
    "base": "the event loop",
    "settings": "the configuration, which nobody changes after the start",
    "identity": "who this device is",
    "device": "the device's record, as on disk",
    "store": "the updater's files",
    "db": "messages for the controller",
    "serve": "the engines and the local API",
    "agent": "the core",
    "queue": "events for the core",
    "boot_id": "a number of this boot",
    "life": "a number of this start",
    "is_local": "this process runs one command",
    "watch": "a view: the machine and its sensors, which hardware/ alone writes",
    "refusal": "why the controller renews no certificate, which renewal/ and link/ write",
    "stale": "why no newest statement counts, which trust/ alone writes",
    "plan": "a view: the memory plan, which serving/ alone writes",
    "neighbour_counts": "a view: bytes of neighbours, which neighbours/ alone writes",
}


def sources(root):
    """(path, text) of each source file of the product."""
    for folder in PRODUCT:
        for here, _, files in os.walk(os.path.join(root, folder)):
            for name in files:
                if name.endswith((".c", ".h")):
                    full = os.path.join(here, name)
                    with open(full, encoding="utf-8") as file:
                        yield os.path.relpath(full, root), file.read()


def is_own(text):
    return OWN.match(text) is not None


def bare(text):
    """A text without its comments, of as many lines."""
    return re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group(0).count("\n"), text,
                  flags=re.S)


def fields(text, name):
    """(field, struct or "", kind) of a struct; kind: value, pointer or view.  Fields
    of structs within it are not told."""
    body = bare(text)
    begin = body.index("struct %s {" % name)
    body = body[body.index("{", begin) + 1:body.index("\n};", begin)]
    while "{" in body:
        body = re.sub(r"\{[^{}]*\}", "", body)
    for line in body.split(";"):
        words = re.match(r"\s*(const\s+)?(?:struct\s+(\w+))?", line)
        for part in line.split(","):
            field = re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*$", part)
            if field:
                kind = "value" if "*" not in part else \
                    "view" if words.group(1) else "pointer"
                yield field.group(1), words.group(2) or "", kind


def structs(texts):
    """Where each struct of the product is defined, as (folder at the root, name)."""
    return {(path.split("/")[0], name): path for path, text in texts.items()
            for name in re.findall(r"^struct (\w+) \{", text, re.M)}


def home_of(where, holder, struct):
    """The file that defines a struct which a header names; "": none of the product."""
    folders = (holder.split("/")[0],) + PRODUCT
    return next((where[folder, struct] for folder in folders
                 if (folder, struct) in where), "")


def is_interface(text, name):
    return INTERFACE.search(text[:text.index("\nstruct %s {" % name) + 1]) is not None


def is_private(path, texts, struct):
    """No other room sees the fields of a struct that is defined there."""
    return not path.endswith(".h") or is_own(texts[path]) or struct in VALUES or \
        path.startswith(LIBRARIES) and "/include/" not in path or \
        is_interface(texts[path], struct)


def seen(texts, where):
    """(field, struct, header) of each room's struct that other rooms see."""
    for holder, name in ((CONTROLLER, "flo_controller"), (SHELL, "flo_shell")):
        for field, struct, kind in fields(texts[holder], name):
            path = home_of(where, holder, struct)
            if kind == "pointer" and not is_private(path, texts, struct):
                yield holder, field, struct, path


def room_of(path):
    """The room of a file of the shell: its folder, or "loop"."""
    parts = path.split("/")
    return parts[2] if path.startswith("agent/shell/") and len(parts) > 3 else "loop"


def owners(texts, where):
    """Who owns each field of struct flo_shell: "all", a room, or nobody ("")."""
    out = {}
    for field, struct, kind in fields(texts[SHELL], "flo_shell"):
        path = home_of(where, SHELL, struct)
        out[field] = "all" if field in SHARED else \
            room_of(path) if kind == "pointer" and path.startswith("agent/shell/") else ""
    return out


def problems(root):
    """(path, line, what) of each room that sees what another owns."""
    texts = dict(sources(root))
    where = structs(texts)
    for holder, field, struct, path in seen(texts, where):
        yield holder, 0, "%s: others see struct %s in %s" % (field, struct, path)
    owner = owners(texts, where)
    for field, who in owner.items():
        if who == "":
            yield SHELL, 0, "%s belongs to no room, and is not shared" % field
    for field, _, kind in fields(texts[SHELL], "flo_shell"):
        if SHARED.get(field, "").startswith("a view") and kind != "view":
            yield SHELL, 0, "%s is no pointer to const" % field
    for field in SHARED:
        if field not in owner:
            yield "tools/rooms.py", 0, "struct flo_shell has no %s" % field
    for path, text in texts.items():
        if '"%s"' % GIVER in text and path != GIVER[:-1] + "c":
            yield path, 0, "%s is for rooms.c" % GIVER
        if path.startswith("agent/shell/") and path != GIVER:
            for line, content in enumerate(bare(text).split("\n"), 1):
                for field in re.findall(r"\bshell(?:->|\.)(\w+)", content):
                    if owner.get(field, "all") not in ("all", room_of(path)):
                        yield path, line, "%s belongs to %s" % (field, owner[field])


def counts(root):
    """Lines with the counts of docs/decisions/house.md."""
    texts = dict(sources(root))
    where = structs(texts)
    owner = owners(texts, where)
    rooms = sorted(field for field, who in owner.items() if who != "all")
    yield "structs of rooms that others see: %d" % len(list(seen(texts, where)))
    yield "fields of struct flo_shell: %d" % len(owner)
    yield "  shared: %d" % (len(owner) - len(rooms))
    for field in rooms:
        yield "  %s: %s" % (owner[field] or "nobody", field)
