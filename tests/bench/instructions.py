#!/usr/bin/python3
"""instructions - counts the instructions of a request and of a gather child; fails if more than the committed numbers.

usage: instructions.py [--update]       first proves on planted profiles that it can fail

Times vary too much on a shared machine; numbers of instructions don't. callgrind counts the instructions of
build/gatherd in user mode, libraries included, because moving work into a library doesn't make the service faster. Each
metric is the difference between two runs, divided by the number of requests or children that only one of the runs has,
so the instructions of start and end don't count.

  request        POST /v1/run/sleep with {"seconds":0}, on one keep-alive connection
  gather child   one of 10,000 sleeps of 1 s in POST /v1/gather

instructions.json has the committed numbers, one entry per system (distribution, release, machine), because compilers
and libraries differ between systems. On a system without an entry the numbers are shown, but not compared. An entry
also has the versions of the tools and libraries it was counted with, and the instructions in each library; only the
totals are limited.
"""

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
from collections import Counter
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "api" / "support"))
from server import ROOT, Server  # noqa: E402

COMMITTED = Path(__file__).with_suffix(".json")
PROFILES = ROOT / "build" / "bench"
CLOCK = PROFILES / "fixed_clock.so"
LIMIT = 0.03   # a larger increase is a failure; after a larger decrease, --update is suggested
ROUNDS = 3     # the result is their median: a request varies with the digits of ids, durations and the pid
WARM_UP = 100  # requests at the start of each run, before the metric
REQUESTS = 2000
CHILDREN = 10_000  # the default of --max-gather-children
TOTAL = "total"

# glibc selects its string functions by the instruction set extensions of the processor; under callgrind, these are
# those of the host. With the extensions masked, the selection is the same on all hosts. `rep stosb` and `rep movsb` are
# disabled, because they count as one instruction for each byte. The time zone is set because glibc converts times in
# another way without /etc/localtime. fixed_clock.c says why the clock is fixed.
MASKED = ("AVX2", "AVX_Fast_Unaligned_Load", "BMI2", "ERMS", "FSRM", "LZCNT", "MOVBE", "SSE4_2", "SSE4_1", "SSSE3")
ENVIRONMENT = (f"GLIBC_TUNABLES=glibc.cpu.hwcaps={','.join('-' + name for name in MASKED)}:"
               "glibc.cpu.x86_rep_stosb_threshold=0x7fffffff:glibc.cpu.x86_rep_movsb_threshold=0x7fffffff",
               f"LD_PRELOAD={CLOCK}", "TZ=UTC0")


# -- profiles ------------------------------------------------------------------------------------

TOTALS = re.compile(r"^totals: (\d+)$", re.MULTILINE)
OBJECT = re.compile(r"^c?ob=\((\d+)\)(?: (.*))?$")  # number of an object, at first with its name; cob: callee
COST = re.compile(r"^[+*\d-]\S* (\d+)$")


def read_profile(text):
    """The instructions in a callgrind profile: the total, and those of each object (program or library)."""
    names, counts, current, inclusive = {}, Counter(), None, False
    for line in text.splitlines():
        if match := OBJECT.match(line):
            number, path = match.groups()
            if path is not None:
                names[number] = "other" if path == "???" else os.path.basename(path).split(".so")[0]
            if line.startswith("ob="):
                current = number
        elif line.startswith("calls="):
            inclusive = True  # the next line is the cost of the callee, which is counted by the callee's own lines
        elif match := COST.match(line):
            if not inclusive:
                counts[names[current]] += int(match.group(1))
            inclusive = False
    total = int(TOTALS.search(text).group(1))
    if counts.total() != total:
        raise SystemExit(f"instructions: the profile's total is {total}, but its objects add up to {counts.total()}")
    counts[TOTAL] = total
    return counts


def difference(more, less, times):
    """(more - less) / times, for each object; objects with less than one instruction are omitted."""
    costs = {name: round((more[name] - less[name]) / times) for name in more}
    return {name: cost for name, cost in costs.items() if cost > 0}


# -- the service under callgrind -----------------------------------------------------------------

