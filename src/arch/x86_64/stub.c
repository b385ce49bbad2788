/* stub.c: jumps from an entry to where the version that is to run is chosen, and whether a call stands before an address. */
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

void x86_64_write_far_jump(uint8_t *out, uint64_t to)
{
	static const uint8_t jump[] = { 0xff, 0x25, 0, 0, 0, 0 };	/* jmp *0(%rip): by the word behind it */

	memcpy(out, jump, sizeof(jump));
	store64(out + sizeof(jump), to);
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
