#!/usr/bin/env python3
"""make real: real security updates, taken by programs that are at work.

    real.py [--tap] [--diff-only] [--short] [NAME...]

For each pair of tests/real/pairs: fetch both versions, diff them, diff each with itself, check the patch (checker.py), run the old
version with a client that does real work, apply, look at the process from outside (installed.py), revert. One row per pair; a
refusal is a result, with its reasons. Ends with status 1 when a pair failed: a crash, a wrong or silent omission, a lost request.
"""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import checker
import installed
import workloads
from patchfile import Elf, PatchFile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, os.environ.get("BUILD", "build"))
STENT = os.path.join(BUILD, "stent")
LIMIT = 900	# seconds of wall-clock time; the largest comparison takes one minute of a processor


class Failure(Exception):
    """The pair is a defect of stent's (or of the test), and no refusal."""


class Pair:
    def __init__(self, fields):
        self.name, self.package, self.old, self.new, image, *self.options = fields
        self.short = image.startswith("+")
        self.image = image.lstrip("+")
        self.host = workloads.HOSTS.get(self.name, self.name)


def read_pairs():
    with open(os.path.join(TOP, "tests/real/pairs")) as file:
        return [Pair(line.split()) for line in file if line.strip() and not line.startswith("#")]


def run(*command, limit=LIMIT):
    """Exit status, output, seconds."""
    before = time.monotonic()
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=limit)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{command[0]} {command[1]} was ended after {limit} s") from late
    return done.returncode, done.stdout.decode(errors="replace"), time.monotonic() - before


def fetch(pair):
    """Paths of the old and the new image, and LD_LIBRARY_PATH; or a text that says why they can't be had."""
    found = []
    for version in (pair.old, pair.new):
        status, output, _ = run(f"{TOP}/scripts/fetch", f"{pair.package}={version}", limit=600)
        if status:
            return output.strip().splitlines()[-1]
        images = sorted(glob.glob(os.path.join(output.strip().splitlines()[-1], pair.image)))
        if len(images) != 1:
            return f"{pair.package}={version} has no {pair.image}"
        found.append(os.path.realpath(images[0]))
    return found[0], found[1], run(f"{TOP}/scripts/fetch", "--libraries")[1].strip()


class Row:
    def __init__(self, pair):
        self.pair, self.functions, self.changed, self.classes = pair, 0, "", ""
        self.seconds, self.pause, self.result, self.reasons = 0.0, "", "", []

    def text(self):
        return (f"{self.pair.name:<15} {self.functions:>6} {self.changed:>9}  {self.classes:<40.40} {self.seconds:>6.2f}  "
                f"{self.pause:>7}  {self.result}")


HEADER = (f"{'PAIR':<15} {'FUNCT.':>6} {'CHG+NEW':>9}  {'CLASSES':<40} {'DIFF s':>6}  {'PAUSE':>7}  RESULT")


def reasons_of(output):
    """The lines of a refusal, each kind once."""
    kinds = {}
    for line in output.strip().splitlines():
        line = re.sub(r"^stent: ", "", line)
        kind = re.sub(r"0x[0-9a-f]+|\d+", "N", line.split(": ", 1)[-1])
        kinds.setdefault(kind, [line, 0])[1] += 1
    return [line + (f" (and {count - 1} more like this)" if count > 1 else "") for line, count in kinds.values()]


def diff_with_itself(path, folder):
    status, output, _ = run(STENT, "diff", path, path, "-o", os.path.join(folder, "self.stent"))
    if status != 3:
        raise Failure(f"diff of {path} with itself ends with {status}: {output.strip()[-200:]}")


def diff(pair, old, new, folder, row):
    """The patch's path, or None when there is none."""
    path = os.path.join(folder, "fix.stent")
    status, output, row.seconds = run(STENT, "diff", old, new, "-o", path, "--name", pair.name, *pair.options)
    if status == 0:
        return path
    if os.path.exists(path):
        raise Failure(f"diff ends with {status}, and has written a patch")
    if status == 3:
        row.result, row.reasons = "nothing to do", reasons_of(output)
    elif status == 2:
        row.result, row.reasons = "refused", reasons_of(output)
        if not row.reasons:
            raise Failure("refused without a reason")
    else:
        raise Failure(f"diff ends with {status}: {output.strip()[-300:]}")
    return None


def describe(patch, row):
    counts, done = {}, {}
    for function in patch.functions:
        done[function.action] = done.get(function.action, 0) + 1
        if function.action != "add":
            counts[function.change] = counts.get(function.change, 0) + 1
    row.changed = f"{done.get('redirect', 0)}+{done.get('add', 0)}"
    row.classes = " ".join(f"{change}:{count}" for change, count in sorted(counts.items(), key=lambda item: -item[1]))


class Client(threading.Thread):
    """Works all the time, until told to stop."""

    def __init__(self, workload):
        super().__init__(daemon=True)
        self.workload, self.done, self.problem, self.stopping = workload, 0, None, threading.Event()

    def run(self):
        while not self.stopping.is_set() and not self.problem:
            try:
                self.workload.work()
                self.done += 1
            except Exception as problem:	# whatever it is, it is the answer to "did the work go on?"
                self.problem = f"{type(problem).__name__}: {problem}"
            self.stopping.wait(0.01)

    def check(self, when, more=3):
        """So many more pieces of work get done."""
        wanted = self.done + more
        workloads.until(60, lambda: self.problem or self.done >= wanted, f"work {when}")
        if self.problem or not self.workload.alive():
            raise Failure(f"the work broke off {when}: {self.problem}; {self.workload.fate()}")


