#!/usr/bin/env python3
"""Play a golden file (format flotilla-golden-1) against a model.

  play_golden.py --bin build/bin MODEL GOLDEN [--expect N]

A case passes when its ids are those expected (where the file gives them) and
its text holds every must_contain.  The prompt's ids come from the file and,
in a second pass, from the engine's own chat template.  Exit code 0 when as
many cases pass as --expect says (default: all)."""
import argparse
import json
import os
import subprocess
import sys


def ask(args, program, *words):
    result = subprocess.run([os.path.join(args.bin, program), *words],
                            capture_output=True)
    if result.returncode != 0:
        raise SystemExit(result.stderr.decode(errors="replace"))
    return result.stdout


def passes(args, case):
    common = ["--model", args.model, "--ctx", "512", "--threads", args.threads,
              "--n", str(case["max_new_tokens"]), "--temp", "0"]
    tokens = ",".join(map(str, case["input_tokens"]))
    ids = ask(args, "flotilla-model", "generate", *common, "--tokens", tokens,
              "--ids", "--stop")
    text = ask(args, "flotilla-engine", "run", *common, "--prompt",
               case["prompt"])
    text = text.decode(errors="replace")
    expected = case.get("expect_tokens")
    is_same = expected is None or [int(i) for i in ids.split()] == expected
    return is_same and all(word in text for word in case["must_contain"])


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--bin", default="build/bin")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--expect", type=int)
    parser.add_argument("model")
    parser.add_argument("golden")
    args = parser.parse_args()
    with open(args.golden, encoding="utf-8") as file:
        cases = json.load(file)["cases"]
    failed = [case["id"] for case in cases if not passes(args, case)]
    passed = len(cases) - len(failed)
    print(f"{args.model}: {passed}/{len(cases)}", *failed)
    expected = len(cases) if args.expect is None else args.expect
    sys.exit(passed != expected)


if __name__ == "__main__":
    main()
