/*
 * test_decode.c: what an instruction refers to, writes and does to the flow of control; and its text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/arch.h"

#include <cmocka.h>	/* last: it has a fail() of its own */

static const struct arch *const arch = &arch_x86_64;

#define AT 0x1000
#define GENERAL(number) (UINT64_C(1) << (number))
#define VECTOR(number) (UINT64_C(1) << (16 + (number)))
#define FLAGS (UINT64_C(1) << 48)
#define X87 (UINT64_C(1) << 49)
#define MASKS (UINT64_C(1) << 50)
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

#define BRANCH(at, size, to) { { REF_BRANCH, at, size, 0, false, to } }
#define LOAD(at, access, to) { REF_LOAD, at, 4, access, false, to }
#define ABSOLUTE(at, size, to) { REF_ABSOLUTE, at, size, 0, false, to }

/* `length` says how many of the bytes count. */
struct sample {
	const char *text;
	uint8_t code[16];
	struct insn insn;
};

static const struct sample flow[] = {
	{ "call 0x1105", { 0xe8, 0, 1, 0, 0 },
	  { .length = 5, .kind = INSN_CALL, .ref = BRANCH(1, 4, 0x1105), .clobbers = GENERAL(RSP) } },
	{ "call 0xf05", { 0xe8, 0, 0xff, 0xff, 0xff },
	  { .length = 5, .kind = INSN_CALL, .ref = BRANCH(1, 4, 0xf05), .clobbers = GENERAL(RSP) } },
	{ "jmp 0x1000", { 0xeb, 0xfe }, { .length = 2, .kind = INSN_JUMP, .ref = BRANCH(1, 1, AT) } },
	{ "jmp 0x1105", { 0xe9, 0, 1, 0, 0 }, { .length = 5, .kind = INSN_JUMP, .ref = BRANCH(1, 4, 0x1105) } },
	{ "bnd jmp 0x1106", { 0xf2, 0xe9, 0, 1, 0, 0 },
	  { .length = 6, .kind = INSN_JUMP, .ref = BRANCH(2, 4, 0x1106) } },
	{ "jnz 0x1012", { 0x75, 0x10 }, { .length = 2, .kind = INSN_JUMP_CONDITIONAL, .ref = BRANCH(1, 1, 0x1012) } },
	{ "jz 0x1106", { 0x0f, 0x84, 0, 1, 0, 0 },
	  { .length = 6, .kind = INSN_JUMP_CONDITIONAL, .ref = BRANCH(2, 4, 0x1106) } },
	{ "loop 0x1012", { 0xe2, 0x10 },
	  { .length = 2, .kind = INSN_JUMP_CONDITIONAL, .ref = BRANCH(1, 1, 0x1012), .clobbers = GENERAL(RCX) } },
	{ "jrcxz 0x1012", { 0xe3, 0x10 }, { .length = 2, .kind = INSN_JUMP_CONDITIONAL, .ref = BRANCH(1, 1, 0x1012) } },
	{ "xbegin 0x1016", { 0xc7, 0xf8, 0x10, 0, 0, 0 },
	  { .length = 6, .kind = INSN_JUMP_CONDITIONAL, .ref = BRANCH(2, 4, 0x1016), .clobbers = GENERAL(RAX) } },
	{ "call rax", { 0xff, 0xd0 }, { .length = 2, .kind = INSN_CALL_INDIRECT, .clobbers = GENERAL(RSP) } },
	{ "call [rip+0x10]", { 0xff, 0x15, 0x10, 0, 0, 0 },
	  { .length = 6, .kind = INSN_CALL_INDIRECT, .ref = { LOAD(2, 8, 0x1016) }, .clobbers = GENERAL(RSP) } },
	{ "jmp [rip+0x10]", { 0xff, 0x25, 0x10, 0, 0, 0 },
	  { .length = 6, .kind = INSN_JUMP_INDIRECT, .ref = { LOAD(2, 8, 0x1016) } } },
	{ "bnd jmp [rip+0x10]", { 0xf2, 0xff, 0x25, 0x10, 0, 0, 0 },
	  { .length = 7, .kind = INSN_JUMP_INDIRECT, .ref = { LOAD(3, 8, 0x1017) } } },
	{ "notrack jmp rax", { 0x3e, 0xff, 0xe0 }, { .length = 3, .kind = INSN_JUMP_INDIRECT } },
	{ "jmp [rax*8+0x401000]", { 0xff, 0x24, 0xc5, 0, 0x10, 0x40, 0 },
	  { .length = 7, .kind = INSN_JUMP_INDIRECT, .ref = { ABSOLUTE(3, 4, 0x401000) }, .displacement = { 3, 4 } } },
	{ "ret", { 0xc3 }, { .length = 1, .kind = INSN_RETURN, .clobbers = GENERAL(RSP) } },
	{ "ret", { 0xf3, 0xc3 }, { .length = 2, .kind = INSN_RETURN, .clobbers = GENERAL(RSP) } },
	{ "ret 0x08", { 0xc2, 8, 0 },
	  { .length = 3, .kind = INSN_RETURN, .immediate = { 1, 2 }, .clobbers = GENERAL(RSP) } },
	{ "ud2", { 0x0f, 0x0b }, { .length = 2, .kind = INSN_STOP } },
	{ "ud1 eax, eax", { 0x0f, 0xb9, 0xc0 }, { .length = 3, .kind = INSN_STOP } },
	{ "int3", { 0xcc }, { .length = 1, .kind = INSN_STOP } },
	{ "hlt", { 0xf4 }, { .length = 1, .kind = INSN_STOP } },
	{ "endbr64", { 0xf3, 0x0f, 0x1e, 0xfa }, { .length = 4 } },
	{ "syscall", { 0x0f, 0x05 },
	  { .length = 2, .clobbers = GENERAL(RAX) | GENERAL(RCX) | GENERAL(11) | FLAGS } },
};

