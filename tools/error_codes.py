"""Headers with the codes of base/errors.def, a header for each family of ids.

A family is the first word of an id: `rest.auth` stands in
<flotilla/errors/rest.h>. Only files that name such a code include it, so that
a new row compiles these again and no others. Codes that many files name stand
in <flotilla/errors/core.h>, which base.h includes: CORE is closed, because a
new row there compiles everything again. tools/rebuilds.py holds the limit.
"""
import collections
import os
import sys

from deftable import ROOT, rows

FOLDER = "base/include/flotilla/errors"
# Numbers of a family: -1 - BLOCK * its place here. A new family goes to the
# end, so that no other's numbers change.
BLOCK = 32
FAMILIES = """core cli cfg release group device rollout blob login keys rest
enrol mqtt certificate local state clock db ca net gate lead order neighbour sig
trust meta cmd target patch bundle gguf model probe engine worker hook soak
infer runtime step batch outbox audit disk memory fleet io process
sandbox benchmark draft""".split()
CORE = """INTERNAL MEMORY NOT_BUILT INTERRUPTED USAGE ABSENT STATE IO_OPEN
IO_READ IO_WRITE DISK_FULL CFG_RANGE DB NET_UNREACHABLE BLOB_ABSENT REST_SCHEMA
REST_MEANING REST_LIMIT META_TOO_LARGE META_SCHEMA META_NAME TARGET_HASH
ENGINE_CRASH INFER_PARAM INFER_TOO_LONG INFER_BUSY MODEL_NONFINITE""".split()


def families():
    """Rows (name, id) of each family that has any, in the order of the table;
    the core's in the order of CORE, because these numbers stay."""
    table = {row[0]: row[1] for row in rows("base/errors.def", "FLO_ERROR")}
    found = collections.OrderedDict((f, []) for f in FAMILIES)
    found["core"] = [(name, table.pop(name)) for name in CORE]
    for name, ident in table.items():
        family = ident.split(".")[0]
        if family not in found:
            sys.exit("base/errors.def: %s: add its family `%s` to the end of "
                     "FAMILIES in tools/error_codes.py" % (name, family))
        found[family].append((name, ident))
    for family, codes in found.items():
        if len(codes) > BLOCK:
            sys.exit("base/errors.def: more than %d ids begin with `%s.`"
                     % (BLOCK, family))
    return collections.OrderedDict((f, c) for f, c in found.items() if c)


def header(family, codes):
    """The text of a family's header."""
    first = -1 - BLOCK * FAMILIES.index(family)
    lines = ["    FLO_E_%s = %d," % (name, first - place)
             for place, (name, _) in enumerate(codes)]
    wide = max(map(len, lines))
    which = ("that many files name" if family == "core" else
             "whose ids begin with `%s.`" % family)
    guard = "FLOTILLA_ERRORS_%s_H" % family.upper()
    return ("/* Codes of the errors %s.\n * Made by `make docs` from "
            "`base/errors.def`; change the table, not this\n * file. */\n"
            "#ifndef %s\n#define %s\n\nenum {\n%s\n};\n\n#endif\n" % (
                which, guard, guard, "\n".join(
                    "%s /* %s */" % (line.ljust(wide), ident)
                    for line, (_, ident) in zip(lines, codes))))


def everything(names):
    """The text of the header of all codes."""
    return ("/* Codes of all errors: for the file that holds their table, and for "
            "programs\n * of others.  Made by `make docs` from "
            "`base/errors.def`. */\n"
            "#ifndef FLOTILLA_ERRORS_ALL_H\n#define FLOTILLA_ERRORS_ALL_H\n\n"
            "%s\n\n#endif\n" % "\n".join(
                "#include <flotilla/errors/%s.h>" % n for n in sorted(names)))


def pages():
    """Text of each header by its path."""
    found = families()
    out = {"%s/%s.h" % (FOLDER, f): header(f, c) for f, c in found.items()}
    out[FOLDER + "/all.h"] = everything(found)
    return out


def left_over():
    """Headers of families that have no row any more."""
    folder = os.path.join(ROOT, FOLDER)
    there = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return sorted({"%s/%s" % (FOLDER, n) for n in there} - set(pages()))
