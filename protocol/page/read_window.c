#include "protocol/page/read_window.h"

#include <stdlib.h>
#include <string.h>

void read_window_set(struct read_window *window, size_t gap_max, size_t piece_len)
{
    uint64_t next = window->next;

    read_window_release(window);
    window->gap_max = gap_max;
    window->piece_len = piece_len;
    window->next = next;
}

void read_window_release(struct read_window *window)
{
    free(window->data);
    *window = (struct read_window){0};
}

int read_window_copy(struct read_window *window, void *to, size_t len, uint64_t at)
{
    if (at < window->first || at + len > window->first + window->len)
        return 0;
    memcpy(to, window->data + (at - window->first), len);
    window->next = at + len;
    return 1;
}

uint8_t *read_window_plan(struct read_window *window, size_t len, uint64_t at)
{
    int follows = at >= window->next && at - window->next <= window->gap_max;

    window->next = at + len;
    if (!follows || len > window->piece_len)
        return NULL;
    window->len = 0;
    if (window->data == NULL)
        window->data = malloc(window->piece_len);
    return window->data;
}

void read_window_fill(struct read_window *window, uint64_t at, size_t len)
{
    window->first = at;
    window->len = len;
}

void read_window_write(struct read_window *window, const void *data, size_t len, uint64_t at)
{
    if (at >= window->first + window->len || at + len <= window->first)
        return;
    if (at >= window->first && at + len <= window->first + window->len)
        memcpy(window->data + (at - window->first), data, len);
    else
        window->len = 0;
}

void read_window_drop(struct read_window *window)
{
    window->len = 0;
}