static const struct sample nops[] = {
	{ "nop", { 0x90 }, { .length = 1, .kind = INSN_NOP } },
	{ "nop", { 0x66, 0x90 }, { .length = 2, .kind = INSN_NOP } },
	{ "nop [rax], eax", { 0x0f, 0x1f, 0 }, { .length = 3, .kind = INSN_NOP } },
	{ "nop [rax], eax", { 0x0f, 0x1f, 0x40, 0 }, { .length = 4, .kind = INSN_NOP, .displacement = { 3, 1 } } },
	{ "nop [rax+rax*1], eax", { 0x0f, 0x1f, 0x44, 0, 0 },
	  { .length = 5, .kind = INSN_NOP, .displacement = { 4, 1 } } },
	{ "nop [rax+rax*1], ax", { 0x66, 0x0f, 0x1f, 0x44, 0, 0 },
	  { .length = 6, .kind = INSN_NOP, .displacement = { 5, 1 } } },
	{ "nop [rax], eax", { 0x0f, 0x1f, 0x80, 0, 0, 0, 0 },
	  { .length = 7, .kind = INSN_NOP, .displacement = { 3, 4 } } },
	{ "nop [rax+rax*1], eax", { 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 },
	  { .length = 8, .kind = INSN_NOP, .displacement = { 4, 4 } } },
	{ "nop [rax+rax*1], ax", { 0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 },
	  { .length = 9, .kind = INSN_NOP, .displacement = { 5, 4 } } },
	{ "nop [rax+rax*1], ax", { 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 },
	  { .length = 10, .kind = INSN_NOP, .displacement = { 6, 4 } } },
	{ "nop [rax+rax*1], ax", { 0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 },
	  { .length = 11, .kind = INSN_NOP, .displacement = { 7, 4 } } },
	{ "nop [rip+0x10], eax", { 0x0f, 0x1f, 0x05, 0x10, 0, 0, 0 }, { .length = 7, .kind = INSN_NOP } },
	{ "xchg ax, ax", { 0x66, 0x87, 0xc0 }, { .length = 3, .kind = INSN_NOP } },
	{ "xchg rax, rax", { 0x48, 0x87, 0xc0 }, { .length = 3, .kind = INSN_NOP } },
	/* Near misses: this clears the upper half of rax, that one waits, and this is another register. */
	{ "xchg eax, eax", { 0x87, 0xc0 }, { .length = 2, .clobbers = GENERAL(RAX) } },
	{ "pause", { 0xf3, 0x90 }, { .length = 2 } },
	{ "xchg r8, rax", { 0x49, 0x90 }, { .length = 2, .clobbers = GENERAL(RAX) | GENERAL(8) } },
};

