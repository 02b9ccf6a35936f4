#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures which words url_sanitizer of the real Collector takes for words, and prints the table of
processors/obfuscate_words.c, or compares it with the one that stands there.

What it measures: a segment of letters and spaces stays when the sum of a weight for each two neighbours is above zero. Only
such decisions are seen, many thousand in one request, and every weight is found from them:
  1. Closed walks. Through the letter e lead 703 of them: e, then i and j, then e again. Repeated n times beside m rounds of a
     walk of the other sign, in one long segment, they stay or go by the sign of n * w - m * r, so that each answer is a
     comparison of w / r with a fraction. Fractions are halved as in the Stern-Brocot tree, to segments of 300,000 letters:
     that leaves an error of some 1e-9.
  2. Open walks. From e to j a walk passes one step more than closed ones. Four closed walks whose sum is just not the step's
     weight decide on which side of it they are, and so on.
  3. The scale. In a table of likelihoods the rows add up to 1. That they do with one scale for all 27 rows, to 1e-8, shows
     that it is one; and within a row they are ratios of whole numbers, to which they are rounded.

usage: PEERS=DIR url_measure.py [check]"""
import bisect
import math
import os
import random
import re
import sys

sys.path.insert(0, os.path.dirname(__file__))
import peers  # noqa: E402
from url_texts import Texts  # noqa: E402

LETTERS = "abcdefghijklmnopqrstuvwxyz "
LONGEST = 300_000
THRESHOLD = 0.015099318064947853 # of the mean likelihood: known, and confirmed by all rows adding up to 1 with it
UNIT = 1e-8
SOURCE = os.path.join(os.path.dirname(__file__), "../../processors/obfuscate_words.c")


def ask_all(texts, questions):
    """Runs generators that yield segments and get whether they stay; {name: what each returned}."""
    answers, asked = {}, {name: next(q) for name, q in questions.items()}
    while asked:
        names = list(asked)
        kept = texts.kept([asked[n] for n in names])
        asked = {}
        for name, stays in zip(names, kept):
            try:
                asked[name] = questions[name].send(stays)
            except StopIteration as end:
                answers[name] = end.value
    return answers


def ratio(segment):
    """Between which two fractions lies r, where segment(m, n) stays when n * r > m? Returns (a, b, c, d): a/b < r < c/d."""
    a, b, c, d = 0, 1, 1, 0
    while len(segment(a + c, b + d)) <= LONGEST:
        stays = yield segment(a + c, b + d)

        def step(k):
            return (a + k * c, b + k * d) if stays else (c + k * a, d + k * b)

        good, bad = 1, 2 # as many steps the same way as lead to the same answer
        while len(segment(*step(bad))) <= LONGEST and (yield segment(*step(bad))) == stays:
            good, bad = bad, 2 * bad
        while bad - good > 1:
            k = (good + bad) // 2
            if len(segment(*step(k))) <= LONGEST and (yield segment(*step(k))) == stays:
                good = k
            else:
                bad = k
        if stays:
            a, b = step(good)
        else:
            c, d = step(good)
    return a, b, c, d


def closed_walks(texts):
    """{letters behind e: weight}, in units of the weight of ee; and the largest relative error."""
    walks = dict.fromkeys((i if i != "e" else "") + (j if j != "e" else "") + "e" for i in LETTERS for j in LETTERS)
    del walks["e"]
    positive = dict(zip(walks, texts.kept(["e" + w * 200 for w in walks])))
    down = "qe" # a walk below zero
    assert not positive[down]

    def question(w):
        if positive[w]:
            return ratio(lambda m, n: "e" + w * n + down * m)
        return ratio(lambda m, n: "e" + w * m + "e" * n)

    found = ask_all(texts, {w: question(w) for w in walks})

    def middle(w):
        a, b, c, d = found[w]
        return (a / b + c / d) / 2

    unit = 1 / middle(down)
    weights = {w: middle(w) * unit if positive[w] else -1 / middle(w) for w in walks}
    errors = {w: 1 / (b * d) / (a / b) for w, (a, b, c, d) in found.items()}
    return dict(weights, e=1.0), errors


class Sums:
    """Sums of four closed walks near any number."""

    def __init__(self, walks):
        names = sorted(walks)
        self.pairs = sorted((walks[a] + walks[b], a, b) for i, a in enumerate(names) for b in names[i:])

    def near(self, target):
        i, j, best = 0, len(self.pairs) - 1, (math.inf, 0, 0)
        while i <= j:
            off = self.pairs[i][0] + self.pairs[j][0] - target
            best = min(best, (abs(off), i, j))
            i, j = (i + 1, j) if off < 0 else (i, j - 1)
        p, q = self.pairs[best[1]], self.pairs[best[2]]
        return p[1] + p[2] + q[1] + q[2], p[0] + q[0]


def open_walk(sums, j):
    """The weight of the step from e to j."""
    low, high = -60.0, 60.0
    while high - low > 1e-8:
        walk, total = sums.near(-(low + high) / 2)
        if not low < -total < high:
            break
        if (yield "e" + walk + j):
            low = -total
        else:
            high = -total
    return (low + high) / 2


def steps(walks, first):
    """{two letters: weight} from the closed walks and the steps away from e."""
    w = {"ee": 1.0}
    for j in first:
        w["e" + j], w[j + "e"] = first[j], walks[j + "e"] - first[j]
    for i in first:
        for j in first:
            w[i + j] = walks[i + j + "e"] - w["e" + i] - w[j + "e"]
    return w


def scale_of(w, i):
    """With which the row adds up to 1."""
    low, high = 0.01, 2.0
    for _ in range(100):
        s = (low + high) / 2
        if sum(THRESHOLD * math.exp(s * w[i + j]) for j in LETTERS) < 1:
            low = s
        else:
            high = s
    return low


def whole_numbers(likely):
    """The row as ratios of whole numbers."""
    least = min(likely.values())
    for base in range(1, 3000):
        row = {j: p / least * base for j, p in likely.items()}
        if all(abs(v - round(v)) < 0.002 + v * 1e-6 for v in row.values()):
            return {j: round(v) for j, v in row.items()}
    raise AssertionError("a row is not made of whole numbers")


def measure(texts):
    walks, errors = closed_walks(texts)
    sure = [w for w in errors if errors[w] < 2e-8]
    sums = Sums({w: walks[w] for w in random.Random(1).sample(sure, 450)})
    first = ask_all(texts, {j: open_walk(sums, j) for j in LETTERS if j != "e"})
    w = steps(walks, first)
    scales = [scale_of(w, i) for i in LETTERS]
    scale = sorted(scales)[len(scales) // 2]
    print(f"scale {scale:.9f}, rows differ by {max(abs(s - scale) for s in scales):.1e}", file=sys.stderr)
    table, rounding = {}, 0
    for i in LETTERS:
        row = whole_numbers({j: THRESHOLD * math.exp(scale * w[i + j]) for j in LETTERS})
        for j in LETTERS:
            exact = math.log(row[j] / sum(row.values()) / THRESHOLD)
            rounding = max(rounding, abs(exact - scale * w[i + j]))
            table[i + j] = round(exact / UNIT)
    print(f"rounded by at most {rounding:.1e}", file=sys.stderr)
    return table


def lines_of(table):
    for i in LETTERS:
        row = [f"{table[i + j]}," for j in LETTERS]
        yield f"    /* {i if i != ' ' else 'space'} */"
        for k in range(0, 27, 9):
            yield "    " + " ".join(row[k:k + 9])


def table_in_source():
    with open(SOURCE) as f:
        text = f.read().split("words_weights", 1)[1].split("};", 1)[0].split("{", 1)[1]
    numbers = [int(n) for n in re.findall(r"-?\d+", re.sub(r"/\*.*?\*/", "", text, flags=re.S))]
    return dict(zip((i + j for i in LETTERS for j in LETTERS), numbers))


def main():
    if not peers.peer("otelcol"):
        print("skipped: otelcol is not in PEERS")
        return 0
    texts = Texts("otelcol")
    try:
        table = measure(texts)
    finally:
        texts.stop()
    if "check" not in sys.argv[1:]:
        print("\n".join(lines_of(table)))
        return 0
    same = table_in_source() == table
    print("the table is what was measured" if same else "the table is not what was measured")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
