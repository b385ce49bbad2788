#!/usr/bin/env python3
"""Verifies a patch file against the two images, with nothing of what made it: checker.py PATCH OLD NEW.

Everything that the new code refers to must be, in the process, the item that the new build means. What is "the same item" is found
from below: exported names, the program's entry, and pairs that the patch itself names are claims; code that is the same but for references
claims that each of them leads to the same item; constants claim it of their pointers. A claim "this old address is that new one" of
code and of variables has to be one to one. So a binding that is wrong contradicts what all other code says.

It also looks for what the patch leaves out: code that nothing in the patch replaces must be the same in both builds, and
refer to the same items and to constants of the same content.
"""
import re
import sys

from patchfile import PatchFile
from program import ADDRESS, BRANCH, EXECUTE, MEMORY, NUMBER, THREAD_LOCAL, WRITE, Program

OLD, SLICE, IMPORT = 0, 1, 2
PC32 = 2
ADDED = re.compile(r"\((\d+) bytes at 0x([0-9a-f]+) of the new build\) is a new variable")


class Different(Exception):
    """Two addresses are not the same item."""


class Checker:
    def __init__(self, patch, old, new):
        self.patch, self.old, self.new = patch, old, new
        self.problems = []
        self.replaced = {f.old: f.new for f in patch.functions if f.old}	# by the patch, or known to it
        self.code, self.code_back = {}, {}		# old entry -> (new entry, who says so), and back
        self.variables, self.variables_back = {}, {}
        self.constants = set()				# compared, or being compared
        self.work = []
        self.leaves_values = any("left as it is" in note for note in patch.notes)	# of variables, and says so
        found = [ADDED.search(note) for note in patch.notes]
        self.added = [(int(match[2], 16), int(match[1])) for match in found if match]	# start and size of variables that it brings along
        self.bound = {binding.where: binding for binding in patch.bindings}
        self.included = [r for f in patch.functions for r in f.new_ranges]

    def problem(self, text):
        if text not in self.problems:
            self.problems.append(text)

    # --- claims ---

    def claim(self, there, back, old, new, why):
        """True when it is new."""
        if there.get(old, (new,))[0] != new:
            raise Different(f"{old:#x} of the old build is {new:#x} of the new one ({why}), but also {there[old][0]:#x} ({there[old][1]})")
        if back.get(new, (old,))[0] != old:
            raise Different(f"{new:#x} of the new build is {old:#x} of the old one ({why}), but also {back[new][0]:#x} ({back[new][1]})")
        if old in there:
            return False
        there[old], back[new] = (new, why), (old, why)
        return True

    def claim_code(self, a, b, why):
        if self.claim(self.code, self.code_back, a.start, b.start, why) and self.replaced.get(a.start) != b.start:
            self.work.append((a, b))

    def land(self, x, y, kind, access, why):
        """Raises Different unless x in the old image and y in the new one can be the same item."""
        a, b = self.old.part(x), self.new.part(y)
        if self.old.copied(x) != self.new.copied(y) and not self.both_ends(x, y):	# (what lies behind an end is none of its)
            raise Different(f"{x:#x} of the old build is {self.old.copied(x)} of another image, {y:#x} of the new one {self.new.copied(y)} ({why})")
        if not a or not b:
            self.land_outside(x, y, a, b)
        elif a.flags & EXECUTE or b.flags & EXECUTE:
            self.land_code(x, y, why)
        elif a.name in (".got", ".got.plt") and b.name in (".got", ".got.plt") and y in self.new.relocations:
            self.land_slot(self.old.relocations.get(x), self.new.relocations.get(y), why)
        elif a.name.startswith(".eh_frame") and b.name.startswith(".eh_frame"):
            pass	# no code depends on what stands there: it is the end of an array before it
        elif self.old.is_constant(a) and self.new.is_constant(b):
            self.land_constant(x, y, access if kind == MEMORY else 0, why)
        elif self.old.is_constant(a) or self.new.is_constant(b) or a.name != b.name:
            if not self.both_ends(x, y):
                raise Different(f"{x:#x} in {a.name} became {y:#x} in {b.name} ({why})")
        elif self.claim(self.variables, self.variables_back, x, y, why):
            p, q = self.old.relocations.get(x), self.new.relocations.get(y)
            if p and q and p.target() and q.target() and not self.leaves_values:
                self.land(p.target(), q.target(), ADDRESS, 0, f"the initial value of the variable {x:#x}")

    def both_ends(self, x, y):
        ends = {part.end: part.name for part in self.old.parts}
        return x in ends and any(part.end == y and part.name == ends[x] for part in self.new.parts)

    def land_outside(self, x, y, a, b):
        if a is None and b is None:
            return
        if not self.both_ends(x, y):
            raise Different(f"{x:#x} of the old build became {y:#x}: one of them is in no section")

    def land_code(self, x, y, why):
        a, b = self.old.unit(x), self.new.unit(y)
        if not a and not b:
            self.land_slot(self.old.stub_slot(x), self.new.stub_slot(y), why)
        elif not a or not b:
            slot = self.new.stub_slot(y) if a else self.old.stub_slot(x)
            names = {s[0] for s in (self.old if a else self.new).symbols if s[5] and s[2] == (x if a else y)}
            if not slot or slot.symbol not in names:
                raise Different(f"{x:#x} and {y:#x}: a function and a stub ({why})")
        elif x - a.start != y - b.start:
            if not self.in_replaced(a, b):
                raise Different(f"{x:#x} and {y:#x} are different places of their functions ({why})")
        elif x == a.start or not self.in_replaced(a, b):
            self.claim_code(a, b, why)

    def in_replaced(self, a, b):
        """Parts of one replaced function, whose inner places are its own affair."""
        for function in self.patch.functions:
            if any(start == a.start for start, _ in function.old_ranges):
                return not function.new_ranges or any(start == b.start for start, _ in function.new_ranges)
        return False

    def land_slot(self, p, q, why):
        if not p or not q:
            raise Different(f"a slot or stub without a relocation ({why})")
        if p.kind != q.kind or p.symbol != q.symbol or (p.version and q.version and p.version != q.version):
            raise Different(f"a slot for {p.symbol}@{p.version} became one for {q.symbol}@{q.version} ({why})")
        if not p.symbol and p.target() is not None and q.target() is not None:
            self.land(p.target(), q.target(), ADDRESS, 0, why)
        elif p.addend != q.addend:
            raise Different(f"a slot's addend {p.addend} became {q.addend} ({why})")

    # --- constants ---

    def land_constant(self, x, y, access, why):
        if (x, y, access) in self.constants:
            return
        self.constants.add((x, y, access))
        if access:
            self.same_bytes(x, y, access, why)
            return
        one, other = self.old.string(x), self.new.string(y)
        if one is not None and one == other:
            return
        if self.same_end(x, y):
            return
        sizes = self.old.table_end(x) - x, self.new.table_end(y) - y
        size = min(sizes)
        self.same_bytes(x, y, size, why)
        rest = self.old.read(x + size, sizes[0] - size) + self.new.read(y + size, sizes[1] - size)
        if any(rest):
            raise Different(f"the constants at {x:#x} and {y:#x} differ in size: {sizes[0]} and {sizes[1]} ({why})")

    def same_end(self, x, y):
        """The end of the same text: code goes back to its start from there."""
        one = self.old.text_before(x)
        return one is not None and one == self.new.text_before(y)

    def same_bytes(self, x, y, size, why):
        one, other = self.old.read(x, size), self.new.read(y, size)
        at = 0
        while at < size:
            p, q = self.old.relocations.get(x + at), self.new.relocations.get(y + at)
            if p and q and not (self.old.fixed and one[at:at + 8] == other[at:at + 8] and not self.old.part(p.addend)):
                self.same_pointer(p, q, f"the pointer at {x + at:#x} in a constant, for {why}")
                at += 8
            elif (p or q) and not self.old.fixed or one[at] != other[at]:
                self.same_offset(x, y, at & ~3, one, other, why)
                at = (at & ~3) + 4
            else:
                at += 1

    def same_pointer(self, p, q, why):
        if p.symbol != q.symbol and (p.symbol or q.symbol) and (p.target() is None or q.target() is None):
            raise Different(f"a pointer to {p.symbol} became one to {q.symbol} ({why})")
        if p.target() is not None and q.target() is not None:
            self.land(p.target(), q.target(), ADDRESS, 0, why)
        elif p.kind != q.kind or p.symbol != q.symbol or p.addend != q.addend:
            raise Different(f"pointers differ ({why})")

    def same_offset(self, x, y, at, one, other, why):
        """An entry of a table of 32-bit offsets from its start: of code, or of texts."""
        if at + 4 <= len(one):
            u = x + int.from_bytes(one[at:at + 4], "little", signed=True)
            v = y + int.from_bytes(other[at:at + 4], "little", signed=True)
            a, b = self.old.unit(u), self.new.unit(v)
            if a and b and u - a.start == v - b.start:
                self.claim_code(a, b, why)
                return
            if self.old.string(u) is not None and self.old.string(u) == self.new.string(v):
                return
        raise Different(f"the constants at {x:#x} and {y:#x} differ at +{at:#x} ({why})")

    # --- code that stays ---

    def same_unit(self, a, b):
        if a.end - a.start != b.end - b.start or a.hash != b.hash or len(a.references) != len(b.references):
            raise Different(f"the code at {a.start:#x} of the old build, {b.start:#x} of the new one, differs")
        for r, s in zip(a.references, b.references):
            if (r.where - a.start, r.kind, r.size) != (s.where - b.start, s.kind, s.size):
                raise Different(f"the code at {a.start:#x} and {b.start:#x} differs in its references")
        for r, s in zip(a.references, b.references):
            self.land(r.target, s.target, r.kind, r.access, f"what the unchanged code at {r.insn:#x}, now {s.insn:#x}, refers to")

    def drain(self):
        while self.work:
            a, b = self.work.pop()
            try:
                self.same_unit(a, b)
            except Different as difference:
                if a.start not in self.replaced:
                    self.problem(f"left out of the patch: {difference}")

    def seed_names(self):
        exported = {}
        for name, version, value, _, kind, defined, _ in self.old.symbols:
            if defined and kind in (1, 2, 10):
                exported[name, version] = value
        for name, version, value, _, kind, defined, _ in self.new.symbols:
            if defined and kind in (1, 2, 10) and (name, version) in exported:
                yield exported[name, version], value, name

    def seed(self):
        for old, new in self.replaced.items():
            self.claim(self.code, self.code_back, old, new, "a function of the patch")
        if self.old.unit(self.old.entry) and self.new.unit(self.new.entry):
            self.try_land(self.old.entry, self.new.entry, "the entry")
        for x, y, name in self.seed_names():
            part = self.old.part(x)
            if part and (part.flags & EXECUTE or part.flags & WRITE and not self.old.is_constant(part)):
                self.try_land(x, y, name)
        self.drain()

    def try_land(self, x, y, why):
        try:
            self.land(x, y, ADDRESS, 0, why)
        except Different as difference:
            self.problem(str(difference))

    def seed_contents(self):
        """Code that is unique in both builds and that nobody has said anything of."""
        one, other = {}, {}
        for table, program, known in ((one, self.old, self.code), (other, self.new, self.code_back)):
            for unit in program.units:
                if unit.decoded and unit.end - unit.start >= 32:
                    table.setdefault(unit.hash, []).append(unit)
            for key in [key for key, units in table.items() if len(units) > 1 or units[0].start in known]:
                del table[key]
        for key in one.keys() & other.keys():
            a, b = one[key][0], other[key][0]
            if a.start in self.code or b.start in self.code_back or self.in_replaced(a, b) or self.is_included(b.start):
                continue
            self.claim_code(a, b, "code that is like no other")
            self.drain()

    # --- the new code ---

    def is_included(self, address):
        return any(start <= address < end for start, end in self.included)

    def check_bindings(self):
        bound = dict(self.bound)
        for function in self.patch.functions:
            for start, end in function.new_ranges:
                unit = self.new.unit(start)
                if not unit or (unit.start, unit.end) != (start, end):
                    self.problem(f"{function.name}: its new range {start:#x} is no piece of code of the new build")
                    continue
                for reference in unit.references:
                    self.check_reference(function, reference, bound.pop(reference.where, None))
        for binding in bound.values():
            self.check_pointer(binding)
        self.drain()

    def check_reference(self, function, reference, binding):
        why = f"a reference of {function.name} at {reference.insn:#x}"
        if binding is None:
            if reference.kind == NUMBER:
                self.problem(f"{why}: a number that may be an address is not bound")
            else:
                self.check_inside(reference, reference.target, why)
            return
        meant = binding.target + binding.addend + (reference.tail if binding.kind == PC32 else 0)
        if binding.anchor == SLICE:
            target = self.behind_stub(reference.target)
            if meant != target:
                self.problem(f"{why} is bound to {meant:#x} of the slice, not {target:#x}")
            self.check_inside(reference, target, why)
            return
        try:
            self.land(meant, reference.target, reference.kind, reference.access, why)
        except Different as difference:
            self.problem(str(difference))

    def behind_stub(self, address):
        """What the new build calls by way of its interface and defines itself."""
        slot = self.new.stub_slot(address) if self.new.unit(address) is None else None
        return slot and slot.target() or address

    def check_inside(self, reference, target, why):
        """It must be something that the slice has, and that no process shares."""
        part = self.new.part(target)
        if part and part.flags & EXECUTE:
            if not self.is_included(target) and not self.is_jump(target) and not self.is_stub(target):
                self.problem(f"{why} leads to {target:#x}, which the slice does not have")
            return
        if part and part.name in (".got", ".got.plt") and target in self.bound and self.patch.read(target, 8) is not None:
            return		# a slot of the slice's own: check_pointer() looks at what is in it
        variable = part and part.flags & WRITE and not self.new.is_constant(part)
        if variable and not any(start <= target < start + size for start, size in self.added):
            self.problem(f"{why} leads to the variable {target:#x}, and not to the process's")
            return
        size = reference.access or 1
        if not part or self.patch.read(target, size) is None:
            self.problem(f"{why} leads to {target:#x}, which the slice does not have")
            return
        if variable:
            return	# check_added() looks at all of it
        self.check_copy(target, size if reference.access else self.new.table_end(target) - target, why)

    def check_copy(self, start, size, why):
        """A constant that the slice has its own copy of: as the new build has it, with its pointers bound."""
        if self.new.copied(start):
            self.problem(f"{why}: {start:#x} is filled when a program starts ({self.new.copied(start)[0]}), and the slice has what the file has")
            return
        at = start
        while at < start + size:
            if at in self.new.relocations and not (self.new.fixed and at not in self.bound):
                if at not in self.bound:
                    self.problem(f"{why}: the pointer at {at:#x} in the slice is not bound")
                    return
                at += 8
                continue
            if self.patch.read(at, 1) != self.new.read(at, 1):
                self.problem(f"{why}: the slice's {at:#x} is not what the new build has")
                return
            at += 1

    def is_jump(self, address):
        """A jump to the process's function, in the place where the new image has it."""
        code = self.patch.read(address, 5)
        binding = self.bound.get(address + 1)
        if not code or code[0] != 0xe9 or not binding or binding.anchor != OLD:
            return False
        self.try_land(binding.target + binding.addend + 4, address, "a jump in the slice")
        return True

    def is_stub(self, address):
        slot = self.new.stub_target(address) if self.new.unit(address) is None else None
        return slot in self.bound and self.patch.read(address, 6) == self.new.read(address, 6)

    def check_pointer(self, binding):
        """A binding that is none of the new code's references: of a pointer in a constant, or of a jump."""
        if binding.kind == PC32:
            return		# is_jump() has seen it, if anything leads there
        pointer = self.new.relocations.get(binding.where)
        if pointer is None:
            self.problem(f"the binding at {binding.where:#x} is of no reference of the new build")
            return
        if binding.anchor == IMPORT:
            name, version, weak = self.patch.imports[binding.target]
            if (name, version, binding.addend) != (pointer.symbol, pointer.version or "", pointer.addend) or weak != pointer.weak:
                self.problem(f"the slot at {binding.where:#x} is bound to {name}@{version}, not {pointer.symbol}@{pointer.version}")
            if pointer.value:
                self.problem(f"the slot at {binding.where:#x} is bound to another image's {name}, which the new build defines itself")
            return
        target = pointer.target()
        if target is None:
            self.problem(f"the binding at {binding.where:#x} is of a pointer to {pointer.symbol}")
        elif binding.anchor == SLICE and binding.target + binding.addend != target:
            self.problem(f"the pointer at {binding.where:#x} leads to {binding.target:#x} of the slice, not {target:#x}")
        elif binding.anchor == OLD:
            self.try_land(binding.target + binding.addend, target, f"the slice's pointer at {binding.where:#x}")

    # --- variables ---

    def check_added(self):
        """Variables that the patch brings along are none that the process has."""
        for start, size in self.added:
            for address, (old, why) in self.variables_back.items():
                if start <= address < start + size:
                    self.problem(f"the new variable at {start:#x} is {old:#x} of the old build for {why}")
            if self.patch.read(start, size) is None:
                self.problem(f"the slice has no new variable at {start:#x}")
            elif self.new.part(start).kind == 8:
                if any(self.patch.read(start, size)):
                    self.problem(f"the new variable at {start:#x} does not begin as zeros")
            else:
                self.check_copy(start, size, "a new variable")

    def pieces(self, a, b):
        """Of sections of variables: what lies at the same distance from the same item."""
        if not any(b.address <= start < b.end for start, _ in self.added):
            return [(a.address, b.address, a.size)] if a.size == b.size else []
        items = sorted((x, y) for x, (y, _) in self.variables.items() if a.address <= x < a.end and b.address <= y < b.end)
        starts = sorted([y for _, y in items] + [start for start, _ in self.added] + [b.end])
        found = []
        for (x, y), (following, _) in zip(items, items[1:] + [(a.end, b.end)]):
            found.append((x, y, min([following - x] + [start - y for start in starts if start > y])))
        return found

    def check_values(self):
        """Initial values that differ must not pass in silence."""
        for a in self.old.parts:
            b = self.new.section(a.name)
            if not a.flags & WRITE or a.kind == 8 or self.old.is_constant(a) or a.name.startswith(".got") or not b or b.kind == 8:
                continue
            for x, y, size in self.pieces(a, b):
                self.check_piece(a.name, x, y, size)

    def check_piece(self, name, x, y, size):
        at = 0
        while at < size:
            width = 8 if (x + at) % 8 == 0 and size - at >= 8 else 1
            pointer = (x + at) & ~7 in self.old.relocations or (y + at) & ~7 in self.new.relocations
            if not pointer and self.old.read(x + at, width) != self.new.read(y + at, width) and not self.leaves_values:
                self.problem(f"the initial value at {x + at:#x} in {name} differs, and the patch does not say so")
                return
            at += width

    def run(self):
        self.seed()
        self.check_bindings()
        self.seed_contents()
        self.check_added()
        self.check_values()
        return self.problems


def check(patch_path, old_path, new_path):
    """A list of what is wrong with the patch: empty when nothing is."""
    return Checker(PatchFile(patch_path), Program(old_path), Program(new_path)).run()


def main():
    problems = check(*sys.argv[1:4])
    for problem in problems:
        print(problem)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
