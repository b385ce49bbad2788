/*
 * arch.h: all that the rest of stent may ask of an instruction set.
 *
 * Nothing outside src/arch/ knows the length of an instruction, the reach of a jump or the name of a
 * register. One `struct arch` per instruction set; addresses are those of the code being looked at,
 * whatever machine stent runs on.
 */
#ifndef STENT_ARCH_ARCH_H
#define STENT_ARCH_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

enum insn_kind {
	INSN_OTHER,
	INSN_CALL,		/* direct: ref[0] is the target */
	INSN_CALL_INDIRECT,
	INSN_JUMP,		/* direct, always taken: ref[0] is the target */
	INSN_JUMP_CONDITIONAL,	/* direct, may fall through: ref[0] is the target */
	INSN_JUMP_INDIRECT,
	INSN_RETURN,
	INSN_STOP,		/* never falls through: ud2, hlt, int3 */
	INSN_NOP,		/* no effect but for the program counter; endbr64 is not one */
};

enum ref_kind {
	REF_NONE,
	REF_BRANCH,		/* direct call or jump */
	REF_LOAD,		/* pc-relative memory operand; `access` bytes at the target are read or written */
	REF_ADDRESS,		/* pc-relative address put into a register */
	REF_ABSOLUTE,		/* immediate or absolute displacement that is an address if the image is linked
				 * at a fixed one; whether it is, is for the caller to say. Sign-extended. */
};

/* One encoded reference inside an instruction. */
struct insn_ref {
	uint8_t kind;		/* enum ref_kind */
	uint8_t offset, size;	/* the field: bytes from the instruction's start, and 1, 2, 4 or 8 */
	uint8_t access;		/* REF_LOAD: size of the memory operand, 0 when unknown or larger than 255 */
	bool stores;		/* there: the instruction writes to it */
	uint64_t target;
};

/* A number inside an instruction that is no reference; size 0 when there is none. */
struct insn_number {
	uint8_t offset, size;
};

/* What it says, the sign extended; 0 when there is none. `code` is that of the instruction. */
static inline uint64_t insn_number(const uint8_t *code, struct insn_number field)
{
	switch (field.size) {
	case 8:
		return load64(code + field.offset);
	case 4:
		return (uint64_t)(int64_t)(int32_t)load32(code + field.offset);
	case 2:
		return (uint64_t)(int64_t)(int16_t)load16(code + field.offset);
	case 1:
		return (uint64_t)(int64_t)(int8_t)code[field.offset];
	default:
		return 0;
	}
}

struct insn {
	uint8_t length;		/* bytes, 1 to 15 on x86-64 */
	uint8_t kind;		/* enum insn_kind */
	bool on_stack;		/* the displacement is relative to the stack or frame pointer */
	bool thread_local_access; /* the memory operand is relative to the thread pointer */
	uint8_t access;		/* bytes at `displacement` from a register other than the stack pointer that are loaded or stored as a number; 0: none,
				 * or otherwise */
	bool loads, stores;	/* of these */
	uint8_t fills;		/* it fills memory with pieces of so many bytes, as many as arch->fill_count says; 0: it doesn't */
	struct insn_ref ref[2];	/* [1].kind is REF_NONE unless there are two (mov $address, x(%rip)) */
	struct insn_number displacement;	/* of a memory operand that is not pc-relative; also set when
						 * ref[] holds the same field as REF_ABSOLUTE */
	struct insn_number immediate;		/* likewise also set for a REF_ABSOLUTE immediate */
	uint64_t clobbers;	/* registers written: bits 0-15 general (hardware numbering), 16-47 vector,
				 * 48 flags, 49 x87/MMX, 50 mask registers. Calls: what the instruction itself
				 * writes only, not what the callee does. */
};

#define ARCH_ENTRY_MAX 32	/* bytes at a function's entry that are ever displaced */
#define ARCH_COPY_MAX 192	/* bytes that a displaced copy ever takes */

/* How a function's entry is to be redirected. */
struct entry_plan {
	uint8_t offset;		/* bytes from the entry to the jump: 4 behind an endbr64, else 0 */
	uint8_t jump;		/* bytes of the jump */
	uint8_t span;		/* bytes of whole instructions that are displaced, from `offset` on; less than
				 * `jump` when the jump also takes padding behind them. No jump from elsewhere
				 * may lead behind `offset` into the larger of the two. */
};

