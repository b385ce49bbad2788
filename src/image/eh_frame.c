#include "image/eh_frame.h"

#include "image/dwarf_bytes.h"

#define LENGTH_TERMINATOR 0
#define LENGTH_EXTENDED 0xffffffffu

enum record_kind {
	RECORD_END,
	RECORD_BAD,
	RECORD_OTHER,	/* a CIE, or an FDE whose address range can't be read */
	RECORD_FDE,
};

/* One record without its length field. */
struct record {
	size_t id_offset;	/* of the CIE id or CIE pointer in the section */
	size_t end;		/* offset of the next record */
	bool extended;
	uint32_t id;
	struct dwarf_cursor body;	/* behind the id */
};

static bool encoding_format_known(uint8_t encoding)
{
	switch (encoding & PE_FORMAT) {
	case PE_ABSPTR: case PE_ULEB128: case PE_UDATA2: case PE_UDATA4: case PE_UDATA8:
	case PE_SLEB128: case PE_SDATA2: case PE_SDATA4: case PE_SDATA8:
		return true;
	}
	return false;
}

/* Absolute and pc-relative addresses can be computed from the section alone; a data- or text-relative
 * base and an indirect pointer can't, and no producer uses them for FDE addresses. */
static bool encoding_known(uint8_t encoding)
{
	uint8_t base = encoding & PE_BASE;

	return !(encoding & PE_INDIRECT) && (base == 0 || base == PE_PCREL) && encoding_format_known(encoding);
}

/* An address in an encoding that encoding_known() accepts. `null` says whether the stored value was 0,
 * which means "none" in every encoding. Sums wrap around: a pc-relative offset is signed. */
static uint64_t read_address(const struct eh_frame *section, struct dwarf_cursor *cursor, uint8_t encoding, bool *null)
{
	uint64_t place = section->address + (uint64_t)(cursor->at - section->data);
	uint64_t value = dwarf_read_encoded(cursor, encoding);

	*null = value == 0;
	return (encoding & PE_BASE) == PE_PCREL ? place + value : value;
}

/* Find the record's bounds. RECORD_OTHER stands for "a record", whatever it is. */
static enum record_kind record_open(const struct eh_frame *section, size_t offset, struct record *record,
				    const char **why)
{
	struct dwarf_cursor cursor = { section->data + offset, section->data + section->size, false };
	uint64_t length = dwarf_read32(&cursor);

	*why = "the length of a record is cut off";
	if (cursor.bad)
		return RECORD_BAD;
	if (length == LENGTH_TERMINATOR) {
		*why = NULL;
		return RECORD_END;
	}
	record->extended = length == LENGTH_EXTENDED;
	if (record->extended)
		length = dwarf_read64(&cursor);
	if (cursor.bad)
		return RECORD_BAD;

	*why = "a record is longer than the section";
	if (length > dwarf_left(&cursor))
		return RECORD_BAD;
	record->id_offset = (size_t)(cursor.at - section->data);
	record->end = record->id_offset + (size_t)length;
	record->body = (struct dwarf_cursor){ cursor.at, cursor.at + length, false };
	*why = "a record is too short for its CIE pointer";
	record->id = dwarf_read32(&record->body);
	if (record->body.bad)
		return RECORD_BAD;
	*why = NULL;
	return RECORD_OTHER;
}

/*
 * The data that the letters behind the 'z' describe (LSB Core 5.0, 10.6.1.1.1). Returns false at a
 * letter whose data, if any, is not known: what follows it can't be read then.
 */
static bool read_augmentation(const struct eh_frame *section, const char *letters, struct dwarf_cursor *data, struct eh_cie *cie)
{
	bool address_encoding_read = false, null;

	cie->pointer_encoding = PE_ABSPTR;
	for (; *letters; letters++) {
		switch (*letters) {
		case 'R':
			cie->pointer_encoding = dwarf_read8(data);
			address_encoding_read = true;
			break;
		case 'L':
			cie->lsda_encoding = dwarf_read8(data);
			break;
		case 'P': {
			uint8_t encoding = dwarf_read8(data);

			if (!encoding_format_known(encoding))
				goto unknown;
			cie->personality_at = (size_t)(data->at - section->data);
			cie->personality_encoding = encoding;
			cie->personality = read_address(section, data, encoding, &null);
			if (!encoding_known(encoding & ~PE_INDIRECT))
				cie->personality = 0;
			cie->has_personality = true;
			break;
		}
		case 'S':
			cie->signal_frame = true;
			break;
		default:
			goto unknown;
		}
	}
	return true;
unknown:
	if (!address_encoding_read)
		cie->pointer_encoding = PE_OMIT;
	return false;
}

/* Returns NULL or what is damaged. A CIE that is sound but of a kind not known comes back without a
 * program, and with PE_OMIT when the FDEs' addresses can't be read either. */