def request(target, value):
    body = json.dumps(value, separators=(",", ":")).encode()
    return (f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def ask(sock, data):
    sock.sendall(data)
    answer = HTTPResponse(sock, method="POST")
    answer.begin()
    value = json.loads(answer.read())
    assert answer.status == 200 and not answer.will_close, (answer.status, value)
    return value


SLEEP = request("/v1/run/sleep", {"seconds": 0})
GATHER = request("/v1/gather", {"tasks": [{"function": "sleep", "input": {"seconds": 1}}] * CHILDREN})


def ask_sleeps(sock, count):
    for _ in range(count):
        ask(sock, SLEEP)


def ask_gather(sock):
    counts = ask(sock, GATHER)["result"]["counts"]
    assert counts["succeeded"] == CHILDREN, counts


def profile(name, work):
    """Starts the service, calls work(sock) with a connection, stops the service, and returns its profile."""
    path = PROFILES / f"{name}.callgrind"
    path.unlink(missing_ok=True)
    callgrind = ["env", "-i", *ENVIRONMENT, "valgrind", "--tool=callgrind", f"--callgrind-out-file={path}",
                 "--command-line-only=yes", "--vgdb=no", "--quiet"]
    server = Server("--processes", "0", "--threads", "1", log_format="text", log_level="info", command_prefix=callgrind)
    try:
        where = urlsplit(server.urls()[0])
        with socket.create_connection((where.hostname, where.port), timeout=60) as sock:
            ask_sleeps(sock, WARM_UP)
            work(sock)
    finally:
        server.stop()
    return read_profile(path.read_text(encoding="utf-8"))


def measure_once():
    base = profile("base", lambda sock: None)
    requests = profile("request", lambda sock: ask_sleeps(sock, REQUESTS))
    gather = profile("gather", ask_gather)
    return {"request": difference(requests, base, REQUESTS), "gather child": difference(gather, base, CHILDREN)}


def measure():
    """({metric: {object: instructions}}, {metric: relative spread of the total over the rounds})"""
    PROFILES.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).with_name("fixed_clock.c")
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", CLOCK, source], check=True)
    rounds = [measure_once() for _ in range(ROUNDS)]
    medians, spreads = {}, {}
    for metric in rounds[0]:
        names = {name for costs in rounds for name in costs[metric]}
        costs = {name: statistics.median(costs[metric].get(name, 0) for costs in rounds) for name in names}
        medians[metric] = dict(sorted(costs.items(), key=lambda item: (-item[1], item[0])))  # the total is the first
        totals = [costs[metric][TOTAL] for costs in rounds]
        spreads[metric] = (max(totals) - min(totals)) / medians[metric][TOTAL]
    return medians, spreads


# -- the system ----------------------------------------------------------------------------------

def system():
    """The key of this system's entry, such as "debian 12 x86_64"."""
    release = dict(re.findall(r'^(ID|VERSION_ID)="?([^"\n]*)"?$', Path("/etc/os-release").read_text(encoding="utf-8"),
                              re.MULTILINE))
    return " ".join((release["ID"], release.get("VERSION_ID", "rolling"), os.uname().machine))


def versions():
    def output(*command):
        return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()

    found = {name: output("pkg-config", "--modversion", name) for name in ("libmicrohttpd", "libuv", "jansson")}
    return {"gcc": output("gcc", "-dumpfullversion"), "glibc": os.confstr("CS_GNU_LIBC_VERSION").split()[1], **found,
            "valgrind": output("valgrind", "--version").removeprefix("valgrind-")}


# -- the verdict ---------------------------------------------------------------------------------

def change(committed, now):
    """The relative change; None if a number is missing or 0."""
    return now / committed - 1 if committed and now else None


def check_counts(committed, now):
    """(problems, improvements), each a list of sentences."""
    problems, improvements = [], []
    for metric, costs in now.items():
        was = committed.get(metric, {}).get(TOTAL)
        by = change(was, costs[TOTAL])
        if by is None:
            problems.append(f"{metric}: instructions.json has no number; --update records it")
        elif by > LIMIT:
            problems.append(f"{metric}: {costs[TOTAL]:,} instructions, {by:+.1%}; the committed number is {was:,} and "
                            f"the limit {LIMIT:+.0%}")
        elif by < -LIMIT:
            improvements.append(f"{metric}: {by:+.1%}; record the new number with ./dev bench instructions --update")
    return problems, improvements


