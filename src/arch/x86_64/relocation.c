/* relocation.c: dynamic relocations of x86-64 (psABI 4.4, table 4.9). */
#include <elf.h>

#include "arch/x86_64/x86_64.h"

enum reloc_kind x86_64_relocation(uint32_t type)
{
	switch (type) {
	case R_X86_64_RELATIVE:
		return RELOC_RELATIVE;
	case R_X86_64_64:
		return RELOC_ADDRESS;
	case R_X86_64_GLOB_DAT:
	case R_X86_64_JUMP_SLOT:
		return RELOC_SLOT;
	case R_X86_64_COPY:
		return RELOC_COPY;
	case R_X86_64_IRELATIVE:
		return RELOC_RESOLVER;
	case R_X86_64_DTPMOD64:
		return RELOC_TLS_MODULE;
	case R_X86_64_DTPOFF64:
	case R_X86_64_TPOFF64:
		return RELOC_TLS_OFFSET;
	default:
		return RELOC_OTHER;
	}
}