static const char *read_cie(const struct eh_frame *section, size_t offset, struct eh_cie *cie)
{
	struct record record;
	const char *why;
	const uint8_t *letters, *data;
	uint8_t version;

	*cie = (struct eh_cie){ .pointer_encoding = PE_OMIT, .lsda_encoding = PE_OMIT };
	if (record_open(section, offset, &record, &why) != RECORD_OTHER)
		return why ? why : "a CIE pointer leads to the terminator";
	if (record.extended)
		return NULL;
	if (record.id != 0)
		return "a CIE pointer leads to a record that is no CIE";

	version = dwarf_read8(&record.body);
	if (!record.body.bad && version != 1 && version != 3)
		return NULL;
	letters = record.body.at;
	while (dwarf_read8(&record.body))
		;
	if (record.body.bad)
		return "the augmentation of a CIE has no end";
	/* "eh" of gcc 2, and whatever else lacks the 'z', moves the fields that follow. */
	if (letters[0] != '\0' && letters[0] != 'z')
		return NULL;

	cie->code_align = dwarf_read_uleb(&record.body);
	cie->data_align = dwarf_read_sleb(&record.body);
	cie->return_register = version == 1 ? dwarf_read8(&record.body) : dwarf_read_uleb(&record.body);
	cie->pointer_encoding = PE_ABSPTR;
	if (letters[0] == 'z') {
		uint64_t size = dwarf_read_uleb(&record.body);
		struct dwarf_cursor augmentation;

		cie->has_augmentation_data = true;
		data = dwarf_read_block(&record.body, size);
		if (!data)
			return "the augmentation data of a CIE is cut off";
		augmentation = (struct dwarf_cursor){ data, data + size, false };
		if (!read_augmentation(section, (const char *)letters + 1, &augmentation, cie))
			return NULL;
		if (augmentation.bad)
			return "the augmentation data of a CIE is too short";
	}
	if (record.body.bad)
		return "a CIE is cut off";
	cie->program = record.body.at;
	cie->program_size = dwarf_left(&record.body);
	return NULL;
}

/* The part of an FDE behind its address range. Returns NULL or what is damaged. */
static const char *read_fde_program(const struct eh_frame *section, struct dwarf_cursor *body, struct eh_fde *fde)
{
	struct dwarf_cursor augmentation;
	const uint8_t *data;
	uint64_t size, lsda;
	bool null;

	if (fde->cie.has_augmentation_data) {
		size = dwarf_read_uleb(body);
		data = dwarf_read_block(body, size);
		if (!data)
			return "the augmentation data of an FDE is cut off";
		if (fde->cie.lsda_encoding != PE_OMIT) {
			if (!encoding_known(fde->cie.lsda_encoding)) {
				fde->cie.program = NULL;
				return NULL;
			}
			augmentation = (struct dwarf_cursor){ data, data + size, false };
			fde->lsda_at = (size_t)(data - section->data);
			lsda = read_address(section, &augmentation, fde->cie.lsda_encoding, &null);
			if (augmentation.bad)
				return "the augmentation data of an FDE is too short";
			fde->lsda = null ? 0 : lsda;
			if (null)
				fde->lsda_at = 0;
		}
	}
	fde->program = body->at;
	fde->program_size = dwarf_left(body);
	return NULL;
}

static enum record_kind read_fde(const struct eh_frame *section, struct record *record, struct eh_fde *fde,
				 const char **why)
{
	uint64_t size;
	bool null;

	*why = "a CIE pointer leads out of the section";
	if (record->id > record->id_offset)
		return RECORD_BAD;
	*why = read_cie(section, record->id_offset - record->id, &fde->cie);
	if (*why)
		return RECORD_BAD;
	if (!encoding_known(fde->cie.pointer_encoding))
		return RECORD_OTHER;

	fde->code.start = read_address(section, &record->body, fde->cie.pointer_encoding, &null);
	size = dwarf_read_encoded(&record->body, fde->cie.pointer_encoding);
	*why = "the address range of an FDE is cut off";
	if (record->body.bad)
		return RECORD_BAD;
	*why = "the address range of an FDE wraps around";
	if (size > UINT64_MAX - fde->code.start)
		return RECORD_BAD;
	fde->code.end = fde->code.start + size;

	*why = NULL;
	if (fde->cie.program)
		*why = read_fde_program(section, &record->body, fde);
	return *why ? RECORD_BAD : RECORD_FDE;
}

/* Fills *fde for RECORD_FDE, and sets *next for all but RECORD_END and RECORD_BAD. */
static enum record_kind read_record(const struct eh_frame *section, size_t offset, size_t *next, struct eh_fde *fde,
				    const char **why)
{
	struct record record;
	enum record_kind kind;

	*why = NULL;
	if (offset >= section->size)
		return RECORD_END;
	kind = record_open(section, offset, &record, why);
	if (kind != RECORD_OTHER)
		return kind;
	/*
	 * No producer for x86-64 writes the 64-bit form into .eh_frame, and readers differ on the width
	 * of its CIE pointer (4 bytes in LSB Core 5.0 and libgcc, 8 in binutils and elfutils), so that
	 * neither reading would be more than a guess.
	 */
	if (!record.extended && record.id != 0) {
		*fde = (struct eh_fde){ .offset = offset };
		kind = read_fde(section, &record, fde, why);
	}
	if (kind != RECORD_BAD)
		*next = record.end;
	return kind;
}

bool eh_frame_next(const struct eh_frame *section, size_t *offset, struct eh_fde *fde, const char **why)
{
	for (;;) {
		enum record_kind kind = read_record(section, *offset, offset, fde, why);

		if (kind != RECORD_OTHER)
			return kind == RECORD_FDE;
	}
}

bool eh_frame_at(const struct eh_frame *section, size_t offset, struct eh_fde *fde)
{
	const char *why;
	size_t next;

	return read_record(section, offset, &next, fde, &why) == RECORD_FDE;
}
