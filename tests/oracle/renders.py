#!/usr/bin/env python3
"""Chat renderings against a set of reference answers: run by hand.

usage: renders.py FOLDER [NAME ...]   (needs build/bin/flotilla-model)

FOLDER has hf/NAME/chat_template.jinja and truth/NAME/renders.json.  A case
with a text must give it byte for byte; one that must be refused is refused by
the template.  Others are not counted."""
import json
import pathlib
import subprocess
import sys

PROGRAM = pathlib.Path(__file__).parents[2] / "build" / "bin" / "flotilla-model"
ANSWERS = ("text", "ids", "error", "must_refuse")


def is_right(template, case, shared):
    asked = {k: v for k, v in case.items() if k not in ANSWERS} | shared
    done = subprocess.run([PROGRAM, "render", "--model", template],
                          input=json.dumps(asked).encode(),
                          capture_output=True)
    if "text" in case:
        return done.returncode == 0 and done.stdout == case["text"].encode()
    return b"error[infer.param]" in done.stderr


def main():
    folder, names = pathlib.Path(sys.argv[1]), sys.argv[2:]
    right = total = 0
    for path in sorted(folder.glob("truth/*/renders.json")):
        name = path.parent.name
        if names and name not in names:
            continue
        answers = json.loads(path.read_text())
        shared = {k: answers[k] for k in ("now", "bos_token", "eos_token")}
        cases = [c for c in answers["cases"]
                 if "text" in c or c.get("must_refuse")]
        wrong = [c["case"] for c in cases
                 if not is_right(folder / "hf" / name / "chat_template.jinja",
                                 c, shared)]
        right += len(cases) - len(wrong)
        total += len(cases)
        print(f"{name}: {len(cases) - len(wrong)} of {len(cases)}", *wrong)
    print(f"{right} of {total} are equal")
    return 0 if 0 < right == total else 1


if __name__ == "__main__":
    sys.exit(main())
