#!/usr/bin/env python3
"""Patches programs from Debian packages in the middle of their work, at moments that nobody has chosen, and compares what they print with
what the old build and the new one print: midway.py [--tap] [--moments N] [NAME...]

A program that is patched has made objects with old code that new code goes on with; and the other way round where the patch is taken out again, at
another moment. Each is stopped by midway.c at calls of malloc() or free(); where a function that is to be replaced has called that, the patch
does not go in, or out, which is an answer, too.
"""
import argparse
import collections
import lzma
import os
import random
import shutil
import subprocess
import sys
import tempfile
import zipfile

import real
import workloads

LIMIT = 60
PRINTED = 1000	# bytes that each prints at the least
NAME = "midway"
PATCHED, BUSY, GIVEN_BACK, KEPT = 0, 4, "given back", "kept"	# the first two are what stent exits with
PRELOADED = os.path.join(real.BUILD, "tests/real/midway.so")


def numbers(seed, count):
    source = random.Random(seed)
    return "".join(f"{source.randrange(10000)} {source.choice('abcdefgh') * source.randrange(1, 30)}\n" for _ in range(count))


def for_git(folder):
    for number in (1, 2):
        os.mkdir(os.path.join(folder, f"d{number}"))
        for name in range(12):
            with open(os.path.join(folder, f"d{number}/{name}"), "w", encoding="ascii") as file:
                file.write(numbers(name, 300) + numbers(name * number, 40) + numbers(name + 100, 200))


def for_xz(folder):
    with lzma.open(os.path.join(folder, "a.xz"), "w") as file:
        file.write(numbers(1, 20000).encode())


