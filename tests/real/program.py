"""The pieces of code of an image and what they refer to, for checker.py. Shares nothing with src/."""
import bisect
import os
import struct
import subprocess

from patchfile import Elf

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DECODER = os.path.join(TOP, os.environ.get("BUILD", "build"), "tests/real/references")

BRANCH, MEMORY, ADDRESS, NUMBER = 1, 2, 3, 4
WRITE, ALLOCATED, EXECUTE, THREAD_LOCAL = 1, 2, 4, 0x400	# SHF_*
RELATIVE, RESOLVER, ADDRESS64, GLOBAL, SLOT, COPY = 8, 37, 1, 6, 7, 5	# R_X86_64_*


class Unit:
    """A contiguous piece of code: an FDE, or text without one up to the next place that something refers to."""
    __slots__ = ("start", "end", "hash", "decoded", "references", "covered")

    def __init__(self, start, end, covered):
        self.start, self.end, self.covered = start, end, covered
        self.hash, self.decoded, self.references = 0, False, []


class Reference:
    __slots__ = ("where", "insn", "target", "size", "tail", "kind", "access")

    def __init__(self, where, insn, target, size, tail, kind, access, _):
        self.where, self.insn, self.target, self.size = where, insn, target, size
        self.tail, self.kind, self.access = tail, kind, access


class Relocation:
    __slots__ = ("kind", "symbol", "version", "value", "addend", "weak")

    def __init__(self, kind, symbol, version, value, addend, weak=False):
        self.kind, self.symbol, self.version, self.value, self.addend, self.weak = kind, symbol, version, value, addend, weak

    def target(self):
        """Address in the same image, or None."""
        if self.kind in (RELATIVE, RESOLVER):
            return self.addend
        if self.kind in (ADDRESS64, GLOBAL, SLOT) and self.value:
            return self.value + self.addend
        return None


