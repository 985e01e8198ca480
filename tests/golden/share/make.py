#!/usr/bin/env python3
"""Golden numbers of core/gate/share.c, by exact fractions: no incomplete beta
function, but sums of binomial terms.  Writes vectors.txt next to it."""
import math
import os
from fractions import Fraction

ALPHA_WEIGHT = [(Fraction(3, 100), Fraction(15, 100)),
                (Fraction(5, 100), Fraction(20, 100))]


def ln(fraction):
    """The float of a fraction that may lie far outside of a float's range."""
    def of(whole):
        bits = max(whole.bit_length() - 900, 0)
        return math.log(whole >> bits) + bits * math.log(2)
    return of(fraction.numerator) - of(fraction.denominator)


def tail(n, p, k):
    """P(Bin(n, p) >= k)."""
    return sum(math.comb(n, i) * p ** i * (1 - p) ** (n - i)
               for i in range(k, n + 1))


def ln_against(k, m, p):
    """ln of B(1+k, 1+m) / (p^k (1-p)^m)."""
    ln_beta = -math.log(k + m + 1) - ln(Fraction(math.comb(k + m, k)))
    return (ln_beta - (k * math.log(p) if k else 0)
            - (m * math.log1p(-p) if m else 0))


def bound(k, m, outside):
    inside = k / (k + m)
    for _ in range(200):
        middle = (inside + outside) / 2
        if ln_against(k, m, middle) < math.log(20):
            inside = middle
        else:
            outside = middle
    return inside


def line(limit, alpha, weight, bad, done, members):
    k, m, p = bad, done - bad, Fraction(limit) / 100
    low, high = 0.0, 100.0
    ln_e, chance = 0.0, 1.0
    if done and p > 0:
        low = 100 * bound(k, m, 0) if k else 0.0
        high = 100 * bound(k, m, 1) if m else 100.0
        if p < 1:
            # 1 - I_p(1+k, 1+m) = P(Bin(k+m+1, p) <= k)
            below = 1 - tail(k + m + 1, p, k + 1)
            ln_e = (ln_against(k, m, float(p)) + ln(below)
                    - math.log(1 - float(p)))
            chance = float(tail(done, p, k))
    fails = (bad > 0 if p == 0 else
             ln_e >= -math.log(alpha * weight) and bad > p * done)
    verdict = ("inconclusive" if done == 0 else "fail" if fails else
               "pass" if done == members and (p == 0 or chance >= 0.05) else
               "inconclusive")
    return "%s %s %s %d %d %d %s %.12g %.12g %.12g %.12g" % (
        float(Fraction(limit)), float(alpha), float(weight), bad, done,
        members, verdict, ln_e, low, high, chance)


def main():
    rows = ["# limit_pct alpha weight bad done members: verdict ln_e low_pct "
            "high_pct tail (made by make.py)"]
    cases = [(0, 0, 0), (0, 0, 10), (0, 1, 1), (1, 1, 1), (1, 10, 10),
             (2, 10, 10), (3, 10, 10), (4, 10, 10), (2, 2, 10), (1, 2, 10),
             (0, 9, 10), (10, 10, 10), (1, 100, 100), (8, 100, 100),
             (20, 100, 100), (1, 1000, 1000), (10, 1000, 1000),
             (60, 1000, 1000), (0, 1500, 1503)]
    for limit in (0, "1/2", 2, 5, 10, 100):
        for alpha, weight in ALPHA_WEIGHT:
            rows += [line(limit, alpha, weight, *case) for case in cases]
    path = os.path.join(os.path.dirname(__file__), "vectors.txt")
    with open(path, "w", encoding="ascii") as file:
        file.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
