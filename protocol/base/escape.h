/*
 * escape: text from anywhere, bytes that are no text among it, made safe for where it is put.
 */
#ifndef LOCKSTEP_BASE_ESCAPE_H
#define LOCKSTEP_BASE_ESCAPE_H

#include <stddef.h>

enum escape_style {
    /* One line of a log: controls and bytes that are not UTF-8 as \xHH, a newline as \n. A
     * backslash stays what it is: this is for reading, not for turning back. */
    ESCAPE_LINE,
    /* Between the quotes of a JSON string (RFC 8259), so that a JSON parser gives back the text;
     * bytes that are not UTF-8 as U+FFFD each. DEL, C1 controls and U+2028/2029 are escaped though
     * they need not be: a terminal or a script may read the file. */
    ESCAPE_JSON,
    /* Between the quotes of a label's value in Prometheus' text format: \\, \" and \n; bytes that
     * are not UTF-8 as U+FFFD. */
    ESCAPE_LABEL
};

/*
 * Write text, escaped, to out (out_size bytes, always NUL-terminated unless out_size is 0), cut
 * between characters where it does not fit. Returns the length written.
 */
size_t escape_text(enum escape_style style, const char *text, size_t text_len, char *out,
                   size_t out_size);

#endif