class Program(Elf):
    def __init__(self, path):
        super().__init__(path)
        self.parts = sorted((s for s in self.sections if s.flags & ALLOCATED and not (s.flags & THREAD_LOCAL and s.kind == 8) and s.size),
                            key=lambda s: s.address)
        self.part_starts = [s.address for s in self.parts]
        loads = [s for s in self.segments if s[0] == 1]
        self.span = min(s[3] for s in loads), max(s[3] + s[5] for s in loads)
        self.fixed = self.type == 2
        relro = [(s[3], (s[3] + s[5] + 4095) & ~4095) for s in self.segments if s[0] == 0x6474e552]
        self.relro = relro[0] if relro else (0, 0)
        self.read_symbols()
        self.read_relocations()
        self.find_units()
        self.find_boundaries()

    # --- sections ---

    def part(self, address):
        index = bisect.bisect_right(self.part_starts, address) - 1
        return self.parts[index] if index >= 0 and address < self.parts[index].end else None

    def is_constant(self, part):
        return part.kind != 8 and not part.flags & (EXECUTE | THREAD_LOCAL) and (
            not part.flags & WRITE or self.relro[0] <= part.address < self.relro[1])

    # --- symbols and relocations ---

    def text(self, table, offset):
        start = self.sections[table].offset + offset
        return self.data[start:self.data.index(b"\0", start)].decode(errors="replace")

    def versions(self):
        """Version index -> name (gABI extension: LSB 5.0, 10.7)."""
        names = {}
        for name, first in ((".gnu.version_r", 1), (".gnu.version_d", 0)):
            section = self.section(name)
            at = section.offset if section else None
            for _ in range(section.info if section else 0):
                _, count, _, aux, following = struct.unpack_from("<HHIII", self.data, at) if first else (
                    lambda v: (0, v[3], 0, v[5], v[6]))(struct.unpack_from("<HHHHIII", self.data, at))
                entry = at + aux
                if first:
                    for _ in range(count):
                        _, _, index, text, step = struct.unpack_from("<IHHII", self.data, entry)
                        names[index & 0x7fff] = self.text(section.link, text)
                        entry += step
                else:
                    index, = struct.unpack_from("<H", self.data, at + 4)
                    text, = struct.unpack_from("<I", self.data, entry)
                    names[index & 0x7fff] = self.text(section.link, text)
                at += following
        return names

    def read_symbols(self):
        self.symbols = []	# (name, version, value, size, type, defined, weak)
        section, versions = self.section(".dynsym"), self.section(".gnu.version")
        names = self.versions()
        for i in range(section.size // 24 if section else 0):
            name, info, _, index, value, size = struct.unpack_from("<IBBHQQ", self.data, section.offset + 24 * i)
            number = struct.unpack_from("<H", self.data, versions.offset + 2 * i)[0] & 0x7fff if versions else 1
            self.symbols.append((self.text(section.link, name), names.get(number) if number > 1 else None, value, size, info & 15, index != 0, info >> 4 == 2))

    def read_relocations(self):
        self.relocations = {}
        for section in self.sections:
            if section.kind != 4 or not section.flags & ALLOCATED:
                continue
            for offset in range(section.offset, section.offset + section.size, 24):
                where, info, addend = struct.unpack_from("<QQq", self.data, offset)
                symbol = self.symbols[info >> 32] if info >> 32 and self.symbols else ("", None, 0, 0, 0, False, False)
                self.relocations[where] = Relocation(info & 0xffffffff, symbol[0] or None, symbol[1], symbol[2] if symbol[5] else 0, addend, symbol[6])
        if self.fixed:
            self.guess_pointers()
        self.pointers = sorted(self.relocations)
        sizes = {}
        for symbol in self.symbols:
            sizes[symbol[2]] = max(sizes.get(symbol[2], 1), symbol[3] if symbol[5] else 1)
        self.copies = [(where, sizes.get(where, 1), r.symbol) for where, r in self.relocations.items() if r.kind == COPY]

    def copied(self, address):
        """What the dynamic linker copies there from another image: name and offset, or None."""
        return next(((symbol, address - where) for where, size, symbol in self.copies if where <= address < where + size), None)

    def guess_pointers(self):
        for part in self.parts:
            if part.kind == 8 or part.flags & EXECUTE:
                continue
            for at in range((part.address + 7) & ~7, part.end - 7, 8):
                word, = struct.unpack_from("<Q", self.data, part.offset + at - part.address)
                if self.part(word) and at not in self.relocations:
                    self.relocations[at] = Relocation(RELATIVE, None, None, 0, word)

    def stub_slot(self, address):
        """The relocation of the slot that a stub jumps through, or None."""
        return self.relocations.get(self.stub_target(address))

    def stub_target(self, address):
        """The address of that slot, or None."""
        code = self.read(address, 16)
        if code is None:
            return None
        at = 4 if code[:4] == b"\xf3\x0f\x1e\xfa" else 0
        if code[at] == 0xf2:
            at += 1
        if code[at:at + 2] != b"\xff\x25":
            return None
        return address + at + 6 + struct.unpack_from("<i", code, at + 2)[0]

    # --- code ---

    def find_units(self):
        header = self.section(".eh_frame_hdr")
        spans = []
        count, = struct.unpack_from("<I", self.data, header.offset + 8)
        frames = self.section(".eh_frame")
        for i in range(count):
            start, record = struct.unpack_from("<ii", self.data, header.offset + 12 + 8 * i)
            start, record = (header.address + start) & (1 << 64) - 1, header.address + record
            size, = struct.unpack_from("<I", self.data, frames.offset + record - frames.address + 12)
            part = self.part(start)
            if size and part and part.flags & EXECUTE and not part.name.startswith(".plt"):
                spans.append((start, start + size))
        self.units = [Unit(start, end, True) for start, end in sorted(spans)]
        self.drop_overlaps()
        self.decode(self.units)
        self.add_uncovered()
        self.units.sort(key=lambda unit: unit.start)
        self.unit_starts = [unit.start for unit in self.units]

    def drop_overlaps(self):
        kept = []
        for unit in self.units:
            if not kept or unit.start >= kept[-1].end:
                kept.append(unit)
        self.units = kept

    def add_uncovered(self):
        cuts = {reference.target for unit in self.units for reference in unit.references}
        cuts |= {target for target in (r.target() for r in self.relocations.values()) if target}
        cuts |= {symbol[2] for symbol in self.symbols if symbol[5]} | {self.entry}
        cuts, pieces = sorted(cuts), []
        starts = [unit.start for unit in self.units]
        for part in self.parts:
            if not part.flags & EXECUTE or part.name.startswith(".plt"):
                continue
            at, index = part.address, bisect.bisect_left(starts, part.address)
            while at < part.end:
                covered = self.units[index] if index < len(self.units) and self.units[index].start < part.end else None
                end = covered.start if covered else part.end
                if at < end:
                    inside = cuts[bisect.bisect_right(cuts, at):bisect.bisect_left(cuts, end)]
                    for one, other in zip([at] + inside, inside + [end]):
                        pieces.append(Unit(one, other, False))
                at, index = (covered.end if covered else part.end), index + 1
        self.decode(pieces)
        self.units += pieces

    def decode(self, units):
        span = self.span if self.fixed else (0, 0)
        request = b"".join(struct.pack("<QQ", unit.start, unit.end - unit.start) + self.read(unit.start, unit.end - unit.start) for unit in units)
        answer = subprocess.run([DECODER, str(span[0]), str(span[1])], input=request, stdout=subprocess.PIPE, check=True).stdout
        at = 0
        for unit in units:
            unit.hash, decoded, count = struct.unpack_from("<QII", answer, at)
            unit.decoded = bool(decoded)
            at += 16
            unit.references = [Reference(*fields) for fields in struct.iter_unpack("<QQQBBBBI", answer[at:at + 32 * count])]
            at += 32 * count

    def unit(self, address):
        index = bisect.bisect_right(self.unit_starts, address) - 1
        return self.units[index] if index >= 0 and address < self.units[index].end else None

    # --- data ---

    def find_boundaries(self):
        found = set()
        for unit in self.units:
            found.update(r.target for r in unit.references if r.kind != BRANCH and not (r.kind == MEMORY and r.access))
        found.update(target for target in (r.target() for r in self.relocations.values()) if target)
        found.update(symbol[2] for symbol in self.symbols if symbol[5])
        for part in self.parts:
            found.update((part.address, part.end))
        self.boundaries = sorted(found)

    def item_end(self, address):
        return self.boundaries[bisect.bisect_right(self.boundaries, address)]

    def is_type(self, address):
        """A type of C++ begins with the table of one of the library's classes of types (Itanium C++ ABI 2.9.5)."""
        kind = self.relocations.get(address)
        return bool(kind and kind.symbol and kind.symbol.startswith("_ZTVN10__cxxabiv1"))

    def is_table(self, address):
        """Of virtual functions: behind a pointer to a type."""
        pointer = self.relocations.get(address - 8)
        if pointer is None or address not in self.relocations:
            return False
        target = pointer.target()
        return self.is_type(target) if target is not None else bool(pointer.symbol and pointer.symbol.startswith("_ZTI"))

    def table_end(self, address):
        """Of tables of virtual functions, behind the last one that leads to code; of types, behind their bases; of all else, where the next item begins."""
        end = self.item_end(address)
        if self.is_type(address):
            kind = self.relocations[address].symbol
            if "__vmi_class_type_info" in kind:
                return address + 24 + 16 * int.from_bytes(self.read(address + 20, 4), "little")
            return address + (24 if "__si_class_type_info" in kind else 16)
        if not self.is_table(address):
            return end
        while address < end and address in self.relocations:
            target = self.relocations[address].target()
            part = self.part(target) if target is not None else None
            if target is not None and not (part and part.flags & EXECUTE):
                break
            address += 8
        return address

    def string(self, address):
        """The printable text at the address, or None."""
        part = self.part(address)
        if not part or part.flags & (WRITE | EXECUTE) or part.kind == 8:
            return None
        start = part.offset + address - part.address
        end = self.data.find(b"\0", start, part.offset + part.size)
        text = self.data[start:end]
        if end <= start or any(byte < 7 or 13 < byte < 27 or 27 < byte < 32 or byte == 127 for byte in text):
            return None
        return text

    def text_before(self, address):
        """The printable text that ends with the zero at the address, from the zero before it on; or None."""
        part = self.part(address)
        if not part or part.flags & (WRITE | EXECUTE) or part.kind == 8:
            return None
        end = part.offset + address - part.address
        start = self.data.rfind(b"\0", part.offset, end) + 1
        text = self.data[max(start, part.offset):end]
        if self.data[end] or len(text) < 4 or any(byte < 7 or 13 < byte < 27 or 27 < byte < 32 or byte == 127 for byte in text):
            return None
        return text
