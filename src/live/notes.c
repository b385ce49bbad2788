#include "live/notes.h"

#include "base/utf8.h"
#include "process/breakpoint.h"

_Static_assert(TRAPS_SCRATCH + sizeof(struct notes) <= LEDGER_SCRATCH, "there is room for both");

void notes_write(const struct process *process, const struct ledger *ledger, const struct notes *notes)
{
	(void)!process_write(process, ledger->scratch + TRAPS_SCRATCH, notes, sizeof(*notes));
}

bool notes_read(const struct process *process, const struct ledger *ledger, struct notes *notes)
{
	if (!process_read(process, ledger->scratch + TRAPS_SCRATCH, notes, sizeof(*notes)) || notes->count > NOTES_MAX)
		return false;
	for (uint32_t i = 0; i < notes->count; i++) {
		notes->item[i].text[NOTE_TEXT - 1] = '\0';
		utf8_make_printable(notes->item[i].text);
	}
	return true;
}