def text_differs(pid, path):
    """Does an executable mapping of the file hold anything but what the file holds?"""
    with open(path, "rb") as file:
        data = file.read()
    memory = installed.Memory(pid)
    wanted, different = os.stat(path), None
    for start, end, flags, offset, name in installed.mappings(pid):
        if "x" in flags and name.startswith("/") and os.path.exists(name) and os.stat(name).st_ino == wanted.st_ino:
            size = min(end - start, len(data) - offset)
            if memory.read(start, size) != data[offset:offset + size]:
                different = f"the text at {start:#x} is not the file's after revert"
    memory.close()
    return different


def live(pair, paths, patch_path, patch, folder, row):
    old_path, _, libraries = paths
    kind = workloads.find(pair.name)
    if not kind:
        row.result = "not run"
        return
    old, new = Elf(old_path), Elf(paths[1])
    workload = kind(pair, old_path, folder, libraries)
    try:
        try:
            pids = workload.start()
        except workloads.NotHere as problem:
            row.result, row.reasons = "skipped", [str(problem)]
            return
        except Exception as problem:
            raise Failure(f"the old version does not run here: {problem}; {workload.fate()}") from problem
        client = Client(workload)
        client.start()
        client.check("before apply")
        pauses = []
        for pid in pids:
            status, output, _ = run(STENT, "apply", patch_path, "-p", str(pid), limit=100)
            if status == 2:
                row.result, row.reasons = "refused", ["apply: " + line for line in reasons_of(output)]
                if text_differs(pid, old_path):
                    raise Failure("a refused apply has left something in the process")
                client.stopping.set()
                return
            if status:
                raise Failure(f"apply ends with {status}: {output.strip()[-300:]}")
            pauses += [float(x) for x in re.findall(r"paused +([\d.]+) ms", output)]
        client.check("after apply")
        for pid in pids:
            problems = installed.objections(pid, patch, old_path, old, new)
            if problems:
                raise Failure(problems[0])
        for pid in pids:
            status, output, _ = run(STENT, "revert", pair.name, "-p", str(pid), limit=100)
            if status:
                raise Failure(f"revert ends with {status}: {output.strip()[-300:]}")
            if text_differs(pid, old_path):
                raise Failure(text_differs(pid, old_path))
        client.check("after revert")
        client.stopping.set()
        client.join(30)
        row.pause = f"{max(pauses):.2f} ms" if pauses else ""
        row.result = "live"
    except OSError as problem:	# of /proc/PID, when that has gone
        raise Failure(f"{type(problem).__name__}: {problem}; {workload.fate()}") from problem
    finally:
        workload.end()


def take(pair, diff_only, folder):
    row = Row(pair)
    paths = fetch(pair)
    if isinstance(paths, str):
        row.result, row.reasons = "skipped", [paths]
        return row
    try:
        for path in paths[:2]:
            diff_with_itself(path, folder)
        row.functions = Elf(paths[0]).count_functions()
        patch_path = diff(pair, paths[0], paths[1], folder, row)
        if patch_path:
            patch = PatchFile(patch_path)
            describe(patch, row)
            problems = checker.check(patch_path, paths[0], paths[1])
            if problems:
                raise Failure("the checker: " + "; ".join(problems[:5]))
            if diff_only:
                row.result = "patch"
            else:
                live(pair, paths, patch_path, patch, folder, row)
    except Failure as failure:
        row.result, row.reasons = "FAILED", [str(failure)]
    except Exception as problem:	# whatever it is (a process that has gone, a file that can't be read), it is this pair's, not the run's
        row.result, row.reasons = "FAILED", [f"{type(problem).__name__}: {problem}"]
    return row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tap", action="store_true", help="print results as tests/run reads them")
    parser.add_argument("--short", action="store_true", help="only the pairs that are marked in the table")
    parser.add_argument("--diff-only", action="store_true", help="start no program")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    pairs = [pair for pair in read_pairs() if pair.name in options.names or not options.names and (pair.short or not options.short)]
    os.environ["STENT_ROWS_CACHE"] = os.path.join(BUILD, "rows")
    print(f"1..{len(pairs)}" if options.tap else HEADER, flush=True)
    rows = []
    for number, pair in enumerate(pairs, 1):
        folder = tempfile.mkdtemp(prefix="stent-real.")
        row = take(pair, options.diff_only, folder)
        shutil.rmtree(folder, ignore_errors=True)
        rows.append(row)
        if options.tap:
            skip = f" # SKIP {row.reasons[0]}" if row.result == "skipped" else ""
            print(f"{'not ok' if row.result == 'FAILED' else 'ok'} {number} - {pair.name}: {row.result}{skip}")
        else:
            print(row.text())
        for reason in row.reasons[:6]:
            print(f"{'# ' if options.tap else ' ' * 8}{reason[:400]}")
        sys.stdout.flush()
    counts = {result: sum(row.result == result for row in rows) for result in ("live", "refused", "nothing to do", "FAILED", "skipped", "not run", "patch")}
    print(f"{'# ' if options.tap else ''}{len(rows)} pairs, {counts['live']} live, {counts['refused']} refused, {counts['FAILED']} failed"
          + "".join(f", {counts[result]} {result}" for result in ("nothing to do", "patch", "not run", "skipped") if counts[result]))
    sys.exit(counts["FAILED"] > 0)


if __name__ == "__main__":
    main()
