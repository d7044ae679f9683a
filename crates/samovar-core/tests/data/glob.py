#!/usr/bin/env python3
"""Asks a real Redis which names patterns match, and writes glob.tsv: pattern, name, 1 or 0.

Starts a redis-server of its own on a socket in a temporary directory, and ends it. See README.md.
"""
import pathlib
import random
import socket
import subprocess
import tempfile
import time

PATTERNS, NAMES = 300, 200
SIGNS = ["a", "b", "c", "-", "[", "]", "^", "\\", "*", "?", "é"]
# Cases that chance may miss.
KNOWN = ["*", "**", "?", "[", "[^", "[]", "[^]", "[a", "[a-", "[a-]", "[a-\\]]", "[\\", "[a\\", "\\", "a\\",
         "[c-a]", "[a-é]", "[é-a]", "[^a-é]*", "[--a]", "[\\]-c]", "[^^]", "a*b*c", "*[^a]*", "\\*", "**a**"]


def command(*words):
    words = [word.encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def answer(stream):
    line = stream.readline()
    kind, rest = line[:1], line[1:-2]
    if kind == b"*":
        return [answer(stream) for _ in range(int(rest))]
    if kind == b"$":
        return stream.read(int(rest) + 2)[:-2].decode()
    if kind in (b"+", b":"):
        return rest
    raise SystemExit(f"Redis answered {line!r}")


def main():
    rng = random.Random(20_240_601)
    text = lambda most: "".join(rng.choice(SIGNS) for _ in range(rng.randint(1, most)))
    drawn = [text(6) for _ in range(PATTERNS)]
    # Few names match what is drawn; more match it with a star.
    patterns = list(dict.fromkeys(KNOWN + drawn + [glob + "*" for glob in drawn] + [f"*{glob}*" for glob in drawn]))
    names = ["", "a", "b", "c", "-", "]", "^", "\\", "*", "é"]
    names += sorted({text(4) for _ in range(NAMES)} - set(names))
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/redis.sock"
        options = ["--port", "0", "--unixsocket", path, "--save", "", "--dir", directory, "--loglevel", "warning"]
        server = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        try:
            while not pathlib.Path(path).exists():
                if server.poll() is not None:
                    raise SystemExit("redis-server has not started")
                time.sleep(0.01)
            with socket.socket(socket.AF_UNIX) as link:
                link.connect(path)
                stream = link.makefile("rwb")

                def ask(*words):
                    stream.write(command(*words))
                    stream.flush()
                    return answer(stream)

                for name in names:
                    ask("SET", name, "")
                for pattern in patterns:
                    found = set(ask("KEYS", pattern))
                    hits = [name for name in names if name in found]
                    misses = [name for name in names if name not in found]
                    # The most telling misses are those that resemble the pattern: the known names come first.
                    rows += [(pattern, name, 1) for name in hits[:8]] + [(pattern, name, 0) for name in misses[:4]]
                    rows += [(pattern, name, 0) for name in rng.sample(misses, min(2, len(misses)))]
        finally:
            server.terminate()
            server.wait()
    lines = [f"{pattern}\t{name}\t{matches}\n" for pattern, name, matches in dict.fromkeys(rows)]
    pathlib.Path(__file__).with_name("glob.tsv").write_text("".join(lines), encoding="utf-8")


main()
