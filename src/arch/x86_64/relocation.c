/* relocation.c: relocations of x86-64 (psABI 4.4, table 4.9). */
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

enum link_kind x86_64_link_relocation(uint32_t type)
{
	switch (type) {
	case R_X86_64_64:
	case R_X86_64_32:
	case R_X86_64_32S:
		return LINK_ABSOLUTE;
	case R_X86_64_PC32:
	case R_X86_64_PLT32:
	case R_X86_64_PC64:
		return LINK_RELATIVE;
	case R_X86_64_TPOFF32:
	case R_X86_64_TPOFF64:
	case R_X86_64_DTPOFF32:
	case R_X86_64_DTPOFF64:
	case R_X86_64_SIZE32:
	case R_X86_64_SIZE64:
		return LINK_NUMBER;
	default:
		return LINK_OTHER;
	}
}
