"""The engine's goals next to llama.cpp's figures, and their tables."""
import collections

REPACKED = ("Q4_0", "IQ4_NL", "Q4_K", "Q2_K")   # by llama.cpp on x86
FLOATS = ("F16", "BF16", "F32")

# Ratio to the best peer: (goal, floor), by the type of most weights.
PROMPT = {"Q4_1": (4, 3), "Q5_1": (4, 3), "Q8_0": (3, 2), "Q5_0": (3, 2),
          "Q4_0": (1.8, 1.3), "IQ4_NL": (1.8, 1.3), "F16": (1.2, 1.05),
          "BF16": (1.2, 1.05), "F32": (1.2, 1.05)}
PROMPT_K = (1.25, 1.05)
SINGLE = {1: (1.5, 1.25), 2: (1.8, 1.4)}
SINGLE_FLOAT = {1: (1.2, 1.15), 2: (1.4, 1.2)}
DEEP, BUSY, LOAD = (2.8, 2), (8, 5), (10, 5)
FIRST = {"first32": {"Q4_1": (4, 2), "Q4_0": (2.5, 2), "K": (1.5, 1.3)},
         "first512": {"Q4_1": (4, 3), "Q4_0": (1.8, 1.5), "K": (1.3, 1.1)}}
MEMORY_REPACKED, MEMORY = (0.6, 0.7), (0.75, 0.85)
FORM = (0.0, 0.15)          # milliseconds added per token

# A class of CPU: the kernels that play it, here and of the peer; the flag
# without which a CPU cannot; the goals of prompts and of generation.
Class = collections.namedtuple(
    "Class", "title kernel library flag prompt single")
CLASSES = {
    "amx": Class("AMX", "avx512", "sapphirerapids", "amx_int8", 2, 1.5),
    "avx512": Class("AVX-512", "avx512", "zen4", "avx512_bf16", 2, 1.5),
    "avx-vnni": Class("AVX-VNNI", "avx-vnni", "alderlake", "avx_vnni", 1.5,
                      1.5),
    "avx2": Class("AVX2", "avx2", "haswell", "avx2", 1.5, 1.5),
    "avx": Class("AVX", "avx", "sandybridge", "avx", 1.2, 1.2),
    "sse42": Class("SSE4.2", "sse42", "sse42", "sse4_2", 1.2, 1.2),
    # Its goal is in counted instructions: neon.py counts them.
    "neon": Class("NEON", "neon-dotprod", "armv8.2_1", "asimddp", None, None),
}
CLASS_TESTS = {"p128": "prompt of 128, tokens/s",
               "g32": "generation of 32, tokens/s",
               "products": "products, GOP/s of the VNNI rate"}
VNNI_SHARE = 0.7            # of what bench_roof measures
# Why a goal is missed: {(class, type, test): ...}; * for all types.
REASONS = {
    ("avx512", "*", "products"): "of 92 instructions on the two vector ports "
    "64 multiply, 28 convert, scale and shift: 0.70 at most",
    ("avx2", "Q8_0", "p128"): "three of four instructions per 32 columns of "
    "8 rows need the ports that multiply",
}

# Tokens per second of the better peer, measured on 2 cores of a Zen 5
# server: {model: {(test, threads): speed}}.
FIGURES = {
    "smollm2-Q4_1": (257, 239, 156, 473, 456, 157),
    "smollm2-Q4_0": (1002, 822, 221, 1706, 1552, 235),
    "smollm2-Q8_0": (529, 505, 147, 987, 940, 159),
    "smollm2-Q4_K_M": (510, 463, 158, 908, 860, 153),
    "smollm2-F16": (661, 612, 105, 1188, 1144, 114),
    "qwen05-Q4_0": (346, 318, 70, 632, 529, 90),
    "qwen05-Q8_0": (181, 178, 49, 332, 329, 60),
    "qwen05-Q4_K_M": (166, 164, 54, 301, 300, 61),
    "llama1b-Q4_0": (138, 134, 31.3, 250, 236, 47.5),
    "llama1b-Q8_0": (74, 74, 19.6, 138, 131, 29.8),
    "llama1b-Q4_K_M": (203, 201, 31.4, 335, 361, 46.1),
}
# The same machine on one thread.
FIGURES_ROOF = {"integer_gops": 1037, "float_gflops": 257, "read_gbytes": 42}
VOID_BELOW = 0.9
COLUMNS = (("p128", 1), ("p512", 1), ("g128", 1), ("p128", 2), ("p512", 2),
           ("g128", 2))

