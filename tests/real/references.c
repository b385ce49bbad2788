/*
 * references.c: the references of an image's code, for checker.py. Decodes with Zydis alone; shares nothing with stent.
 *
 *	references START END < ranges > answers
 *
 * A range is { u64 address, u64 size } and `size` bytes of code. The answer is { u64 hash, u32 decoded, u32 references }: the hash is
 * of the bytes with the fields of references taken as zero, and `decoded` is 0 when some bytes are no instructions; and for each reference
 * { u64 where, u64 insn, u64 target, u8 size, u8 tail, u8 kind, u8 access, u32 0 }: the field's address and size, how many bytes it is to the
 * instruction's end, and what it is: 1 a branch out of the range, 2 a memory operand, 3 an address, 4 a number between START and END.
 */
#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reference {
	uint64_t where, insn, target;
	uint8_t size, tail, kind, access;
	uint32_t unused;
};

enum { BRANCH = 1, MEMORY, ADDRESS, NUMBER };

static uint64_t span_start, span_end;
static struct reference *found;
static size_t found_count, found_room;

static void add(uint64_t insn, uint8_t length, uint8_t offset, uint8_t bits, uint64_t target, uint8_t kind, uint8_t access)
{
	if (kind == NUMBER && (target < span_start || target >= span_end))
		return;
	if (found_count == found_room) {
		found_room = found_room ? found_room * 2 : 1024;
		found = realloc(found, found_room * sizeof(*found));
		if (!found)
			exit(1);
	}
	found[found_count++] = (struct reference){ insn + offset, insn, target, (uint8_t)(bits / 8), (uint8_t)(length - offset), kind, access, 0 };
}

/* The references of one instruction. */
static void look_at(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands, uint64_t address, uint64_t start, uint64_t size)
{
	for (int i = 0; i < insn->operand_count; i++) {
		const ZydisDecodedOperand *operand = &operands[i];

		if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY && operand->mem.base == ZYDIS_REGISTER_RIP) {
			bool taken = insn->mnemonic == ZYDIS_MNEMONIC_LEA;

			add(address, insn->length, insn->raw.disp.offset, insn->raw.disp.size, address + insn->length + (uint64_t)insn->raw.disp.value,
			    taken ? ADDRESS : MEMORY, taken || operand->size > 8 * 255 ? 0 : (uint8_t)(operand->size / 8));
		} else if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY && insn->raw.disp.size == 32 && insn->raw.disp.value > 0 &&
			   (operand->mem.segment != ZYDIS_REGISTER_FS)) {
			add(address, insn->length, insn->raw.disp.offset, 32, (uint64_t)insn->raw.disp.value, NUMBER, 0);
		} else if (operand->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operand->imm.is_relative) {
			uint64_t target = address + insn->length + operand->imm.value.u;

			if (target - start >= size)
				add(address, insn->length, insn->raw.imm[0].offset, insn->raw.imm[0].size, target, BRANCH, 0);
		} else if (operand->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && insn->raw.imm[0].size >= 32 &&
			   operand->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
			add(address, insn->length, insn->raw.imm[0].offset, insn->raw.imm[0].size, operand->imm.value.u, NUMBER, 0);
		}
	}
}

static uint64_t hash(uint64_t value, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		value = (value ^ bytes[i]) * UINT64_C(0x100000001b3);
	return value;
}

int main(int argc, char **argv)
{
	ZydisDecoder decoder;
	uint64_t head[2];

	if (argc != 3)
		return 1;
	span_start = strtoull(argv[1], NULL, 0);
	span_end = strtoull(argv[2], NULL, 0);
	if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)))
		return 1;
	while (fread(head, sizeof(head), 1, stdin) == 1) {
		uint8_t *code = malloc(head[1] + 1);
		uint64_t at = 0, value = UINT64_C(0xcbf29ce484222325);
		uint32_t decoded, count;

		if (!code || fread(code, 1, head[1], stdin) != head[1])
			return 1;
		found_count = 0;
		while (at < head[1]) {
			ZydisDecodedInstruction insn;
			ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

			if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code + at, head[1] - at, &insn, operands)))
				break;
			look_at(&insn, operands, head[0] + at, head[0], head[1]);
			at += insn.length;
		}
		decoded = at == head[1];
		if (!decoded)
			found_count = 0;
		for (size_t i = 0; i < found_count; i++)
			memset(code + (found[i].where - head[0]), 0, found[i].size);
		value = hash(value, code, head[1]);
		count = (uint32_t)found_count;
		fwrite(&value, 8, 1, stdout);
		fwrite(&decoded, 4, 1, stdout);
		fwrite(&count, 4, 1, stdout);
		fwrite(found, sizeof(*found), found_count, stdout);
		free(code);
	}
	free(found);
	return ferror(stdin) || fflush(stdout);
}
