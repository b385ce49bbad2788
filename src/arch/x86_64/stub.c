/*
 * stub.c: the fixed pieces of code that carry a call from an entry to the version that is to run.
 */
#include "arch/x86_64/x86_64.h"
#include "base/bytes.h"

bool x86_64_put_rel32(uint8_t *field, uint64_t next, uint64_t target)
{
	int64_t distance = (int64_t)(target - next);

	if (distance != (int32_t)distance)
		return false;
	store32(field, (uint32_t)distance);
	return true;
}

bool x86_64_write_jump(uint8_t *out, size_t size, uint64_t at, uint64_t to)
{
	uint8_t jump[X86_64_JUMP_SIZE] = { 0xe9 };

	if (size != sizeof(jump) || !x86_64_put_rel32(jump + 1, at + sizeof(jump), to))
		return false;
	memcpy(out, jump, sizeof(jump));
	return true;
}

bool x86_64_write_stub(uint8_t *out, uint64_t at, uint64_t slot)
{
	uint8_t stub[X86_64_STUB_SIZE] = { 0xff, 0x25 }; /* jmp *slot(%rip) */

	if (!x86_64_put_rel32(stub + 2, at + sizeof(stub), slot))
		return false;
	memcpy(out, stub, sizeof(stub));
	return true;
}

/*
 * All registers are kept, the scratch ones too: callers of local functions rely on whatever the old
 * callee happened not to touch (-fipa-ra). mov and jmp change no flag. The selector is read once, so
 * a switch in the middle cannot mix two tables.
 *
 * The two words below the stack pointer may be used, and stay what they are until they are read back:
 * - nothing of the program's is there: the red zone belongs to the function that is being entered, which
 *   has not begun, and the caller keeps nothing below the return address;
 * - a signal at any of the instructions builds its frame 128 bytes further down, or on the alternate
 *   stack (get_sigframe() in arch/x86/kernel/signal.c of Linux), and returns here with rax restored;
 * - they lie at most 16 bytes below a word that the caller has just written, so they are stack unless
 *   that was the last word above the guard page, where any function that pushes two words faults too.
 * A thread that is stopped in here is inside the function for whoever examines it: the address is in the
 * switch, and rax and those two words may hold an address of either version.
 */
bool x86_64_write_switch(uint8_t *out, uint64_t at, uint64_t selector, uint32_t index)
{
	uint8_t code[X86_64_SWITCH_SIZE] = {
		0x48, 0x89, 0x44, 0x24, 0xf0,		/*  0: mov %rax, -16(%rsp) */
		0x48, 0x8b, 0x05, 0, 0, 0, 0,		/*  5: mov selector(%rip), %rax */
		0x48, 0x8b, 0x80, 0, 0, 0, 0,		/* 12: mov 8 * index(%rax), %rax */
		0x48, 0x89, 0x44, 0x24, 0xf8,		/* 19: mov %rax, -8(%rsp) */
		0x48, 0x8b, 0x44, 0x24, 0xf0,		/* 24: mov -16(%rsp), %rax */
		0xff, 0x64, 0x24, 0xf8,			/* 29: jmp *-8(%rsp) */
	};

	if (index > INT32_MAX / 8 || !x86_64_put_rel32(code + 8, at + 12, selector))
		return false;
	store32(code + 15, index * 8);
	memcpy(out, code, sizeof(code));
	return true;
}

/*
 * Near calls are e8 with 4 bytes of distance, and ff /2, which takes 2 (call *%rax) to 7 bytes (call *disp32(%rsp)). Prefixes need
 * not be looked for: none of them changes the length of what follows, and without them it is a call just the same.
 */
#define CALL_SIZE_MIN 2
#define CALL_SIZE_MAX 7
#define CALL_DIRECT_SIZE 5

/* Length of ff with these bytes behind it (Intel SDM volume 2, 2.1.3 and table 2-2). */
static size_t operand_call_size(uint8_t modrm, uint8_t sib)
{
	uint8_t mode = modrm >> 6, base = modrm & 7;

	if (mode == 3)
		return 2;
	if (base != 4)
		return mode == 0 ? (base == 5 ? 6 : 2) : mode == 1 ? 3 : 6;
	return mode == 0 ? ((sib & 7) == 5 ? 7 : 3) : mode == 1 ? 4 : 7;
}

bool x86_64_ends_with_call(const uint8_t *end, size_t size)
{
	/* Asked for every frame of a stack while its process stands still: a decoder would take longer than all else. */
	if (size >= CALL_DIRECT_SIZE && end[-CALL_DIRECT_SIZE] == 0xe8)
		return true;
	for (size_t length = CALL_SIZE_MIN; length <= CALL_SIZE_MAX && length <= size; length++) {
		const uint8_t *code = end - length;

		if (code[0] == 0xff && (code[1] >> 3 & 7) == 2 && operand_call_size(code[1], length > 2 ? code[2] : 0) == length)
			return true;
	}
	return false;
}
