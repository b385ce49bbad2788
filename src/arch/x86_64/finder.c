/*
 * finder.c: code that answers unwinders which ask where the tables for a program counter are.
 *
 * It is reached from the entry of _dl_find_object, with that function's arguments: rdi is the program counter, rsi points to the result.
 * For a program counter of its own it writes what that function writes (struct dl_find_object of <dlfcn.h>, of which x86-64 has no
 * dlfo_eh_dbase and no dlfo_eh_count). dlfo_link_map is NULL: new code is in no object that the dynamic linker knows.
 *
 * Besides the result it changes rax and the flags only, which no caller of a function that returns an int has any use for, and it has no
 * frame and no state but what is in those registers: it may be interrupted anywhere, and may run in signal handlers, like the function
 * before which it stands.
 */
#include "arch/x86_64/x86_64.h"
#include "base/bytes.h"

bool x86_64_write_finder(uint8_t *out, uint64_t at, const struct finder *finder)
{
	uint8_t code[X86_64_FINDER_SIZE] = {
		0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0,	/*  0: movabs $start, %rax */
		0x48, 0x39, 0xc7,			/* 10: cmp %rax, %rdi */
		0x72, 0x2f,				/* 13: jb 62f */
		0x48, 0x89, 0x46, 0x08,			/* 15: mov %rax, 8(%rsi)		dlfo_map_start */
		0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0,	/* 19: movabs $end, %rax */
		0x48, 0x39, 0xc7,			/* 29: cmp %rax, %rdi */
		0x73, 0x1c,				/* 32: jae 62f: what is written is undefined where there is no result */
		0x48, 0x89, 0x46, 0x10,			/* 34: mov %rax, 16(%rsi)		dlfo_map_end */
		0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0,	/* 38: movabs $index, %rax */
		0x48, 0x89, 0x46, 0x20,			/* 48: mov %rax, 32(%rsi)		dlfo_eh_frame */
		0x31, 0xc0,				/* 52: xor %eax, %eax */
		0x48, 0x89, 0x06,			/* 54: mov %rax, (%rsi)			dlfo_flags */
		0x48, 0x89, 0x46, 0x18,			/* 57: mov %rax, 24(%rsi)		dlfo_link_map */
		0xc3,					/* 61: ret */
		0xff, 0x25, 0, 0, 0, 0,			/* 62: jmp *next(%rip) */
	};

	if (!x86_64_put_rel32(code + 64, at + 68, finder->next))
		return false;
	store64(code + 2, finder->code.start);
	store64(code + 21, finder->code.end);
	store64(code + 40, finder->index);
	memcpy(out, code, sizeof(code));
	return true;
}