def for_bsdtar(folder):
    with zipfile.ZipFile(os.path.join(folder, "a.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name in range(40):
            archive.writestr(f"folder/{name}", numbers(name, 100))


def for_xmllint(folder):
    with open(os.path.join(folder, "a.xml"), "w", encoding="ascii") as file:
        file.write('<?xml version="1.0"?><!DOCTYPE r [<!ELEMENT r ANY><!ELEMENT p ANY><!ENTITY e "<p>x</p>"><!ATTLIST p id ID #IMPLIED>]><r>')
        file.write("".join(f'<p id="i{number}">&e;&#233;<![CDATA[{number}]]><?pi {number}?><!-- c --></p>' for number in range(300)))
        file.write("</r>")


def for_pdf(folder):
    drawing = "BT /F 20 Tf 50 700 Td (Hello) Tj ET " + " ".join(f"{x % 7 / 7} 0.5 0.2 rg {x * 5} {x * 7} 30 20 re f" for x in range(100))
    parts = ["<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
             "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>",
             f"<< /Length {len(drawing)} >>\nstream\n{drawing}\nendstream", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    with open(os.path.join(folder, "a.pdf"), "w", encoding="ascii") as file:
        file.write("%PDF-1.4\n" + "".join(f"{number} 0 obj\n{part}\nendobj\n" for number, part in enumerate(parts, 1)) +
                   "trailer << /Root 1 0 R /Size 6 >>\n")


def for_gs(folder):
    with open(os.path.join(folder, "a.ps"), "w", encoding="ascii") as file:
        file.write("%!PS\n0 1 60 { dup 8 mul 100 add exch 9 mul 100 add moveto "
                   "30 0 rlineto 0 30 rlineto closepath gsave 0.5 0.2 0.7 setrgbcolor fill grestore stroke } for\nshowpage\n")


# Of a pair of tests/real/pairs: the package that the program is in, which has the version of the pair (None: the image is the program); the
# program and its arguments; what makes its input.
Case = collections.namedtuple("Case", "package command prepare")
CASES = {
    "git": Case(None, ["git", "-c", "color.ui=always", "diff", "--no-index", "--stat", "-p", "--word-diff", "d1", "d2"], for_git),
    "liblzma": Case("xz-utils", ["usr/bin/xz", "-T1", "-dc", "a.xz"], for_xz),
    "libarchive": Case("libarchive-tools", ["usr/bin/bsdtar", "-xOf", "a.zip"], for_bsdtar),
    "libxml2": Case("libxml2-utils", ["usr/bin/xmllint", "--noent", "--valid", "--c14n", "a.xml"], for_xmllint),
    "poppler": Case("poppler-utils", ["usr/bin/pdftoppm", "-r", "30", "a.pdf"], for_pdf),
    "ghostscript": Case("ghostscript", ["usr/bin/gs", "-q", "-r30", "-dBATCH", "-dNOPAUSE", "-sDEVICE=ppmraw", "-sOutputFile=-", "a.ps"], for_gs),
}


class Program:
    """One pair's, with its input in a folder. It runs once at a time."""

    def __init__(self, pair, paths, folder):
        self.case, self.folder = CASES[pair.name], folder
        self.old, self.new, self.libraries = paths
        self.tool = os.path.join(workloads.fetch(self.case.package, pair.old), self.case.command[0]) if self.case.package else None
        self.printed, self.held = os.path.join(folder, "printed"), os.path.join(folder, "held")
        self.process = None
        self.case.prepare(folder)

    def start(self, image, **variables):
        """(Into a file: a pipe that nobody reads while it is held would hold it, too.)"""
        environment = dict(os.environ, LC_ALL="C", TZ="UTC", HOME=self.folder, GS_LIB=workloads.ghostscript_folders(self.libraries),
                           LD_LIBRARY_PATH=f"{os.path.dirname(image)}:{self.libraries}", **variables)
        with open(self.printed, "wb") as file:
            self.process = subprocess.Popen([self.tool or image, *self.case.command[1:]], env=environment, cwd=self.folder, stdin=subprocess.DEVNULL,
                                            stdout=file, stderr=subprocess.STDOUT)

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def outcome(self):
        status = self.process.wait(LIMIT)
        with open(self.printed, "rb") as file:
            return status, file.read()

    def run(self, image, **variables):
        self.start(image, **variables)
        return self.outcome()

    def count_calls(self):
        file = os.path.join(self.folder, "calls")
        self.run(self.old, LD_PRELOAD=PRELOADED, MIDWAY=file)
        with open(file, encoding="ascii") as counted:
            return int(counted.read())

    def reaches(self, moment):
        """False: it has ended before."""
        workloads.until(LIMIT, lambda: os.path.exists(f"{self.held}.{moment}") or self.process.poll() is not None, f"call {moment}")
        return os.path.exists(f"{self.held}.{moment}")

    def go_on(self, moment):
        os.unlink(f"{self.held}.{moment}")

    def patch_at(self, moment, later, patch):
        """What stent says, and what the program prints. None: it has ended before."""
        self.start(self.old, LD_PRELOAD=PRELOADED, MIDWAY=self.held, MIDWAY_AT=f"{moment},{later}")
        if not self.reaches(moment):
            return None
        status, said, _ = real.run(real.STENT, "apply", "--timeout", "0.3", patch, "-p", str(self.process.pid))
        self.go_on(moment)
        if self.reaches(later):
            if not status:
                status, said, _ = real.run(real.STENT, "revert", "--timeout", "0.3", NAME, "-p", str(self.process.pid))
                status = GIVEN_BACK if not status else KEPT if status == 4 else status
            self.go_on(later)
        return status, said, self.outcome()


def patch_often(program, patch, moments, calls):
    """How often each thing happened; the first thing that is wrong."""
    expected = [program.run(program.old), program.run(program.new)]
    for status, printed in expected:
        if status not in (0, 1) or len(printed) < PRINTED:
            raise RuntimeError(f"unpatched it ends with {status} and prints {printed[:300]!r}")
    counts, wrong, source = collections.Counter(), None, random.Random(calls)
    for _ in range(moments):
        moment = source.randrange(1, calls)
        answer = program.patch_at(moment, source.randrange(moment + 1, 2 * calls), patch)
        if not answer:
            continue
        status, said, printed = answer
        counts[status] += 1
        if status not in (PATCHED, BUSY, GIVEN_BACK, KEPT):
            wrong = wrong or f"at call {moment} stent ends with {status}: {said.strip()[-300:]}"
        elif printed not in expected:
            wrong = wrong or f"patched at call {moment} it ends with {printed[0]} and prints {len(printed[1])} bytes that neither build prints: {printed[1][-200:]!r}"
    return counts, wrong


def take(pair, moments, folder):
    """A line to print, and what is wrong, or None."""
    paths = real.fetch(pair)
    if isinstance(paths, str):
        return "skipped", paths
    patch = os.path.join(folder, "midway.stent")
    status, said, _ = real.run(real.STENT, "diff", paths[0], paths[1], "-o", patch, "--name", NAME, "--old-version", pair.old, "--new-version", pair.new)
    if status:
        return "no patch", said.strip()[-300:]
    program = Program(pair, paths, folder)
    try:
        calls = program.count_calls()
        counts, wrong = patch_often(program, patch, moments, calls)
    finally:
        program.end()
    if not counts[PATCHED] + counts[GIVEN_BACK] + counts[KEPT]:
        wrong = wrong or "it was never patched"
    return (f"{calls:9} calls, {moments} moments: patched {counts[PATCHED]}, and given back {counts[GIVEN_BACK]}; "
            f"busy in old code {counts[BUSY]}, in new {counts[KEPT]}"), wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tap", action="store_true", help="print results as tests/run reads them")
    parser.add_argument("--moments", type=int, default=40, help="how often each program is patched")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    os.environ["STENT_ROWS_CACHE"] = os.path.join(real.BUILD, "rows")
    pairs = [pair for pair in real.read_pairs() if pair.name in (options.names or CASES)]
    if len(pairs) != len(options.names or CASES):
        sys.exit("midway.py: there is no such program: " + ", ".join(set(options.names or CASES) - {pair.name for pair in pairs}))
    failed = 0
    if options.tap:
        print(f"1..{len(pairs)}", flush=True)
    for number, pair in enumerate(pairs, 1):
        folder = tempfile.mkdtemp(prefix="stent-midway.")
        try:
            line, wrong = take(pair, options.moments, folder)
        except Exception as problem:	# whatever it is, it is the answer
            line, wrong = "broken", f"{type(problem).__name__}: {problem}"
        shutil.rmtree(folder, ignore_errors=True)
        skipped = line == "skipped"
        failed += bool(wrong) and not skipped
        if options.tap:
            print(f"{'not ok' if wrong and not skipped else 'ok'} {number} - {pair.name}: {line}{f' # SKIP {wrong}' if skipped else ''}", flush=True)
        else:
            print(f"{pair.name:14} {line}", flush=True)
        if wrong and not skipped:
            print(f"{'#' if options.tap else '   '} {wrong}", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
