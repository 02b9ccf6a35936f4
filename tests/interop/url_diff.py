#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""url_sanitizer beside the real Collector's: the same texts through both, as attributes and as names of spans. Words of the
documentation that lies about, names as people make them, letters by chance, words close to the threshold, and paths of all
these with everything that a path can have in it.

usage: PEERS=DIR TAILRACE=build/tailrace url_diff.py [seed] [texts]"""
import glob
import os
import random
import re
import sys

sys.path.insert(0, os.path.dirname(__file__))
import peers  # noqa: E402
from url_measure import LETTERS, table_in_source  # noqa: E402
from url_texts import Texts  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
PROSE = ["/usr/share/dict/*", f"{HERE}/../../docs/*.md", f"{HERE}/../../*.md", f"{HERE}/../../*/*.[ch]", "/usr/share/doc/*/copyright",
         "/var/lib/apt/lists/*_Packages", "/usr/lib/python3*/*.py", "/usr/lib/python3/dist-packages/*/*.py"]
PUNCTUATION = "-_. :%1234567890~()\n\u00e9\u20ac"


def words():
    found = set()
    for path in (p for pattern in PROSE for p in glob.glob(pattern)):
        with open(path, errors="replace") as f:
            found.update(re.findall(r"[A-Za-z][A-Za-z0-9._-]*", f.read(50_000_000)))
    return sorted(found)


def by_chance(rng, alphabet, most):
    return "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, most)))


def close_ones(rng, n):
    """Of many words by chance, those nearest to the threshold."""
    weights = table_in_source()
    tries = [by_chance(rng, LETTERS, 20) for _ in range(40 * n)]
    return sorted(tries, key=lambda t: abs(sum(weights[a + b] for a, b in zip(t, t[1:]))) or 10**12)[:n]


def made_name(rng, some):
    parts = rng.choices(some, k=rng.randrange(1, 4))
    style = rng.randrange(5)
    if style == 0:
        return "".join(p[:1].upper() + p[1:] for p in parts)
    if style == 1:
        return rng.choice("-_. ").join(parts)
    if style == 2:
        return parts[0] + rng.choice(["", "-", "_"]) + str(rng.randrange(2000))
    if style == 3:
        return parts[0][:rng.randrange(1, 5)].upper()
    p = parts[0]
    at = rng.randrange(len(p))
    return p[:at] + rng.choice(PUNCTUATION) + p[at + rng.randrange(2):]


def path(rng, some):
    def part():
        kind = rng.randrange(8)
        if kind < 4:
            return rng.choice(some)
        return ["", str(rng.randrange(10**rng.randrange(1, 12))), by_chance(rng, "etaoinqxz1?", 9), by_chance(rng, "ab1", 5)][kind - 4]

    text = rng.choice(["", "/", "/", "GET /", "https://"]) + "/".join(part() for _ in range(rng.choice([1, 2, 3, 4, 9, 10, 11, 12, 14])))
    return text + rng.choice(["", "", "/", "?", "?a=1", "#x", "&y", "/?"])


def all_texts(rng, n):
    some = words()
    texts = rng.sample(some, min(len(some), n * 2 // 5))
    texts += [made_name(rng, some) for _ in range(n // 5)]
    texts += [by_chance(rng, LETTERS, 16) for _ in range(n // 20)] + [by_chance(rng, LETTERS.upper() + "esaontr-_.1", 16) for _ in range(n // 20)]
    texts += close_ones(rng, n // 20)
    texts += [a + c + b for c in map(chr, range(1, 128)) for a in ("", "a", "q", "th") for b in ("", "e", "x", "qx", "he")]
    texts += [by_chance(rng, "ab1/?", 30) for _ in range(n // 20)] + ["/" + by_chance(rng, "1/?*", 30) for _ in range(n // 50)]
    while len(texts) < n:
        texts.append(path(rng, some))
    return texts


def main():
    if not peers.peer("otelcol"):
        print("skipped: otelcol is not in PEERS")
        return 0
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    texts = all_texts(rng, int(sys.argv[2]) if len(sys.argv) > 2 else 50_000)
    running = []
    try:
        running = [Texts("otelcol"), Texts("tailrace")]
        theirs, ours = (t.both(texts) for t in running)
    finally:
        for t in running:
            t.stop()
    wrong = [(t, a, b) for t, a, b in zip(texts, theirs, ours) if a != b]
    for t, a, b in wrong[:20]:
        print(f"{t!r}\n  otelcol:  {a}\n  tailrace: {b}")
    kept = sum(a == t for (a, _), t in zip(theirs, texts))
    print(f"{len(texts)} texts, {kept} of them kept, as attributes and names: {len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