/* A displaced copy, and where each displaced instruction went. */
struct entry_copy {
	uint8_t code[ARCH_COPY_MAX];
	uint8_t size;		/* bytes used in code */
	uint8_t at[ARCH_ENTRY_MAX + 1];	/* at[i]: offset in code of the instruction that began at
					 * entry + offset + i; 0xff where none began. at[span]: the jump back, 0xff when
					 * the last instruction needs none. A program counter in the copy that is
					 * none of these is in the middle of an instruction's replacement: it has no
					 * equivalent at the entry. */
};

/* What the dynamic linker writes for a relocation, as far as stent must tell them apart. */
enum reloc_kind {
	RELOC_OTHER,		/* anything else: what it refers to is not known */
	RELOC_RELATIVE,		/* load bias + addend */
	RELOC_ADDRESS,		/* a symbol's address + addend, in data */
	RELOC_SLOT,		/* a symbol's address, in the global offset table */
	RELOC_COPY,		/* a copy of another image's variable */
	RELOC_RESOLVER,		/* what the function at load bias + addend returns (IRELATIVE) */
	RELOC_TLS_MODULE,	/* number of the module that has the thread-local symbol */
	RELOC_TLS_OFFSET,	/* offset of a thread-local symbol + addend, from its block or from the thread pointer */
};

/* What a linker put into a field for a relocation. */
enum link_kind {
	LINK_OTHER,		/* anything else */
	LINK_NUMBER,		/* no address: a size, or an offset of a thread-local variable */
	LINK_ABSOLUTE,		/* symbol + addend, an address */
	LINK_RELATIVE,		/* symbol + addend - place */
};

/*
 * What one instruction does to the stack pointer, to the frame, and to values that are kept in
 * registers or on the stack: as much as it takes to follow a frame (objtool has struct stack_op for
 * this). Registers are DWARF numbers; NO_REGISTER where there is none. `writes` holds for every kind:
 * registers that get a value which is none of the below.
 */
#define NO_REGISTER 0xff

enum effect_kind {
	EFFECT_NONE,
	EFFECT_PUSH,	/* the stack pointer falls by `size`; then `source`, or some other value, is stored there */
	EFFECT_POP,	/* `target`, or something else, is loaded from there; then the stack pointer rises by `size` */
	EFFECT_LEAVE,	/* the stack pointer becomes the frame pointer's value, which then is popped */
	EFFECT_MOVE,	/* target = source + offset */
	EFFECT_ALIGN,	/* target &= offset, which is a negative power of two */
	EFFECT_LOAD,	/* target = word at source + offset */
	EFFECT_STORE,	/* word at target + offset = source; without a target at a place of its own, or a thread's */
	EFFECT_SPOIL,	/* `size` bytes at target + offset get another value; size 0: not known how many, or where behind it */
	EFFECT_EXCHANGE, /* target and source */
	EFFECT_ADDRESS,	/* target = address */
	EFFECT_SUM,	/* target = source + index */
	EFFECT_SHIFT,	/* target = source, and something added to it, or masked out of it, that is no constant; it is computed
			 * from `index` if that is a register */
	EFFECT_EXTEND,	/* target = lower half of source, sign-extended */
	EFFECT_TABLE,	/* target = sign-extended word of `size` bytes at source + offset + index * size, or without
			 * a source at address + index * size; the index may be absent too. An indirect jump
			 * through memory is one with no target. */
	EFFECT_COMPARE,	/* source is compared with offset */
};

struct insn_effect {
	uint8_t length;
	uint8_t insn;		/* enum insn_kind. An indirect jump through a register has it as `source`. */
	uint8_t kind;		/* enum effect_kind */
	bool faults;		/* it accesses memory that can't be there: control hardly gets past it */
	bool pops;		/* a return that takes more than the return address from the stack */
	bool subtracts;		/* EFFECT_SHIFT: what is added is a number that is subtracted */
	bool spoils_frame;	/* it writes to some place of memory that may be in the frame, besides what `kind` says */
	bool refers;		/* `address` stands in the instruction as a distance from it */
	uint8_t target, source, index;
	uint8_t base;		/* that its memory operand is relative to, whatever `kind` is; NO_REGISTER: none, or no general one */
	uint16_t size;
	int32_t offset;
	uint32_t writes;	/* bit n: DWARF register n */
	uint64_t address;	/* of a direct branch's target; EFFECT_ADDRESS: the value; EFFECT_TABLE: the place; a call
				 * through one fixed word: where that is. Else 0. */
};