static const struct sample references[] = {
	{ "mov rax, [rip+0x10]", { 0x48, 0x8b, 0x05, 0x10, 0, 0, 0 },
	  { .length = 7, .ref = { LOAD(3, 8, 0x1017) }, .clobbers = GENERAL(RAX) } },
	{ "mov rax, [rip-0x1017]", { 0x48, 0x8b, 0x05, 0xe9, 0xef, 0xff, 0xff },
	  { .length = 7, .ref = { LOAD(3, 8, UINT64_C(0xfffffffffffffff0)) }, .clobbers = GENERAL(RAX) } },
	{ "cmp byte ptr [rip+0x10], 0x05", { 0x80, 0x3d, 0x10, 0, 0, 0, 5 },
	  { .length = 7, .ref = { LOAD(2, 1, 0x1017) }, .immediate = { 6, 1 }, .clobbers = FLAGS } },
	{ "mov dword ptr [rip+0x10], 0x12345678", { 0xc7, 0x05, 0x10, 0, 0, 0, 0x78, 0x56, 0x34, 0x12 },
	  { .length = 10, .ref = { LOAD(2, 4, 0x101a), ABSOLUTE(6, 4, 0x12345678) }, .immediate = { 6, 4 } } },
	{ "vmovups zmm0, zmmword ptr [rip+0x10]", { 0x62, 0xf1, 0x7c, 0x48, 0x10, 0x05, 0x10, 0, 0, 0 },
	  { .length = 10, .ref = { LOAD(6, 64, 0x101a) }, .clobbers = VECTOR(0) } },
	{ "lea rdi, [rip+0x10]", { 0x48, 0x8d, 0x3d, 0x10, 0, 0, 0 },
	  { .length = 7, .ref = { { REF_ADDRESS, 3, 4, 0, false, 0x1017 } }, .clobbers = GENERAL(RDI) } },
	{ "mov rax, [rax*8+0x401000]", { 0x48, 0x8b, 0x04, 0xc5, 0, 0x10, 0x40, 0 },
	  { .length = 8, .ref = { ABSOLUTE(4, 4, 0x401000) }, .displacement = { 4, 4 }, .clobbers = GENERAL(RAX) } },
	{ "mov rax, [rcx+0x401000]", { 0x48, 0x8b, 0x81, 0, 0x10, 0x40, 0 },
	  { .length = 7, .ref = { ABSOLUTE(3, 4, 0x401000) }, .displacement = { 3, 4 }, .clobbers = GENERAL(RAX) } },
	{ "mov rax, [rcx-0x80000000]", { 0x48, 0x8b, 0x81, 0, 0, 0, 0x80 },
	  { .length = 7, .ref = { ABSOLUTE(3, 4, UINT64_C(0xffffffff80000000)) }, .displacement = { 3, 4 },
	    .clobbers = GENERAL(RAX) } },
	{ "mov rax, [rcx+0x40]", { 0x48, 0x8b, 0x41, 0x40 },
	  { .length = 4, .displacement = { 3, 1 }, .clobbers = GENERAL(RAX) } },
	{ "mov edi, 0x401000", { 0xbf, 0, 0x10, 0x40, 0 },
	  { .length = 5, .ref = { ABSOLUTE(1, 4, 0x401000) }, .immediate = { 1, 4 }, .clobbers = GENERAL(RDI) } },
	{ "mov rax, 0xffffffff80401000", { 0x48, 0xc7, 0xc0, 0, 0x10, 0x40, 0x80 },
	  { .length = 7, .ref = { ABSOLUTE(3, 4, UINT64_C(0xffffffff80401000)) }, .immediate = { 3, 4 },
	    .clobbers = GENERAL(RAX) } },
	{ "push 0x401000", { 0x68, 0, 0x10, 0x40, 0 },
	  { .length = 5, .ref = { ABSOLUTE(1, 4, 0x401000) }, .immediate = { 1, 4 }, .clobbers = GENERAL(RSP) } },
	{ "cmp rdi, 0x401000", { 0x48, 0x81, 0xff, 0, 0x10, 0x40, 0 },
	  { .length = 7, .ref = { ABSOLUTE(3, 4, 0x401000) }, .immediate = { 3, 4 }, .clobbers = FLAGS } },
	{ "mov rax, 0x1122334455667788", { 0x48, 0xb8, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11 },
	  { .length = 10, .ref = { ABSOLUTE(2, 8, UINT64_C(0x1122334455667788)) }, .immediate = { 2, 8 },
	    .clobbers = GENERAL(RAX) } },
	{ "mov rax, [0x1122334455667788]", { 0x48, 0xa1, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11 },
	  { .length = 10, .ref = { ABSOLUTE(2, 8, UINT64_C(0x1122334455667788)) }, .displacement = { 2, 8 },
	    .clobbers = GENERAL(RAX) } },
	{ "mov dword ptr [0x404000], 0x401000", { 0xc7, 0x04, 0x25, 0, 0x40, 0x40, 0, 0, 0x10, 0x40, 0 },
	  { .length = 11, .ref = { ABSOLUTE(3, 4, 0x404000), ABSOLUTE(7, 4, 0x401000) },
	    .displacement = { 3, 4 }, .immediate = { 7, 4 } } },
	{ "mov ax, 0x1234", { 0x66, 0xb8, 0x34, 0x12 },
	  { .length = 4, .immediate = { 2, 2 }, .clobbers = GENERAL(RAX) } },
	{ "mov rax, [rsp+0x08]", { 0x48, 0x8b, 0x44, 0x24, 8 },
	  { .length = 5, .on_stack = true, .displacement = { 4, 1 }, .clobbers = GENERAL(RAX) } },
	{ "mov rax, [rbp-0x08]", { 0x48, 0x8b, 0x45, 0xf8 },
	  { .length = 4, .on_stack = true, .displacement = { 3, 1 }, .clobbers = GENERAL(RAX) } },
	{ "mov rax, fs:[0x28]", { 0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0 },
	  { .length = 9, .thread_local_access = true, .displacement = { 5, 4 }, .clobbers = GENERAL(RAX) } },
	{ "mov rax, fs:[rax+0x100]", { 0x64, 0x48, 0x8b, 0x80, 0, 1, 0, 0 },
	  { .length = 8, .thread_local_access = true, .displacement = { 4, 4 }, .clobbers = GENERAL(RAX) } },
};