TITLES = {
    "p128": "Prompt of 128 tokens, tokens/s",
    "p512": "Prompt of 512 tokens, tokens/s",
    "g128": "Generation, 128 tokens, tokens/s",
    "g32@2048": "Generation behind 2,048 tokens, tokens/s",
    "busy": "Generation beside `stress-ng --cpu 8`, 2 threads, tokens/s",
    "load": "Warm load to ready, ms",
    "first32": "First token from process start, prompt of 32, ms",
    "first512": "First token from process start, prompt of 512, ms",
    "rss": "RSS after a prompt of 512 tokens, MB (share of the peer's)",
    "form": "Choosing a token behind a JSON Schema, ms added per token",
}


def main_type(types):
    """The type of most weights: a Q4_K_M file whose rows are no multiple of
    256 is Q5_0 and Q8_0 inside, and counts as those."""
    return max(types, key=types.get)


def is_repacked(types):
    return any(t in REPACKED for t in types)


def class_tests(cpu):
    return [t for t in CLASS_TESTS if t != "products" or cpu == "avx512"]


def targets(point):
    """(goal, floor), or None where there is none."""
    kind = main_type(point.model.types)
    test = point.test
    if point.cpu:
        cpu = CLASSES[point.cpu]
        goal = {"p128": cpu.prompt, "g32": cpu.single,
                "products": VNNI_SHARE}[test]
        return goal and (goal, goal)
    if test in ("p128", "p512"):
        return PROMPT.get(kind, PROMPT_K)
    if test == "g128":
        table = SINGLE_FLOAT if kind in FLOATS else SINGLE
        return table.get(point.threads, table[2])
    if test in FIRST:
        name = "K" if "_K" in kind or kind == "IQ4_XS" else kind
        return FIRST[test].get(name)
    if test == "rss":
        return MEMORY_REPACKED if kind in REPACKED else MEMORY
    return {"g32@2048": DEEP, "busy": BUSY, "load": LOAD, "form": FORM}[test]


def verdict(point, result):
    """Which of the two is met."""
    wanted = targets(point)
    got = result["ours"] if point.test == "form" and "ours" in result else \
        result.get("ratio")
    if wanted is None or got is None:
        return {}
    is_less = point.test in ("rss", "form")
    met = [got <= w if is_less else got >= w for w in wanted]
    if point.test == "busy" and result["ours"] < 0.95 * \
            result["own_one_thread"]:
        met = [False, False]
    return {"goal": wanted[0], "floor": wanted[1],
            "met": "goal" if met[0] else "floor" if met[1] else "missed"}


def scale(point, roof):
    """This machine's part of what the figures' machine can do at the bound of
    this test: arithmetic for prompts, reading memory for generation."""
    if not roof:
        return 1.0
    bound = "read_gbytes" if point.test[0] == "g" else \
        "float_gflops" if main_type(point.model.types) in FLOATS else \
        "integer_gops"
    return min(1.0, roof[bound] / FIGURES_ROOF[bound])


def share_of_figure(point, result, roof):
    """The peer's share of its figure, scaled to this machine."""
    row = FIGURES.get(point.model.name)
    column = (point.test, point.threads)
    if row is None or column not in COLUMNS or "value" not in result:
        return None
    return result["value"] / (row[COLUMNS.index(column)] *
                              scale(point, roof))


def number(test, value):
    if test == "rss":
        return "%.0f" % (value / 1e6)
    if test == "form":
        return "%.3f" % value
    return ("%.1f" if value < 100 else "%.0f") % value


def line(point, result):
    """One line for people that wait."""
    if "error" in result:
        return "failed: " + result["error"]
    text = "ours " + number(point.test, result["ours"])
    if "value" in result:
        text += "  peer %s [%s]" % (number(point.test, result["value"]),
                                    result["peer"])
    if "ratio" in result:
        text += "  ratio %.2f (%.2f to %.2f)" % (
            result["ratio"], result["low"], result["high"])
    if "own_one_thread" in result:
        text += "  own 1 thread %s" % number(point.test,
                                             result["own_one_thread"])
    met = verdict(point, result).get("met")
    return text + ("  " + met if met else "")


