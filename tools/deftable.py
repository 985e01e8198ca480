"""Rows of the .def tables, for the programs that write from them."""
import functools
import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def expanded(path, *options):
    """A file as the compiler sees it: with the rows that it makes of tables.  It
    reads no headers."""
    return subprocess.run(
        ["cc", "-E", "-P", "-x", "c", "-I", ROOT, *options, "-"],
        input=re.sub(r'^#include .*\.h[>"]$', "", read(path), flags=re.M),
        stdout=subprocess.PIPE, text=True, check=True).stdout


@functools.cache
def text_of(path, macro):
    """A table without comments.  One that includes another has the rows that the
    compiler sees: those that it makes of the other's."""
    text = read(path)
    if "#include" in text:
        text = expanded(path, "-D%s=%s" % (macro, macro))
        text = re.sub(r"\)\s*(?=FLO_[A-Z_]+\()", ")\n", text)
    return re.sub(r"/\*.*?\*/|^#.*?$", "", text, flags=re.S | re.M)


def rows(path, macro):
    """Arguments of each MACRO(...) line of a table, strings without quotes."""
    text = text_of(path, re.sub(r"\W", "", macro))
    for call in re.finditer(macro + r"\((.*?)\)\s*$", text, flags=re.S | re.M):
        cells = re.findall(r'((?:"(?:[^"\\]|\\.)*"\s*)+|[^,"\s][^,"]*)(?:,|$)',
                           call.group(1))
        out = []
        for cell in cells:
            strings = re.findall(r'"((?:[^"\\]|\\.)*)"', cell)
            out.append("".join(strings) if strings or '"' in cell
                       else cell.strip())
        yield [c.replace("\\\"", '"') for c in out]


def table(head, lines):
    esc = lambda c: str(c).replace("|", "\\|").replace("\n", " ")
    out = ["| " + " | ".join(head) + " |",
           "| " + " | ".join("---" for _ in head) + " |"]
    out += ["| " + " | ".join(esc(c) for c in line) + " |" for line in lines]
    return "\n".join(out) + "\n"