static const struct sample clobbers[] = {
	{ "mov al, ah", { 0x88, 0xe0 }, { .length = 2, .clobbers = GENERAL(RAX) } },
	{ "mov ah, cl", { 0x88, 0xcc }, { .length = 2, .clobbers = GENERAL(RAX) } },
	{ "mov sil, cl", { 0x40, 0x88, 0xce }, { .length = 3, .clobbers = GENERAL(RSI) } },
	{ "mov r9b, cl", { 0x41, 0x88, 0xc9 }, { .length = 3, .clobbers = GENERAL(9) } },
	{ "mov r15w, cx", { 0x66, 0x41, 0x89, 0xcf }, { .length = 4, .clobbers = GENERAL(15) } },
	{ "add ecx, edx", { 0x01, 0xd1 }, { .length = 2, .clobbers = GENERAL(RCX) | FLAGS } },
	{ "test ecx, edx", { 0x85, 0xd1 }, { .length = 2, .clobbers = FLAGS } },
	{ "shl eax, 0x01", { 0xd1, 0xe0 }, { .length = 2, .clobbers = GENERAL(RAX) | FLAGS } },
	{ "std", { 0xfd }, { .length = 1, .clobbers = FLAGS } },
	{ "mul rcx", { 0x48, 0xf7, 0xe1 }, { .length = 3, .clobbers = GENERAL(RAX) | GENERAL(RDX) | FLAGS } },
	{ "div rcx", { 0x48, 0xf7, 0xf1 }, { .length = 3, .clobbers = GENERAL(RAX) | GENERAL(RDX) | FLAGS } },
	{ "xchg rcx, rdx", { 0x48, 0x87, 0xd1 }, { .length = 3, .clobbers = GENERAL(RCX) | GENERAL(RDX) } },
	{ "cmovz ecx, edx", { 0x0f, 0x44, 0xca }, { .length = 3, .clobbers = GENERAL(RCX) } },
	{ "rep stosq", { 0xf3, 0x48, 0xab }, { .length = 3, .clobbers = GENERAL(RCX) | GENERAL(RDI) } },
	{ "cpuid", { 0x0f, 0xa2 },
	  { .length = 2, .clobbers = GENERAL(RAX) | GENERAL(RBX) | GENERAL(RCX) | GENERAL(RDX) } },
	{ "leave", { 0xc9 }, { .length = 1, .clobbers = GENERAL(RSP) | GENERAL(RBP) } },
	{ "pxor xmm9, xmm1", { 0x66, 0x44, 0x0f, 0xef, 0xc9 }, { .length = 5, .clobbers = VECTOR(9) } },
	{ "vzeroupper", { 0xc5, 0xf8, 0x77 }, { .length = 3, .clobbers = UINT64_C(0xffff) << 16 } },
	{ "vmovdqu64 zmm31, zmm1", { 0x62, 0x61, 0xfe, 0x48, 0x6f, 0xf9 }, { .length = 6, .clobbers = VECTOR(31) } },
	{ "kmovw k1, eax", { 0xc5, 0xf8, 0x92, 0xc8 }, { .length = 4, .clobbers = MASKS } },
	{ "fld st0", { 0xd9, 0xc0 }, { .length = 2, .clobbers = X87 } },
	{ "fldcw [rsp]", { 0xd9, 0x2c, 0x24 }, { .length = 3, .on_stack = true, .clobbers = X87 } },
	{ "pxor mm1, mm2", { 0x0f, 0xef, 0xca }, { .length = 3, .clobbers = X87 } },
	{ "vblendvpd xmm0, xmm1, xmm2, xmm3", { 0xc4, 0xe3, 0x71, 0x4b, 0xc2, 0x30 },
	  { .length = 6, .clobbers = VECTOR(0) } },
	{ "int 0x80", { 0xcd, 0x80 }, { .length = 2, .immediate = { 1, 1 }, .clobbers = GENERAL(RAX) | UINT64_C(0xf00) } },
};