def cells(point, result, roof):
    told = verdict(point, result)
    share = share_of_figure(point, result, roof)
    has_peer = "value" in result
    ours = number(point.test, result["ours"])
    if "own_one_thread" in result:
        ours += " (1 thread %s)" % number(point.test,
                                          result["own_one_thread"])
    return [point.model.name, str(point.threads), ours,
            number(point.test, result["value"]) if has_peer else "",
            result.get("peer", ""),
            "%.2f (%.2f–%.2f)" % (result["ratio"], result["low"],
                                  result["high"])
            if "ratio" in result else "",
            "%g · %g" % (told["goal"], told["floor"]) if told else "",
            told.get("met", ""),
            "" if share is None else "%.2f%s" % (
                share, " void" if share < VOID_BELOW else "")]


def table(rows, flags, build, roof):
    """Markdown, a section for each test."""
    lines = ["Build %s. Ratio: median of rounds in turns (lowest to highest)"
             " against the peer and settings that do best against us."
             % build, ""]
    lines += ["Peer %s: %s" % item for item in sorted(flags.items())] + [""]
    if roof:
        lines += ["One thread of this machine, and of the one that the peer's"
                  " figures are from: " + ", ".join(
                      "%s %g of %g" % (k, roof[k], FIGURES_ROOF[k])
                      for k in FIGURES_ROOF) + ". The last column is the "
                  "peer's part of its figure scaled by these; below 0.9 the "
                  "point is void (busy machine, or a peer built badly).", ""]
    for test, title in TITLES.items():
        mine = [(p, r) for p, r in rows if p.test == test
                and "error" not in r]
        if not mine:
            continue
        lines += ["### " + title, "",
                  "| model | threads | ours | peer | its best settings | "
                  "ratio | goal · floor | met | of its scaled figure |",
                  "|---|---|---|---|---|---|---|---|---|"]
        lines += ["| %s |" % " | ".join(cells(p, r, roof))
                  for p, r in mine] + [""]
    failed = ["- %s: %s" % (p.key, r["error"]) for p, r in rows
              if "error" in r]
    return "\n".join(lines + (["Not measured:", ""] + failed if failed
                              else [])) + "\n"


def class_cells(point, result):
    """The test's figures, what was wanted, and what came of it."""
    wanted = targets(point)
    cells = [CLASS_TESTS[point.test], "", "", "", "%g" % wanted[0]
             if wanted else "counted instructions"]
    if result is None or "error" in result:
        return cells + ["not measured yet" if result is None else
                        "failed: " + result["error"]]
    cells[1] = number(point.test, result["ours"])
    if "value" not in result:
        return cells + ["ours alone"]
    cells[2] = number(point.test, result["value"])
    cells[3] = "%.2f (%.2f–%.2f)" % (result["ratio"], result["low"],
                                     result["high"])
    if verdict(point, result).get("met") != "missed":
        return cells + ["met" if wanted else ""]
    kind = main_type(point.model.types)
    return cells + ["missed: " + next(
        (REASONS[key] for key in ((point.cpu, kind, point.test),
                                  (point.cpu, "*", point.test))
         if key in REASONS), "no reason is known")]


def class_table(rows, absent, build):
    """Markdown of all classes: [(point, result, None or of another build)],
    {class that this machine cannot play: reason}."""
    lines = ["Build %s. One thread, per second of processor time; ratio: "
             "median of rounds in turns (lowest to highest)." % build, "",
             "| class: kernels · peer's | model | test | ours | peer's | "
             "ratio | goal | result |",
             "|---|---|---|---|---|---|---|---|"]
    for name, cpu in CLASSES.items():
        title = "%s: %s · %s" % (cpu.title, cpu.kernel, cpu.library)
        if name in absent:
            goals = "%g · %g" % (cpu.prompt, cpu.single) if cpu.prompt else \
                "counted instructions"
            lines.append("| %s | | | | | | %s | not measured here: %s |" % (
                title, goals, absent[name]))
        for point, result in rows:
            if point.cpu == name:
                if result and result.get("build") != build:
                    result = None
                lines.append("| %s |" % " | ".join(
                    [title, point.model.name,
                     *class_cells(point, result)]))
    return "\n".join(lines) + "\n"