/* General registers that hold addresses of an object, as bits of insn.clobbers. */
struct held {
	uint64_t may;		/* they do so on some way to a place in the code, as far as is known, */
	uint64_t seen;		/* certainly, on some way, */
	uint64_t must;		/* or on all ways */
};

/* What becomes of such addresses, the worst last. */
enum fate {
	FATE_KEPT,	/* registers hold them, or nobody does any more */
	FATE_OUT,	/* they may get elsewhere: into memory, a part of a register, the kernel; or something is stored where they lead */
	FATE_COMPARED,	/* one is compared with something that is none of the object */
};

/* Where an instruction itself has an address of the object. */
enum own_address { OWN_NONE, OWN_DISPLACEMENT, OWN_IMMEDIATE };

/* Where the parts of per-thread dispatch stand, for one patch in one process. All words are aligned. */
struct dispatch {
	uint64_t selector;	/* word: address of the version table that all threads use, or 0: each its own */
	uint64_t fallback;	/* word: address of the version table of threads without an entry */
	uint64_t table;		/* struct dispatch_entry (arch/dispatch.h) ... */
	uint8_t table_bits;	/* ... 1 << table_bits of them */
	uint64_t lookup;	/* code that write_lookup() writes */
};

/* What a finder answers for, and where it goes on. */
struct finder {
	struct range code;	/* program counters */
	uint64_t index;		/* address of the .eh_frame_hdr for these */
	uint64_t next;		/* word: address of what is asked about all others */
};

struct arch {
	const char *name;	/* "x86-64" */
	uint16_t machine;	/* e_machine of ELF */
	uint8_t trap;		/* byte that fills unused code */

	/* Decode one instruction at `address`; false when the bytes are none. Reads at most `size` bytes. */
	bool (*decode)(const uint8_t *code, size_t size, uint64_t address, struct insn *out);

	/*
	 * Bytes of the instruction, if it is one that refers to nothing (struct insn has no ref[]) and is no branch; 0 when that is not so,
	 * or not known at once: decode() finds out. Reads at most `size` bytes.
	 */
	size_t (*plain)(const uint8_t *code, size_t size);

	/*
	 * The same number for two instructions that are the same but for the choice of registers (and for how that makes them be encoded):
	 * what they do, with operands of the same kinds and sizes, and the same numbers and displacements, in the same places. Which of its operands
	 * are in one register counts, and so does the stack pointer. 0 when the bytes are no instruction.
	 */
	uint64_t (*form)(const uint8_t *code, size_t size);

	/* One line of assembler text ("mov rax, [rip+0x10]"), cut at `room`; false as for decode. */
	bool (*print)(const uint8_t *code, size_t size, uint64_t address, char *out, size_t room);

	/*
	 * Decide how the entry can become a jump. `size`: bytes of the function's first range; `padding`:
	 * bytes of nop or int3 right behind it that no other function owns (code[] holds them too).
	 * Returns NULL and fills *plan, or says why not (a static string). Jumps from elsewhere into the
	 * displaced bytes are the caller's to find; a jump from within them back to the entry is relocated
	 * with them, to another place inside them is a reason to refuse.
	 */
	const char *(*plan_entry)(const uint8_t *code, size_t size, size_t padding, struct entry_plan *plan);

	/*
	 * Build the displaced copy of the entry at `from`, to run at `to` (both absolute; all that the
	 * copied instructions refer to, and `from`, must be in reach of `to`). A jump back to
	 * from + offset + span follows where the last one can fall through. A displaced call pushes the *original* return
	 * address and jumps, because a return address inside the copy would have no unwind rows. (A thread
	 * with a shadow stack would not survive that return: its process is not to be patched.)
	 * Returns NULL, or a static string that says why not.
	 */
	const char *(*copy_entry)(const uint8_t *code, const struct entry_plan *plan, uint64_t from, uint64_t to,
				  struct entry_copy *copy);

	/* Distance that a direct jump, and a pc-relative operand, can bridge (2 GiB less a margin). */
	uint64_t reach;

	/* Bytes of a direct jump that has this reach. */
	size_t jump_size;

	/* Direct jump of `size` (plan->jump) bytes from `at` to `to`; false, and nothing written, when out
	 * of reach or when no jump has that size. */
	bool (*write_jump)(uint8_t *out, size_t size, uint64_t at, uint64_t to);

