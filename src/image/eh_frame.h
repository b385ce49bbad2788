/*
 * eh_frame.h: read CIEs and FDEs from the bytes of an .eh_frame section.
 *
 * Source of the format: LSB Core 5.0, 10.6 "Exception Frames"; DWARF 5, 6.4; x86-64 psABI 4.2.4.
 * The bytes may come from a file or from the memory of a process, and may be hostile: nothing outside
 * of them is read, and every loop is bounded by their size.
 */
#ifndef STENT_IMAGE_EH_FRAME_H
#define STENT_IMAGE_EH_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

/* The section's bytes; not owned. */
struct eh_frame {
	const uint8_t *data;
	size_t size;
	uint64_t address;	/* of data[0], in the address space that the FDEs are to be read in:
				 * link-time for a file, run-time for a process */
};

struct eh_cie {
	uint64_t code_align;
	int64_t data_align;
	uint64_t return_register;	/* DWARF number */
	const uint8_t *program;		/* initial instructions, inside data */
	size_t program_size;
	uint8_t pointer_encoding;	/* DW_EH_PE_*, of FDE addresses */
	uint8_t lsda_encoding;		/* DW_EH_PE_omit (0xff) when there is none */
	bool signal_frame;		/* 'S' */
	bool has_augmentation_data;	/* 'z' */
	bool has_personality;		/* 'P' */
	uint8_t personality_encoding;	/* DW_EH_PE_* */
	uint64_t personality;		/* address of the routine or, if indirect, of a pointer to it; 0 for other encodings than
					 * absolute and pc-relative ones */
	size_t personality_at;		/* of the field in data */
};

struct eh_fde {
	struct range code;		/* may be empty */
	struct eh_cie cie;
	const uint8_t *program;		/* inside data */
	size_t program_size;
	uint64_t lsda;			/* address, 0 when there is none */
	size_t lsda_at;			/* of the field in data, likewise */
	size_t offset;			/* of the FDE's length field in data */
};

/*
 * Read the record at *offset, and move *offset behind it. Returns true with *fde filled for an FDE;
 * CIEs are passed over. Returns false at the end of the section or at its zero terminator (then
 * *why is NULL) or at bytes that are no valid record (then *why says so, a static string, and
 * *offset stays on them: what follows can't be trusted).
 * An unknown augmentation, version or pointer encoding is "no valid record" for that FDE only: it is
 * returned with cie.program == NULL and program == NULL when its address range could be read, and
 * passed over when not (also when it has the 64-bit form, which nothing for x86-64 writes here).
 */
bool eh_frame_next(const struct eh_frame *section, size_t *offset, struct eh_fde *fde, const char **why) must_check;

/* Read the FDE whose length field is at `offset`, as eh_frame_next() would; false when there is none,
 * or one whose address range can't be read. */
bool eh_frame_at(const struct eh_frame *section, size_t offset, struct eh_fde *fde) must_check;

#endif