/* What is done to a number in memory: at a displacement from a register, or at a place of its own. */
static const struct {
	const char *text;
	uint8_t code[16];
	uint8_t access;
	bool loads, stores, stores_there;
} numbers[] = {
	{ "mov eax, [rcx+0x40]", { 0x8b, 0x41, 0x40 }, 4, true, false, false },
	{ "mov [rcx+0x40], ax", { 0x66, 0x89, 0x41, 0x40 }, 2, false, true, false },
	{ "sub dword ptr [rbx+0x228], 0x01", { 0x83, 0xab, 0x28, 2, 0, 0, 1 }, 4, true, true, true },
	{ "cmp byte ptr [rbp+0x51], 0x00", { 0x80, 0x7d, 0x51, 0 }, 1, true, false, false },
	/* (0x228 might be a place of its own where the image is at a fixed address.) */
	{ "mov [rcx+rdx*8+0x40], rax", { 0x48, 0x89, 0x44, 0xd1, 0x40 }, 8, false, true, false },
	/* On the stack, an address only, vectors, without a displacement, of a thread, none at all. */
	{ "mov eax, [rsp+0x40]", { 0x8b, 0x44, 0x24, 0x40 }, 0, false, false, false },
	{ "lea eax, [rcx+0x40]", { 0x8d, 0x41, 0x40 }, 0, false, false, false },
	{ "movups [rcx+0x40], xmm0", { 0x0f, 0x11, 0x41, 0x40 }, 0, false, false, false },
	{ "movq [rcx+0x40], xmm0", { 0x66, 0x0f, 0xd6, 0x41, 0x40 }, 0, false, false, false },
	{ "mov eax, [rcx]", { 0x8b, 0x01 }, 0, false, false, false },
	{ "mov eax, fs:[rcx+0x40]", { 0x64, 0x8b, 0x41, 0x40 }, 0, false, false, false },
	{ "nop [rax+0x40], eax", { 0x0f, 0x1f, 0x40, 0x40 }, 0, false, false, false },
	{ "mov [rip+0x10], eax", { 0x89, 0x05, 0x10, 0, 0, 0 }, 0, false, false, true },
	{ "mov eax, [rip+0x10]", { 0x8b, 0x05, 0x10, 0, 0, 0 }, 0, false, false, false },
	{ "mov [0x401000], eax", { 0x89, 0x04, 0x25, 0, 0x10, 0x40, 0 }, 0, false, false, true },
};

static void numbers_in_memory(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		struct insn insn;

		assert_true(arch_x86_64.decode(numbers[i].code, 16, 0x1000, &insn));
		if (insn.access != numbers[i].access || insn.loads != numbers[i].loads || insn.stores != numbers[i].stores ||
		    insn.ref[0].stores != numbers[i].stores_there)
			fail_msg("%s: %u bytes, loads %d, stores %d, there %d", numbers[i].text, insn.access, insn.loads, insn.stores, insn.ref[0].stores);
	}
}