	/* Jump to any address, from any: exactly `far_jump_size` bytes. Keeps every register and the flags, and touches no stack. */
	size_t far_jump_size;
	void (*write_far_jump)(uint8_t *out, uint64_t to);

	/*
	 * Dispatcher: jump to where a function's word in a version table says: `old` and `new` are the addresses of its words in the two. Which
	 * table is what the selector says, or, when that is 0, the entry of the calling thread in the table of threads, or, when it has none, the fallback. One
	 * lookup routine does the latter for all dispatchers of a region. They keep every register, the flags, vector and floating-point
	 * state, and the 128 bytes below the stack pointer, whatever its alignment: whoever jumps to an entry finds all as it was, also a function that jumps back to
	 * its own and has variables there (psABI 3.2.2). They write only to the 48 bytes below those. Exactly `dispatcher_size` and
	 * `lookup_size` bytes are written; false, and nothing written, when something is out of reach, or table_bits is
	 * not from DISPATCH_BITS_MIN to DISPATCH_BITS_MAX.
	 */
	size_t dispatcher_size, lookup_size;
	bool (*write_dispatcher)(uint8_t *out, uint64_t at, const struct dispatch *dispatch, uint64_t old, uint64_t new);
	bool (*write_lookup)(uint8_t *out, const struct dispatch *dispatch);

	/*
	 * Finder: stands before the C library's function `int _dl_find_object(void *pc, struct dl_find_object *result)`, by which
	 * unwinders find tables (glibc 2.35, <dlfcn.h>). For a pc inside of finder->code it fills in the result as that function would,
	 * and returns 0; for all others it jumps to what is in the word `next`, with all arguments as they were. Writes exactly
	 * `finder_size` bytes. False when `next` is out of reach.
	 */
	size_t finder_size;
	bool (*write_finder)(uint8_t *out, uint64_t at, const struct finder *finder);

	/* Bits of AT_HWCAP2 without which a program can't run the lookup routine: the selector must never be 0 then. */
	uint64_t lookup_hwcap2;

	/* What ld.so.cache says of a library for it (glibc, elf/cache.c and sysdeps/generic/ldconfig.h). */
	uint32_t library_kind;

	/* True when the bytes that end at `end` (`size` of them, at least 8 where there are) end with a call instruction. */
	bool (*ends_with_call)(const uint8_t *end, size_t size);

	/* What the instruction at `address` does to the frame; false as for decode. */
	bool (*effect)(const uint8_t *code, size_t size, uint64_t address, struct insn_effect *out);

	/* Do the bytes begin with the code that a signal handler returns to (a call of rt_sigreturn)? */
	bool (*is_signal_return)(const uint8_t *code, size_t size);

	/*
	 * Bytes up to where the code ends its thread: by the system call exit or exit_group, or an instruction that no
	 * program survives. All ways lead there: it has no jump and no return (calls are none of these). 0 when it may go
	 * on, and when that is not to be seen within a few instructions.
	 */
	size_t (*thread_end)(const uint8_t *code, size_t size);

	/*
	 * The instruction that the bytes begin with (for a call, a jump or a return: what it does before that), where registers hold addresses of one
	 * object, or numbers computed from them: what becomes of those, and which registers hold them behind it, as far as that is seen? (Where it is not seen whether two are of
	 * the object, and they are compared, that is FATE_OUT.)
	 */
	enum fate (*follow_address)(const uint8_t *code, size_t size, enum own_address own, struct held *held);

	/* Registers that carry the first integer arguments, in their order, as bits of insn.clobbers (psABI figure 3.4). */
	uint8_t argument_count;
	uint8_t argument[8];
	uint8_t fill_count;	/* the one of these (by its number in the list) that says how many pieces an instruction fills; see insn.fills */

	/* Registers that a call need not preserve, as a mask like insn.clobbers (psABI figure 3.4). */
	uint64_t call_clobbers;

	/* Registers that a function's result is in, likewise (psABI 3.2.3). */
	uint64_t results;

	/* Kind of a dynamic relocation, by its number in the psABI. */
	enum reloc_kind (*relocation)(uint32_t type);

	/* Kind of a relocation that a linker resolves, likewise. */
	enum link_kind (*link_relocation)(uint32_t type);
};

extern const struct arch arch_x86_64;

/* By e_machine; NULL for one that stent does not know. */
const struct arch *arch_by_machine(uint16_t machine);

#endif
