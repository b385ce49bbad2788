/* translator.h: processes whose code is not what runs. */
#ifndef STENT_LIVE_TRANSLATOR_H
#define STENT_LIVE_TRANSLATOR_H

#include "live/survey.h"

/*
 * Valgrind, DynamoRIO, Pin and qemu-user keep a program's code in memory, but execute translations of it: a jump written into it would be
 * without effect, and the patch would be said to be in force. They are known by files of theirs that they map. STATUS_REFUSED names it.
 */
enum status translator_check(const struct survey *survey, struct error *error) must_check;

#endif