/* What fills memory as memset() does, and what only looks like it. */
static void fills_memory(void **state)
{
	static const struct {
		uint8_t code[16], fills;
	} samples[] = {
		{ { 0xf3, 0xaa }, 1 },		/* rep stosb */
		{ { 0x66, 0xf3, 0xab }, 2 },	/* rep stosw */
		{ { 0xf3, 0xab }, 4 },		/* rep stosd */
		{ { 0xf3, 0x48, 0xab }, 8 },	/* rep stosq */
		{ { 0x48, 0xab }, 0 },		/* stosq: one piece */
		{ { 0xf3, 0x48, 0xa5 }, 0 },	/* rep movsq */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++) {
		struct insn insn;

		assert_true(arch_x86_64.decode(samples[i].code, 16, 0x1000, &insn));
		assert_int_equal(insn.fills, samples[i].fills);
	}
}

static bool is_same(const struct insn *one, const struct insn *other)
{
	for (int i = 0; i < 2; i++)
		if (one->ref[i].kind != other->ref[i].kind || one->ref[i].offset != other->ref[i].offset ||
		    one->ref[i].size != other->ref[i].size || one->ref[i].access != other->ref[i].access ||
		    one->ref[i].target != other->ref[i].target)
			return false;
	return one->length == other->length && one->kind == other->kind && one->on_stack == other->on_stack &&
	       one->thread_local_access == other->thread_local_access &&
	       one->displacement.offset == other->displacement.offset &&
	       one->displacement.size == other->displacement.size &&
	       one->immediate.offset == other->immediate.offset && one->immediate.size == other->immediate.size &&
	       one->clobbers == other->clobbers;
}

static void compare(const struct sample *sample)
{
	struct insn found;
	char text[64];

	assert_true(arch->print(sample->code, sizeof(sample->code), AT, text, sizeof(text)));
	assert_string_equal(text, sample->text);
	assert_true(arch->decode(sample->code, sizeof(sample->code), AT, &found));
	if (!is_same(&found, &sample->insn))
		print_error("%s: decoded as something else\n", text);
	assert_true(is_same(&found, &sample->insn));
}

#define COMPARE_ALL(samples)                                                                                 \
	do {                                                                                                 \
		for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)                            \
			compare(&samples[i]);                                                                \
	} while (0)

static void control_flow(void **state)
{
	(void)state;
	COMPARE_ALL(flow);
}

static void nops_of_all_lengths(void **state)
{
	(void)state;
	COMPARE_ALL(nops);
}

static void references_and_numbers(void **state)
{
	(void)state;
	COMPARE_ALL(references);
}

static void written_registers(void **state)
{
	(void)state;
	COMPARE_ALL(clobbers);
}

/* Every prefix of every sample, at the very end of mapped memory: too short is no instruction, and nothing
 * beyond is read. */