def table(committed, now, spreads):
    def cells(name, was, value, spread=""):
        by = change(was, value)
        return (f"{name:<24}{'-' if was is None else format(was, ',d'):>11}{value:>11,d}"
                f"{'-' if by is None else format(by, '+.1%'):>9}{spread:>9}").rstrip()

    lines = [f"{'instructions':<24}{'committed':>11}{'now':>11}{'change':>9}{'spread':>9}"]
    for metric, costs in now.items():
        was = committed.get(metric, {})
        lines.append(cells(metric, was.get(TOTAL), costs[TOTAL], f"{spreads[metric]:.1%}"))
        for name in {**costs, **was}:
            if name != TOTAL:
                lines.append(cells("  " + name, was.get(name, 0) if was else None, costs.get(name, 0)))
    return "\n".join(lines)


# -- the self-test -------------------------------------------------------------------------------

PLANTED = """events: Ir
ob=(1) /usr/local/bin/gatherd
fl=(1) main.c
fn=(1) main
5 {own}
+2 10
cob=(2) /lib/libx.so.1.2
cfn=(2)
calls=7 0
* 100
fn=(3)
-3 1

ob=(2)
fn=(2) x
0 100
totals: {total}
"""


def planted(own):
    return read_profile(PLANTED.format(own=own, total=own + 111))


def self_test():
    base = planted(1000)
    assert base == {TOTAL: 1111, "gatherd": 1011, "libx": 100}, f"self-test: a profile was read as {base}"
    assert difference(planted(11_000), base, 10) == {TOTAL: 1000, "gatherd": 1000}, "self-test: a difference is wrong"
    try:
        read_profile(PLANTED.format(own=1000, total=1110))
    except SystemExit:
        pass
    else:
        raise AssertionError("self-test: a profile that doesn't add up was accepted")

    committed = {"request": {TOTAL: 1000}}
    for cost, problems, improvements in ((1000, 0, 0), (1029, 0, 0), (1031, 1, 0), (971, 0, 0), (969, 0, 1)):
        now = {"request": difference(planted(1000 + 10 * cost), base, 10)}
        found = check_counts(committed, now)
        assert [len(f) for f in found] == [problems, improvements], f"self-test: {cost} against 1000 gave {found}"
    assert check_counts({}, {"request": {TOTAL: 1000}})[0], "self-test: a metric without a committed number passed"


# -- the whole -----------------------------------------------------------------------------------

def compare(known, here, used, now, spreads):
    """Prints the comparison; returns the exit status."""
    if here not in known:
        print(table({}, now, spreads))
        print(f"instructions.json has no entry for {here}, so nothing was compared; --update adds it (entries: "
              f"{', '.join(known) or 'none'})")
        return 0
    committed = known[here]["metrics"]
    print(table(committed, now, spreads))
    for name, version in known[here]["counted_with"].items():
        if used.get(name) != version:
            print(f"the committed numbers were counted with {name} {version}, the new ones with {used.get(name)}")
    problems, improvements = check_counts(committed, now)
    for sentence in improvements + problems:
        print(sentence)
    if problems:
        print(f"To find the cause, run callgrind_annotate on {PROFILES.relative_to(ROOT)}/*.callgrind. To accept the "
              "increase, run ./dev bench instructions --update, and give the reason in the commit.")
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description="Counts instructions, and compares them with the committed numbers.")
    parser.add_argument("--update", action="store_true", help="record the numbers instead of comparing them")
    arguments = parser.parse_args()
    self_test()
    known = json.loads(COMMITTED.read_text(encoding="utf-8")) if COMMITTED.exists() else {}
    here, used = system(), versions()
    now, spreads = measure()
    if not arguments.update:
        return compare(known, here, used, now, spreads)
    print(table(known.get(here, {}).get("metrics", {}), now, spreads))
    known[here] = {"counted_with": used, "metrics": now}
    COMMITTED.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    print(f"recorded for {here} in {COMMITTED.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
