"""The texts that both scorers are given: hard ones, and lines as they stand in logs."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Each is there for a rule: what is cut where, what a tokenizer normalises, what it has no token for.
HARD = [
    "",
    " ",
    "\n",
    " \t\r\n\u00a0\u2003",
    "x",
    "-",
    "Failed password for root from 203.0.113.9 port 22 ssh2",
    "FAILED PASSWORD FOR ROOT FROM 203.0.113.9 PORT 22 SSH2",
    "  two  spaces,\ttabs\tand\nnew lines\r\nof both kinds  ",
    "trailing space ",
    "\ufeffbyte order mark",
    "NUL \0 inside",
    "control \x01\x02\x1b[31mred\x1b[0m characters \x7f",
    "soft\u00adhyphen, zero\u200bwidth, word\u2060joiner",
    "e\u0301 and \u00e9 are one letter, A\u030a and \u00c5 another",
    "Zalgo: h\u0300\u0301\u0302\u0303e\u0304\u0305l\u0306p",
    "\u0130stanbul, stra\u00dfe, \u01c4, \ufb01n, \u212b, \u00bd",
    "disk full \U0001f4a5 family \U0001f468\u200d\U0001f469\u200d\U0001f467 flag \U0001f1ea\U0001f1fa skin \U0001f44d\U0001f3fd",
    "\u4e2d\u6587\u65e5\u5fd7\uff1a\u78c1\u76d8\u9519\u8bef",
    "\u042d\u0442\u043e \u043e\u0448\u0438\u0431\u043a\u0430, \u03b1\u03c5\u03c4\u03cc \u03b5\u03af\u03bd\u03b1\u03b9 \u03bb\u03ac\u03b8\u03bf\u03c2",
    "\u0634\u0628\u0643\u0629 \u05e8\u05e9\u05ea \u0e40\u0e04\u0e23\u0e37\u0e2d\u0e02\u0e48\u0e32\u0e22 \ud55c\uad6d\uc5b4",
    "[CLS] special [SEP] tokens [PAD] as [MASK] text [UNK] <s> </s> <pad> <mask> <unk>",
    "##wordpiece \u0120byte \u2581unigram markers",
    "don't stop, it's o'clock; n't 've 'll",
    '{"level":"error","msg":"it failed","code":500,"tags":["a","b"],"nested":{"k":null}}',
    "key=value path=/var/log/x.log rc=-1 0x7fff5fbff8c8 deadbeef 10.0.0.1:8080 [::1]:22 a.b@c.example",
    "%n%s%d $(rm -rf) `id` '; DROP TABLE detections; --",
    "1234567890 3.14159 1e-9 0x0 -0 +1 1,000,000",
    "a" * 100,
    "a" * 101,
    "word " * 200,
    "no-space-" * 80,
    "x" * 511 + " error",
    "x" * 512 + " error",
    "\u00e9" * 3000,
    "\U0001f980" * 3000,
    "\u78c1" * 600,
    "! " * 600,
    "error: " + "out of memory " * 215,
]


def lines(logs: Path | None, count: int) -> list[str]:
    """`count` lines, as many of each file in `logs`; of the project's own sample log where there is no such folder."""
    files = sorted(logs.glob("*.txt")) if logs and logs.is_dir() else [ROOT / "sql" / "demo" / "sample.log"]
    share = -(-count // len(files))
    taken = []
    for file in files:
        all_lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        taken += all_lines[:: max(1, len(all_lines) // share)][:share]
    return taken[:count]
