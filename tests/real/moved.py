#!/usr/bin/env python3
"""Does the checker find what is wrong? moved.py PATCH OLD NEW: as TAP.

Patches of which one thing is made wrong: a reference led to another item of the same section, a reference not bound, a changed function
left out.
"""
import random
import sys

from checker import OLD, Checker
from patchfile import PatchFile
from program import Program

COUNT = 40


def found(patch, old, new):
    return Checker(patch, old, new).run()


def move_reference(patch, old, choose):
    bindings = [b for b in patch.bindings if b.anchor == OLD and old.part(b.target)]
    moved = choose.choice(bindings)
    others = [b.target for b in bindings if b.target + b.addend != moved.target + moved.addend and old.part(b.target) is old.part(moved.target)]
    if not others:
        return None
    was, moved.target = moved.target, choose.choice(others)
    return f"the reference at {moved.where:#x}, moved from {was:#x} to {moved.target:#x}"


def drop_reference(patch, old, choose):
    # Of a constant, and of a replaced function, the slice may have its own.
    own = {f.old for f in patch.functions}
    dropped = choose.choice([b for b in patch.bindings if b.anchor == OLD and b.target not in own and not old.is_constant(old.part(b.target))])
    patch.bindings.remove(dropped)
    return f"the reference at {dropped.where:#x}, not bound"


def drop_function(patch, _, choose):
    dropped = choose.choice([f for f in patch.functions if f.action == "redirect"])
    patch.functions.remove(dropped)
    ranges = dropped.new_ranges
    patch.bindings = [b for b in patch.bindings if not any(start <= b.where < end for start, end in ranges)]
    return f"{dropped.name}, left out"


def main():
    path, old, new = sys.argv[1], Program(sys.argv[2]), Program(sys.argv[3])
    choose = random.Random(1)
    print("1..4")
    problems = found(PatchFile(path), old, new)
    print(f"{'not ok' if problems else 'ok'} 1 - the patch as it is has nothing wrong")
    for number, (what, damage) in enumerate((("every reference that is moved is found", move_reference), ("every one that is not bound", drop_reference),
                                             ("every function that is left out", drop_function)), 2):
        missed, tried = [], 0
        for _ in range(COUNT):
            patch = PatchFile(path)
            done = damage(patch, old, choose)
            tried += done is not None
            if done and not found(patch, old, new):
                missed.append(done)
        print(f"{'not ok' if missed or not tried else 'ok'} {number} - {what} ({tried} tried)")
        for one in missed[:5]:
            print(f"# missed: {one}")


main()
