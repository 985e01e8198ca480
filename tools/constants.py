"""Numbers of pages that stand in our sources: a mark behind a number names the
constant, and the number is written from it.

    at most 8<!-- FLO_SIGNATURES_MAX --> signatures, 256 KiB<!-- FLO_ENVELOPE_BYTES_MAX -->

A number may have a unit before its mark; a constant has that of its name
(`_MS`, `_S`, else bytes or a count).  `policy.NAME` and `config.NAME` are
defaults of proto/policy.def and agent/config.def.
"""
import ast
import functools
import operator
import os
import re
import subprocess

from deftable import ROOT, rows

MARK = re.compile(r"(?P<number>\d[\d,]*(?:\^\d+)?(?: − 1)?)(?P<unit> [a-zA-Z%]+)?"
                  r"<!-- (?P<name>[A-Za-z_][\w./]*) -->")
TIMES = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000,
         "day": 86_400_000, "days": 86_400_000}
SIZES = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
STEPS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
         ast.Div: operator.floordiv, ast.LShift: operator.lshift}


class Bad(Exception):
    """A mark that names nothing, or no one number."""


@functools.lru_cache(None)
def sources():
    """Text of each constant: its place and its expression."""
    found = {}
    lines = subprocess.run(
        ["git", "grep", "-nE", r"^ *#define +[A-Z]\w+ +[^ ]|^ +FLO_\w+ = ",
         "--", "*.h", "*.c", ":!tests", ":!*/vendor/*"],
        cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for line in lines.split("\n"):
        got = re.match(r"([^:]+):\d+: *(?:#define +)?([A-Z]\w+)(?: =)? +(.+)", line)
        if got:
            text = re.sub(r"/\*.*|,.*", "", got.group(3)).strip()
            found.setdefault(got.group(2), {})[got.group(1)] = text
    return found


def value(expression):
    """The number of an expression of constants."""
    text = re.sub(r"\b(0[xX][0-9a-fA-F]+|\d+)[uUlL]+\b", r"\1", expression)
    text = re.sub(r"\((?:u?int\d+_t|size_t|unsigned|double)\)|UINT(?:32|64)_C",
                  "", text)

    def of(node):
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return node.value
        if isinstance(node, ast.BinOp) and type(node.op) in STEPS:
            return STEPS[type(node.op)](of(node.left), of(node.right))
        if isinstance(node, ast.Name):
            return constant(node.id)
        raise Bad("no number: %s" % expression)
    try:
        return of(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError as error:
        raise Bad("no number: %s" % expression) from error


@functools.lru_cache(None)
def constant(name):
    """The number that a mark names: NAME, FILE/NAME, policy.NAME or config.NAME."""
    if name.startswith("policy."):
        return float([r[4] for r in rows("proto/policy.def", "FLO_POLICY")
                      if r[0] == name[7:]][0])
    if name.startswith("config."):
        return float([r[5] for r in rows("agent/config.def", "FLO_CONFIG")
                      if r[1] == name[7:]][0])
    place, _, name = name.rpartition("/")
    texts = {text for path, text in sources().get(name, {}).items()
             if os.path.splitext(os.path.basename(path))[0] == place or not place}
    if len(texts) != 1:
        raise Bad("%s has %d meanings: %s" % (name, len(texts), sorted(texts)))
    return value(texts.pop())


def in_unit(name, unit):
    """A constant, in the unit that the page has."""
    number, unit = constant(name), unit.strip()
    if unit in TIMES:
        own = 1000 if re.search(r"_S(_|$)|_s$", name) else 1
        return number * own / TIMES[unit]
    return number / SIZES.get(unit, 1)


def shown(number):
    if number != int(number):
        raise Bad("%s is not whole in this unit" % number)
    return "{:,}".format(int(number))


def said(text):
    """The number that a page has: 1,024 or 2^53 − 1."""
    base, _, power = text.replace(" − 1", "").replace(",", "").partition("^")
    return int(base) ** int(power or 1) - (1 if text.endswith("− 1") else 0)


def written(text, page):
    """The page with the numbers that its marks name."""
    def one(got):
        try:
            number = in_unit(got["name"], got["unit"] or "")
            if said(got["number"]) == number:
                return got[0]
            return "%s%s<!-- %s -->" % (shown(number), got["unit"] or "", got["name"])
        except (Bad, IndexError, ValueError) as error:
            raise SystemExit("%s: %s: %s" % (page, got["name"], error)) from error
    marks = len(re.findall(r"<!-- (?:[A-Z][A-Z_0-9]+|[a-z_]+/[A-Z_0-9]+|"
                           r"(?:policy|config)\.\w+) -->", text))
    if marks != len(MARK.findall(text)):
        raise SystemExit("%s: a mark without a number before it" % page)
    return MARK.sub(one, text)
