/* Code that ends its thread. */
#include <sys/syscall.h>

#include "arch/x86_64/x86_64.h"

#define INSNS_MAX 16

/* Number of a system call in eax, as far as the instruction tells: mov $n, %eax or %rax; musl has xor %eax, %eax; mov $n, %al. */
static int32_t follow_number(const uint8_t *code, size_t length, const struct insn *insn, int32_t number)
{
	if (length == 5 && code[0] == 0xb8)
		return code[1] | code[2] << 8;
	if (length == 7 && code[0] == 0x48 && code[1] == 0xc7 && code[2] == 0xc0)
		return code[3] | code[4] << 8;
	if (length == 2 && code[0] == 0x31 && code[1] == 0xc0)
		return 0;
	if (length == 2 && code[0] == 0xb0)
		return number < 0 ? -1 : (number & ~0xff) | code[1];
	return insn->clobbers & 1 || insn->kind == INSN_CALL || insn->kind == INSN_CALL_INDIRECT ? -1 : number;
}

size_t x86_64_thread_end(const uint8_t *code, size_t size)
{
	int32_t number = -1;
	size_t at = 0;

	for (unsigned int i = 0; i < INSNS_MAX; i++) {
		struct insn insn;

		if (!x86_64_decode(code + at, size - at, at, &insn))
			return 0;
		switch ((enum insn_kind)insn.kind) {
		case INSN_STOP:
		case INSN_RETURN:
		case INSN_JUMP:
		case INSN_JUMP_CONDITIONAL:
		case INSN_JUMP_INDIRECT:
			return 0;
		case INSN_OTHER:
		case INSN_NOP:
		case INSN_CALL:
		case INSN_CALL_INDIRECT:
			break;
		}
		if (insn.length == 2 && code[at] == 0x0f && code[at + 1] == 0x05) {
			if (number == SYS_exit || number == SYS_exit_group)
				return at + insn.length;
			return 0;
		}
		number = follow_number(code + at, insn.length, &insn, number);
		at += insn.length;
	}
	return 0;
}
