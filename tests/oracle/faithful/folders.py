"""Folders of the cases: a base with one or two changes, written to disk.

`bases.json.gz` has each base's files, and its tensors as [name, shape, what]: `what` is a
scale (spread evenly around 0), "one" (around 1), "zero", "code" (a row of -1 and 1 for each
token) or "next" (the row of a token is the code of the one before it, so that a greedy
answer counts on). Numbers come from Python's generator, seeded with base and name.

A change is {file: {pointer: value}}: a value of the file, or None takes the key away; the
pointer "" sets or removes the whole file. Files of adapters begin with `adapter/`."""
import array
import copy
import gzip
import json
import os
import random
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
CODE_WIDTH = 64
GONE = "\0gone"  # a value that takes the key away


def load(name):
    with gzip.open(os.path.join(HERE, name), "rt", encoding="utf-8") as file:
        return json.load(file)


def save(name, value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    with open(os.path.join(HERE, name), "wb") as file:
        file.write(gzip.compress(text.encode(), 9, mtime=0))


def numbers(base, name, shape, what):
    """The bytes of a tensor."""
    dice = random.Random("%s/%s" % (base, name))
    count = 1
    for dim in shape:
        count *= dim
    if what == "zero":
        return bytes(4 * count)
    if what in ("code", "next"):
        dice = random.Random(base)
        rows = [array.array("f", (dice.choice((-1, 1)) for _ in range(shape[1])))
                for _ in range(shape[0])]
        rows = rows if what == "code" else rows[-1:] + rows[:-1]
        return b"".join(row.tobytes() for row in rows)
    middle, scale = (1, 0.2) if what == "one" else (0, what)
    return array.array("f", (middle + scale * (2 * dice.random() - 1)
                             for _ in range(count))).tobytes()


def tensor_file(base, tensors):
    head, data = {"__metadata__": {"format": "pt"}}, []
    at = 0
    for name, shape, what in sorted(tensors):
        part = numbers(base, name, shape, what)
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(part)]}
        at += len(part)
        data.append(part)
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(data)


def set_value(document, pointer, value):
    """Sets or removes what a JSON pointer names.  Returns the document."""
    if pointer == "":
        return value
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    place = document
    for part in parts[:-1]:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    last = int(parts[-1]) if isinstance(place, list) else parts[-1]
    if value != GONE:
        place[last] = value
    elif isinstance(place, list):
        del place[last]
    else:
        place.pop(last, None)
    return document


def difference(before, after, pointer=""):
    """The changes of one document that make it another."""
    if before == after and type(before) is type(after):
        return {}
    if isinstance(before, dict) and isinstance(after, dict):
        changes = {}
        for key in {**before, **after}:
            place = pointer + "/" + key.replace("~", "~0").replace("/", "~1")
            if key not in after:
                changes[place] = GONE
            elif key not in before:
                changes[place] = after[key]
            else:
                changes.update(difference(before[key], after[key], place))
        return changes
    return {pointer: after}


class Base:
    """The files of a folder; tensors are made once."""

    def __init__(self, name, parts):
        self.name, self.files, self.tensors = name, parts["files"], parts["tensors"]
        self.adapter = parts.get("adapter")
        self.made = {}

    def weights(self, tensors):
        key = json.dumps(tensors)
        if key not in self.made:
            self.made[key] = tensor_file(self.name, tensors)
        return self.made[key]

    def changed(self, patch):
        files = copy.deepcopy(self.files)
        files["tensors"] = copy.deepcopy(self.tensors)
        if self.adapter:
            files["adapter/adapter_config.json"] = copy.deepcopy(self.adapter["config"])
            files["adapter/tensors"] = copy.deepcopy(self.adapter["tensors"])
        for name, changes in patch.items():
            for pointer, value in changes.items():
                files[name] = set_value(files.get(name, {}), pointer, copy.deepcopy(value))
        return files

    def write(self, files, folder):
        """Writes the folder, and its adapter to FOLDER.adapter if it has one."""
        for name, value in files.items():
            if value == GONE:
                continue
            root = folder + ".adapter" if name.startswith("adapter/") else folder
            path = os.path.join(root, name.replace("adapter/", "", 1))
            if name.endswith("tensors"):
                path = os.path.join(root, ("adapter_" if root != folder else "") +
                                    "model.safetensors")
                value = self.weights(value)
            elif not isinstance(value, str) or name.endswith(".json"):
                value = json.dumps(value, ensure_ascii=False).encode()
            else:
                value = value.encode()
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(value)


def bases():
    return {name: Base(name, parts) for name, parts in load("bases.json.gz").items()}
