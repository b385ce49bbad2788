/* print.c: machine code to a line of text for a person. */
#include <string.h>

#include "arch/x86_64/x86_64.h"

static bool prepare(ZydisFormatter *formatter)
{
	/* Pc-relative operands as in the encoding, so that the text of equal code is equal; branches to
	 * where they lead. */
	return ZYAN_SUCCESS(ZydisFormatterInit(formatter, ZYDIS_FORMATTER_STYLE_INTEL)) &&
	       ZYAN_SUCCESS(ZydisFormatterSetProperty(formatter, ZYDIS_FORMATTER_PROP_FORCE_RELATIVE_RIPREL,
						      ZYAN_TRUE)) &&
	       ZYAN_SUCCESS(ZydisFormatterSetProperty(formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE)) &&
	       ZYAN_SUCCESS(ZydisFormatterSetProperty(formatter, ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE,
						      ZYDIS_PADDING_DISABLED));
}

bool x86_64_print(const uint8_t *code, size_t size, uint64_t address, char *out, size_t room)
{
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
	ZydisFormatter formatter;
	char line[256];
	size_t length;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&x86_64_decoder, code, size, &insn, operand)) ||
	    !prepare(&formatter) ||
	    !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &insn, operand, insn.operand_count_visible, line,
							  sizeof(line), address, NULL)))
		return false;
	if (room == 0)
		return true;
	length = strnlen(line, room - 1);
	memcpy(out, line, length);
	out[length] = '\0';
	return true;
}
