"""Rows of the .def tables, for the programs that write from them."""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def rows(path, macro):
    """Arguments of each MACRO(...) line of a table, strings without quotes."""
    text = open(os.path.join(ROOT, path), encoding="utf-8").read()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
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
