/*
 * read_window: a part of a file in memory, for reads that follow one another, so that one call to the kernel answers many of them.
 *
 * A read that begins no more than gap_max bytes behind the last one is taken as a sign that others follow: then piece_len bytes are to be read at once.
 * Measured with a kernel to which a call costs 1.2 us: 4 KiB take 2.3 to 2.7 us, 64 KiB 6.8. So where pages are read in order and one of four is
 * wanted, pieces of 64 KiB cost two thirds of what single pages do, and a fifth where all are.
 */
#ifndef LOCKSTEP_PAGE_READ_WINDOW_H
#define LOCKSTEP_PAGE_READ_WINDOW_H

#include <stddef.h>
#include <stdint.h>

/* For pages that are read in order, but not all of them. */
#define READ_WINDOW_NEAR_GAP   32768
#define READ_WINDOW_NEAR_PIECE 65536

struct read_window {
    size_t gap_max;   /* bytes; what is so near behind the last read follows it */
    size_t piece_len; /* bytes; 0: nothing is read ahead */
    uint8_t *data;    /* owned; room for piece_len bytes; NULL before it is needed */
    uint64_t first;   /* where the bytes in it stand in the file */
    size_t len;       /* bytes in it */
    uint64_t next;    /* where the last read ended */
};

/* Read ahead so from now on; what is in the window is dropped, with its memory. All zero is a window that does nothing. */
void read_window_set(struct read_window *window, size_t gap_max, size_t piece_len);
void read_window_release(struct read_window *window);

/* Copy len bytes from this place in the file to `to`, if the window has them. Returns whether it has. */
int read_window_copy(struct read_window *window, void *to, size_t len, uint64_t at);

/*
 * Where the window does not have them: returns where to read piece_len bytes from this place of the file to, or as many as there are, and
 * read_window_fill is next; or NULL: it is better to read the len bytes alone, or memory ran out.
 */
uint8_t *read_window_plan(struct read_window *window, size_t len, uint64_t at);
void read_window_fill(struct read_window *window, uint64_t at, size_t len);

/* These bytes are written to the file at this place. */
void read_window_write(struct read_window *window, const void *data, size_t len, uint64_t at);

/* The file has changed. */
void read_window_drop(struct read_window *window);

#endif