static void cut_instructions(void **state)
{
	const struct sample *samples[] = { flow, nops, references, clobbers };
	const size_t counts[] = { sizeof(flow) / sizeof(flow[0]), sizeof(nops) / sizeof(nops[0]),
				  sizeof(references) / sizeof(references[0]), sizeof(clobbers) / sizeof(clobbers[0]) };
	uint8_t *page = mmap(NULL, 0x2000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char text[64];
	struct insn insn;

	(void)state;
	assert_ptr_not_equal(page, MAP_FAILED);
	assert_int_equal(mprotect(page + 0x1000, 0x1000, PROT_NONE), 0);
	for (size_t set = 0; set < 4; set++)
		for (size_t i = 0; i < counts[set]; i++)
			for (size_t size = 0; size <= samples[set][i].insn.length; size++) {
				bool whole = size == samples[set][i].insn.length;
				uint8_t *code = page + 0x1000 - size;

				memcpy(code, samples[set][i].code, size);
				assert_int_equal(arch->decode(code, size, AT, &insn), whole);
				assert_int_equal(arch->print(code, size, AT, text, sizeof(text)), whole);
			}
	assert_int_equal(munmap(page, 0x2000), 0);
}

static void bytes_that_are_no_instruction(void **state)
{
	static const uint8_t bad[][4] = {
		{ 0x06 },			/* push %es: not in 64-bit mode */
		{ 0xc7, 0xc8 },			/* no such extension of the opcode */
		{ 0x0f, 0x04 },			/* 0f 04: no opcode */
		{ 0xf0, 0x90 },			/* lock nop */
	};
	uint8_t prefixes[16];
	struct insn insn;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(arch->decode(bad[i], sizeof(bad[i]), AT, &insn));
	/* 15 bytes are the limit, prefixes included. */
	memset(prefixes, 0x66, sizeof(prefixes));
	prefixes[15] = 0x90;
	assert_false(arch->decode(prefixes, sizeof(prefixes), AT, &insn));
	assert_true(arch->decode(prefixes + 1, sizeof(prefixes) - 1, AT, &insn));
}

/* `same`: but for registers. */
struct form_sample {
	uint8_t one[12], other[12];
	uint8_t one_length, other_length;
	bool same;
};

static const struct form_sample forms[] = {
	/* lea r12, [rip]; lea rbp, [rip] */
	{ { 0x4c, 0x8d, 0x25, 0, 0, 0, 0 }, { 0x48, 0x8d, 0x2d, 0, 0, 0, 0 }, 7, 7, true },
	/* ... and ebp */
	{ { 0x4c, 0x8d, 0x25, 0, 0, 0, 0 }, { 0x8d, 0x2d, 0, 0, 0, 0 }, 7, 6, false },
	/* ... and mov rbp, [rip] */
	{ { 0x4c, 0x8d, 0x25, 0, 0, 0, 0 }, { 0x48, 0x8b, 0x2d, 0, 0, 0, 0 }, 7, 7, false },
	/* mov rax, [rbx]; mov rcx, [r12], which takes a SIB; mov rcx, [r13+0], which takes a displacement; mov rcx, [rbp+0],
	 * which is of another segment */
	{ { 0x48, 0x8b, 0x03 }, { 0x49, 0x8b, 0x0c, 0x24 }, 3, 4, true },
	{ { 0x48, 0x8b, 0x03 }, { 0x49, 0x8b, 0x4d, 0 }, 3, 4, true },
	{ { 0x48, 0x8b, 0x03 }, { 0x48, 0x8b, 0x4d, 0 }, 3, 4, true },
	/* ... and [r13+8]; [rsp]; [rbx+rdx]; [rip]; fs:[rbx] */
	{ { 0x48, 0x8b, 0x03 }, { 0x49, 0x8b, 0x4d, 8 }, 3, 4, false },
	{ { 0x48, 0x8b, 0x03 }, { 0x48, 0x8b, 0x04, 0x24 }, 3, 4, false },
	{ { 0x48, 0x8b, 0x03 }, { 0x48, 0x8b, 0x04, 0x13 }, 3, 4, false },
	{ { 0x48, 0x8b, 0x03 }, { 0x48, 0x8b, 0x05, 0, 0, 0, 0 }, 3, 7, false },
	{ { 0x48, 0x8b, 0x03 }, { 0x64, 0x48, 0x8b, 0x03 }, 3, 4, false },
	/* mov rax, [rbx]; mov rbx, [rbx] */
	{ { 0x48, 0x8b, 0x03 }, { 0x48, 0x8b, 0x1b }, 3, 3, false },
	/* mov [rcx+rdx*4], eax; mov [rdx+rcx*4], esi; mov [rcx+rdx*8], eax */
	{ { 0x89, 0x04, 0x91 }, { 0x89, 0x34, 0x8a }, 3, 3, true },
	{ { 0x89, 0x04, 0x91 }, { 0x89, 0x04, 0xd1 }, 3, 3, false },
	/* add rax, 0x100; add rbx, 0x100, of another opcode; add rbx, 0x200; sub rbx, 0x100 */
	{ { 0x48, 0x05, 0, 1, 0, 0 }, { 0x48, 0x81, 0xc3, 0, 1, 0, 0 }, 6, 7, true },
	{ { 0x48, 0x05, 0, 1, 0, 0 }, { 0x48, 0x81, 0xc3, 0, 2, 0, 0 }, 6, 7, false },
	{ { 0x48, 0x05, 0, 1, 0, 0 }, { 0x48, 0x81, 0xeb, 0, 1, 0, 0 }, 6, 7, false },
	/* xor eax, eax; xor r8d, r8d; xor eax, ebx */
	{ { 0x31, 0xc0 }, { 0x45, 0x31, 0xc0 }, 2, 3, true },
	{ { 0x31, 0xc0 }, { 0x31, 0xd8 }, 2, 2, false },
	/* push rbx; push r15; pop rbx */
	{ { 0x53 }, { 0x41, 0x57 }, 1, 2, true },
	{ { 0x53 }, { 0x5b }, 1, 1, false },
	/* mov rbp, rsp; mov rbp, rax */
	{ { 0x48, 0x89, 0xe5 }, { 0x48, 0x89, 0xc5 }, 3, 3, false },
	/* mov cl, al; mov sil, dil, which takes a REX; mov cl, ah */
	{ { 0x88, 0xc1 }, { 0x40, 0x88, 0xfe }, 2, 3, true },
	{ { 0x88, 0xc1 }, { 0x88, 0xe1 }, 2, 2, false },
	/* vaddps xmm0, xmm1, xmm2; vaddps xmm8, xmm9, xmm10, of another size of VEX; vaddps ymm0, ymm1, ymm2 */
	{ { 0xc5, 0xf0, 0x58, 0xc2 }, { 0xc4, 0x41, 0x30, 0x58, 0xc2 }, 4, 5, true },
	{ { 0xc5, 0xf0, 0x58, 0xc2 }, { 0xc5, 0xf4, 0x58, 0xc2 }, 4, 4, false },
	/* vaddps zmm0{k1}, zmm1, zmm2; ... zmm16{k1}; ... zmm0{k2}; ... zmm0{k1}{z}; ... with rounding down */
	{ { 0x62, 0xf1, 0x74, 0x49, 0x58, 0xc2 }, { 0x62, 0xe1, 0x74, 0x49, 0x58, 0xc2 }, 6, 6, true },
	{ { 0x62, 0xf1, 0x74, 0x49, 0x58, 0xc2 }, { 0x62, 0xf1, 0x74, 0x4a, 0x58, 0xc2 }, 6, 6, false },
	{ { 0x62, 0xf1, 0x74, 0x49, 0x58, 0xc2 }, { 0x62, 0xf1, 0x74, 0xc9, 0x58, 0xc2 }, 6, 6, false },
	{ { 0x62, 0xf1, 0x74, 0x49, 0x58, 0xc2 }, { 0x62, 0xf1, 0x74, 0x39, 0x58, 0xc2 }, 6, 6, false },
	/* add [rbx], eax; lock add [rbx], eax */
	{ { 0x01, 0x03 }, { 0xf0, 0x01, 0x03 }, 2, 3, false },
	/* jz; jnz */
	{ { 0x74, 0 }, { 0x75, 0 }, 2, 2, false },
};

static void forms_without_registers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		uint64_t one = arch->form(forms[i].one, forms[i].one_length), other = arch->form(forms[i].other, forms[i].other_length);

		if (!one || !other || (one == other) != forms[i].same)
			print_error("forms[%zu]\n", i);
		assert_true(one && other);
		assert_int_equal(one == other, forms[i].same);
	}
	assert_int_equal(arch->form(forms[0].one, forms[0].one_length - 1u), 0);
}

