/*
 * dispatch.c: the code between an entry and the version of a function that the calling thread is to run.
 *
 * A dispatcher per function decides for the whole process, as long as the selector says so; else it asks the one lookup routine of
 * its region, which decides for the thread. What both rely on:
 *
 * - All registers are kept, the scratch ones too, and the flags: callers of local functions rely on whatever the old
 *   callee happened not to touch (-fipa-ra). The dispatcher uses mov, lea, push, pop and jrcxz, which change no flag. The lookup keeps the
 *   flags in rax: lahf has SF ZF AF PF CF (a processor with rdfsbase has it in 64-bit mode too), seto OF; arithmetic
 *   changes no others. Nothing here touches x87, MMX or vector state, nor their control words.
 * - The 128 bytes below the stack pointer are kept, too. What a call finds there is nobody's; but a function may jump back to its
 *   own entry, in a loop that has no frame and keeps a variable there. So the stack pointer steps over them before anything is written, and
 *   has its value again at the jump that leaves, which goes through a word of the region: no register and no word of the stack has to
 *   hold where to. Alignment is the caller's affair.
 * - Writes go to the 48 bytes below these. A signal at any of the instructions builds its frame 128 bytes further down, or on the alternate
 *   stack (get_sigframe() in arch/x86/kernel/signal.c of Linux), and returns here with all registers restored. The bytes are stack unless
 *   the caller had just written the last words above the guard page, where a callee that saves its registers faults too.
 * - A thread that is stopped in here is inside the function for whoever examines it: the program counter is here, and registers
 *   and those words may hold an address of any version. So it is not moved, and may finish with what it has loaded.
 *
 * The loads, in program order, and the stores that they pair with (x86-64 keeps loads in order, and each is aligned, so
 * none is torn; SDM volume 3, 9.1.1 and 9.2.2):
 *
 *	(L1) selector	<- stored last while all threads are stopped. Whoever read 0 before it became a table's address goes on to L2
 *			   to L4, where every thread is on that side by then: the same answer.
 *	(L2) fallback	<- stored while all threads are stopped, behind an entry for every thread that it is no longer right for. Loaded
 *			   *before* the probe: a thread that is in here while it changes gets an entry that says what it
 *			   has loaded, whether its probe finds that or not. The other way round it would find nothing, load the
 *			   new fallback, and run one version now and, by its entry, the other one with its next call.
 *	(L3) key	<- stored only while all threads are stopped, behind its value.
 *	(L4) version	<- stored while the thread that the key stands for is stopped, outside of here.
 *	(L5) the mark of the version's table: constant.
 *	(L6) the function's word in the table: constant as long as anybody is led there.
 */
#include "arch/dispatch.h"
#include "arch/x86_64/x86_64.h"
#include "base/bytes.h"

/*
 * `old` and `new`: the function's words in the two tables. The lookup changes rcx only. The return address that it had is overwritten: left in
 * memory that becomes part of some frame, it would look like a pointer into the region for a long time.
 */
bool x86_64_write_dispatcher(uint8_t *out, uint64_t at, const struct dispatch *dispatch, uint64_t old, uint64_t new)
{
	uint8_t code[X86_64_DISPATCHER_SIZE] = {
		0x48, 0x8d, 0x64, 0x24, 0x80,		/*  0: lea -128(%rsp), %rsp */
		0x51,					/*  5: push %rcx */
		0x48, 0x8b, 0x0d, 0, 0, 0, 0,		/*  6: mov selector(%rip), %rcx		L1 */
		0xe3, 0x24,				/* 13: jrcxz 51f */
		0x48, 0x8b, 0x49, (uint8_t)-DISPATCH_MARK, /* 15: mov mark(%rcx), %rcx		L5 */
		0xe3, 0x0f,				/* 19: jrcxz 36f */
		0x59,					/* 21: pop %rcx */
		0x48, 0x8d, 0xa4, 0x24, 128, 0, 0, 0,	/* 22: lea 128(%rsp), %rsp */
		0xff, 0x25, 0, 0, 0, 0,			/* 30: jmp *new(%rip)			L6 */
		0x59,					/* 36: pop %rcx */
		0x48, 0x8d, 0xa4, 0x24, 128, 0, 0, 0,	/* 37: lea 128(%rsp), %rsp */
		0xff, 0x25, 0, 0, 0, 0,			/* 45: jmp *old(%rip)			L6 */
		0xe8, 0, 0, 0, 0,			/* 51: call lookup */
		0x51,					/* 56: push %rcx */
		0x59,					/* 57: pop %rcx */
		0xeb, 0xd7,				/* 58: jmp 19b */
	};

	if (!x86_64_put_rel32(code + 9, at + 13, dispatch->selector) || !x86_64_put_rel32(code + 32, at + 36, new) ||
	    !x86_64_put_rel32(code + 47, at + 51, old) || !x86_64_put_rel32(code + 52, at + 56, dispatch->lookup))
		return false;
	memcpy(out, code, sizeof(code));
	return true;
}

