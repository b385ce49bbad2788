/* escape.h: does a function keep the addresses of a table to itself? */
#ifndef STENT_DIFF_ESCAPE_H
#define STENT_DIFF_ESCAPE_H

#include "program/program.h"

/*
 * Of all addresses inside of the span, and its end, that the function puts into registers: does it do nothing with them but load from where they lead,
 * and compare them with each other (FATE_KEPT)? FATE_OUT also where that is not to be seen. (In images of fixed address
 * every number that may be one counts as an address.)
 */
enum fate escape_of(const struct program *program, uint32_t function, struct range span) must_check;

#endif