static void text_is_cut_at_its_room(void **state)
{
	const uint8_t code[] = { 0x48, 0x8b, 0x05, 0x10, 0, 0, 0 };
	char text[8] = "#######";

	(void)state;
	assert_true(arch->print(code, sizeof(code), AT, text, 0));
	assert_string_equal(text, "#######");
	assert_true(arch->print(code, sizeof(code), AT, text, 4));
	assert_string_equal(text, "mov");
	assert_int_equal(text[4], '#');
}

static void architecture_is_found_by_machine(void **state)
{
	(void)state;
	assert_ptr_equal(arch_by_machine(62), &arch_x86_64);	/* EM_X86_64 */
	assert_null(arch_by_machine(3));			/* EM_386 */
	assert_null(arch_by_machine(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control_flow),
		cmocka_unit_test(nops_of_all_lengths),
		cmocka_unit_test(numbers_in_memory),
		cmocka_unit_test(fills_memory),
		cmocka_unit_test(references_and_numbers),
		cmocka_unit_test(written_registers),
		cmocka_unit_test(cut_instructions),
		cmocka_unit_test(bytes_that_are_no_instruction),
		cmocka_unit_test(forms_without_registers),
		cmocka_unit_test(text_is_cut_at_its_room),
		cmocka_unit_test(architecture_is_found_by_machine),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
