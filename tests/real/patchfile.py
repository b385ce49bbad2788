"""Reads a patch file (docs/format.md) and an ELF image, independently of stent's own reader."""
import struct



def text_at(strings, offset):
    return strings[offset:strings.index(b"\0", offset)].decode()


class PatchFile:
    """The parts of a .stent file that tests look at."""

    CHANGES = ["code", "callees", "constant", "line", "string", "data", "displacement", "new"]
    ACTIONS = ["redirect", "add", "startup", "noise"]

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        info = data[64:64 + 264]
        assert info[:8] == b"STENT\r\n\x1a", "not a patch file"
        self.version, self.flags = struct.unpack_from("<II", info, 8)
        segments, = struct.unpack_from("<I", info, 36)
        self.old_span = struct.unpack_from("<QQ", info, 168)
        self.new_span = struct.unpack_from("<QQ", info, 184)
        counts = struct.unpack_from("<IIIII", info, 240)
        at = 328
        self.segments = []
        for i in range(segments):
            _, flags, offset, address, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", data, at + 56 * i)
            self.segments.append((address, data[offset:offset + size], flags))
        at = (at + 56 * segments + 7) & ~7
        functions = at
        at = (at + 80 * counts[0] + 7) & ~7
        ranges = [struct.unpack_from("<QQ", data, at + 16 * i) for i in range(counts[1])]
        at = (at + 16 * counts[1] + 7) & ~7
        self.bindings = [Binding(*struct.unpack_from("<QIIQq", data, at + 32 * i)) for i in range(counts[2])]
        at = (at + 32 * counts[2] + 7) & ~7
        imports = [struct.unpack_from("<III", data, at + 16 * i) for i in range(struct.unpack_from("<I", info, 260)[0])]
        at = (at + 16 * len(imports) + 7) & ~7
        notes = struct.unpack_from(f"<{counts[3]}I", data, at)
        at = (at + 4 * counts[3] + 7) & ~7
        strings = data[at:at + counts[4]]
        self.notes = [text_at(strings, note) for note in notes]
        self.imports = [(text_at(strings, name), text_at(strings, version), bool(weak & 1)) for name, version, weak in imports]
        self.functions = []
        for i in range(counts[0]):
            record = data[functions + 80 * i:functions + 80 * (i + 1)]
            old, new, name, _, first, olds, news, change, action, offset, jump, span = struct.unpack_from("<QQIIIIIBBBBB", record)
            self.functions.append(Function(
                old, new, text_at(strings, name), ranges[first:first + olds],
                ranges[first + olds:first + olds + news], self.CHANGES[change], self.ACTIONS[action], offset))

    def read(self, address, size):
        """Bytes of the slice."""
        for start, data, _ in self.segments:
            if start <= address and address + size <= start + len(data):
                return data[address - start:address - start + size]
        return None


class Binding:
    def __init__(self, where, kind, anchor, target, addend):
        self.where, self.kind, self.anchor, self.target, self.addend = where, kind, anchor, target, addend
        self.size = 8 if kind == 1 else 4


class Function:
    def __init__(self, old, new, name, old_ranges, new_ranges, change, action, offset):
        self.old, self.new, self.name, self.old_ranges, self.new_ranges = old, new, name, old_ranges, new_ranges
        self.change, self.action, self.offset = change, action, offset


class Elf:
    """Loadable segments and sections of an ELF64 file."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.type, self.machine = struct.unpack_from("<HH", self.data, 16)
        self.entry, phoff, shoff = struct.unpack_from("<QQQ", self.data, 24)
        phnum, _, shnum, shstrndx = struct.unpack_from("<HHHH", self.data, 56)
        self.segments = []
        for i in range(phnum):
            kind, flags, offset, address, _, size, memory, _ = struct.unpack_from("<IIQQQQQQ", self.data, phoff + 56 * i)
            self.segments.append((kind, flags, offset, address, size, memory))
        headers = [struct.unpack_from("<IIQQQQIIQQ", self.data, shoff + 64 * i) for i in range(shnum)]
        names = headers[shstrndx][4]
        self.sections = []
        for name, kind, flags, address, offset, size, link, info, _, entry in headers:
            end = self.data.index(b"\0", names + name)
            self.sections.append(Section(self.data[names + name:end].decode(), kind, flags, address, offset, size, link, info, entry))

    def section(self, name):
        for section in self.sections:
            if section.name == name:
                return section
        return None

    def count_functions(self):
        """FDEs, by the table that .eh_frame_hdr has of them (LSB 5.0, 10.6.2)."""
        return struct.unpack_from("<I", self.data, self.section(".eh_frame_hdr").offset + 8)[0]

    def read(self, address, size):
        """Bytes as the file has them, zeroes behind its end; None outside of all segments."""
        for kind, _, offset, start, filled, memory in self.segments:
            if kind == 1 and start <= address and address + size <= start + memory:
                have = self.data[offset + address - start:offset + min(filled, address - start + size)] if address - start < filled else b""
                return have + bytes(size - len(have))
        return None


class Section:
    def __init__(self, name, kind, flags, address, offset, size, link, info, entry):
        self.name, self.kind, self.flags, self.address, self.offset, self.size = name, kind, flags, address, offset, size
        self.link, self.info, self.entry = link, info, entry
        self.end = address + size
