/*
 * status_line: what is written to stderr, and one line of it that stays the last on the terminal while other lines come.
 *
 * Any thread may write. Each text goes out in one write(), so that lines of several processes do not mix; what cannot be written has
 * nowhere to be complained about.
 */
#ifndef LOCKSTEP_BASE_STATUS_LINE_H
#define LOCKSTEP_BASE_STATUS_LINE_H

#include <stddef.h>

/* Write whole lines above the status line. */
void status_line_write(const char *text, size_t len);

/* Keep text, cut at 400 bytes and without a newline, as the terminal's last line. NULL takes it away. For a stderr that is a terminal. */
void status_line_set(const char *text);

#endif