/*
 * The mark of the calling thread's version table, in rcx: dispatch_find(). The thread pointer is read as it is, not
 * from where a libc keeps a copy of it: %fs:0 means nothing in programs without one. An empty entry is looked
 * for first, so that no key whatever can be found in it.
 */
bool x86_64_write_lookup(uint8_t *out, const struct dispatch *dispatch)
{
	uint8_t code[X86_64_LOOKUP_SIZE] = {
		0x50,					/*  0: push %rax */
		0x52,					/*  1: push %rdx */
		0x56,					/*  2: push %rsi */
		0x57,					/*  3: push %rdi */
		0x48, 0x8b, 0x0d, 0, 0, 0, 0,		/*  4: mov fallback(%rip), %rcx		L2 */
		0x9f,					/* 11: lahf */
		0x0f, 0x90, 0xc0,			/* 12: seto %al */
		0xf3, 0x48, 0x0f, 0xae, 0xc2,		/* 15: rdfsbase %rdx */
		0x48, 0xf7, 0xd2,			/* 20: not %rdx				dispatch_key() */
		0x48, 0xbe, 0, 0, 0, 0, 0, 0, 0, 0,	/* 23: movabs $DISPATCH_MULTIPLIER, %rsi */
		0x48, 0x0f, 0xaf, 0xf2,			/* 33: imul %rdx, %rsi			dispatch_first() */
		0x48, 0xc1, 0xee, 0,			/* 37: shr $64 - bits, %rsi */
		0xc1, 0xe6, 4,				/* 41: shl $4, %esi */
		0x48, 0x8d, 0x3d, 0, 0, 0, 0,		/* 44: lea table(%rip), %rdi */
		0x48, 0x83, 0x3c, 0x37, 0,		/* 51: cmpq $0, (%rdi, %rsi)		L3 */
		0x74, 0x16,				/* 56: je 80f */
		0x48, 0x39, 0x14, 0x37,			/* 58: cmp %rdx, (%rdi, %rsi)		L3 */
		0x74, 0x0b,				/* 62: je 75f */
		0x83, 0xc6, 16,				/* 64: add $16, %esi */
		0x81, 0xe6, 0, 0, 0, 0,			/* 67: and $16 * (entries - 1), %esi */
		0xeb, 0xe8,				/* 73: jmp 51b */
		0x48, 0x8b, 0x4c, 0x37, 8,		/* 75: mov 8(%rdi, %rsi), %rcx		L4 */
		0x48, 0x8b, 0x49, (uint8_t)-DISPATCH_MARK, /* 80: mov mark(%rcx), %rcx		L5 */
		0x04, 0x7f,				/* 84: add $127, %al: overflows if al is 1 */
		0x9e,					/* 86: sahf: leaves OF alone */
		0x5f,					/* 87: pop %rdi */
		0x5e,					/* 88: pop %rsi */
		0x5a,					/* 89: pop %rdx */
		0x58,					/* 90: pop %rax */
		0xc3,					/* 91: ret */
	};

	_Static_assert(sizeof(struct dispatch_entry) == 16 && offsetof(struct dispatch_entry, version) == 8, "as above");
	_Static_assert((16u << DISPATCH_BITS_MAX) <= INT32_MAX, "offsets in the table fit 32 bits");
	if (dispatch->table_bits < DISPATCH_BITS_MIN || dispatch->table_bits > DISPATCH_BITS_MAX ||
	    !x86_64_put_rel32(code + 47, dispatch->lookup + 51, dispatch->table) ||
	    !x86_64_put_rel32(code + 7, dispatch->lookup + 11, dispatch->fallback))
		return false;
	store64(code + 25, DISPATCH_MULTIPLIER);
	code[40] = (uint8_t)(64 - dispatch->table_bits);
	store32(code + 69, ((1u << dispatch->table_bits) - 1) * 16);
	memcpy(out, code, sizeof(code));
	return true;
}
