"""Looks at a patched process from outside: does every changed function lead to code that equals the new build's?"""
import os
import struct


def mappings(pid):
    with open(f"/proc/{pid}/maps") as file:
        for line in file:
            fields = line.split(None, 5)
            start, end = (int(x, 16) for x in fields[0].split("-"))
            yield start, end, fields[1], int(fields[2], 16), fields[5].strip() if len(fields) > 5 else ""


def load_bias(pid, path, image):
    """Where the file is mapped, less its link-time addresses."""
    wanted = os.stat(path)
    for start, _, _, offset, name in mappings(pid):
        if not name.startswith("/"):
            continue
        try:
            found = os.stat(name)
        except OSError:
            continue
        if (found.st_dev, found.st_ino) != (wanted.st_dev, wanted.st_ino):
            continue
        for kind, _, file_offset, address, _, _ in image.segments:
            if kind == 1 and file_offset & ~4095 == offset:
                return start - (address & ~4095)
    return None


class Memory:
    def __init__(self, pid):
        self.file = os.open(f"/proc/{pid}/mem", os.O_RDONLY)

    def read(self, address, size):
        return os.pread(self.file, size, address)

    def word(self, address):
        return struct.unpack("<Q", self.read(address, 8))[0]

    def close(self):
        os.close(self.file)


def jump_chain(memory, address):
    """Where a chain of direct jumps, and of jumps through a word of memory, leads by and by. (The function that it leads to may begin with one.)"""
    for _ in range(8):
        code = memory.read(address, 6)
        distance = struct.unpack_from("<i", code, 1)[0]
        if code[0] == 0xe9:
            address += 5 + distance
        elif code[:2] == b"\xff\x25":
            address = memory.word(address + 6 + struct.unpack_from("<i", code, 2)[0])
        else:
            return
        yield address


def objections(pid, patch, old_path, old, new):
    """Why the process does not run what the patch promises: a list of lines, empty when it does."""
    bias = load_bias(pid, old_path, old)
    if bias is None:
        return [f"process {pid} does not map {old_path}"]
    memory = Memory(pid)
    found = []
    bindings = {binding.where: binding for binding in patch.bindings}
    for function in patch.functions:
        if function.action != "redirect":
            continue
        objection = [f"{function.name}: its entry does not lead elsewhere"]
        for target in jump_chain(memory, bias + function.old + function.offset):
            objection = []
            for address, end in function.new_ranges:
                objection += differences(memory, function, address, end, target - function.new, bias, bindings, new)
            if not objection:
                break
        found += objection
    memory.close()
    return found


def differences(memory, function, address, end, slice_bias, bias, bindings, new):
    code, wanted = memory.read(slice_bias + address, end - address), new.read(address, end - address)
    at = address
    while at < end:
        binding = bindings.get(at)
        if binding is None:
            if code[at - address] != wanted[at - address]:
                return [f"{function.name}: its code at {at:#x} of the new build is not the new build's"]
            at += 1
            continue
        value = int.from_bytes(code[at - address:at - address + binding.size], "little", signed=True)
        if binding.anchor < 2:
            target = binding.target + (bias if binding.anchor == 0 else slice_bias) + binding.addend
            if binding.kind == 2:
                value += slice_bias + at
            if value != target:
                return [f"{function.name}: the field at {at:#x} is {value:#x}, not {target:#x}"]
        at += binding.size
    return []
