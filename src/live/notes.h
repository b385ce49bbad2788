/*
 * notes.h: what a stent that waits for threads writes into the process for others to read, because nobody else can stop
 * threads that it has under control. Only for people: the process can write there, too, and nothing rests on it.
 */
#ifndef STENT_LIVE_NOTES_H
#define STENT_LIVE_NOTES_H

#include <stdint.h>
#include <sys/types.h>

#include "live/ledger.h"

#define NOTE_TEXT 60		/* bytes of a text with its NUL */
#define NOTES_MAX 60

struct note {
	int32_t tid;		/* a thread that has not arrived */
	char text[NOTE_TEXT];	/* why */
};

struct notes {
	uint32_t count, left_out;	/* more that there was no room for */
	struct note item[NOTES_MAX];
};

/* A failure to write is none of the caller's business. */
void notes_write(const struct process *process, const struct ledger *ledger, const struct notes *notes);

/* False: unreadable, or no notes. Texts are printable. */
bool notes_read(const struct process *process, const struct ledger *ledger, struct notes *notes) must_check;

#endif
