#!/usr/bin/env python3
"""A copy of a llama model under the name of an architecture that only llama.cpp's
library knows, and computes as llama.

usage: unknown_model.py MODEL.gguf COPY.gguf"""
import sys


def write(path, copy):
    with open(path, "rb") as file:
        data = file.read().replace(b"llama.", b"dream.")
    key = b"general.architecture"
    begin, end = data.split(key, 1)
    with open(copy, "wb") as file:
        file.write(begin + key + end.replace(b"llama", b"dream", 1))


if __name__ == "__main__":
    write(*sys.argv[1:])
