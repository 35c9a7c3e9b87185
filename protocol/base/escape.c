#include "protocol/base/escape.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base/utf8.h"

/* The longest that one character becomes: \u00XX, or four bytes as they are. */
#define ESCAPED_MAX 8

/* U+FFFD REPLACEMENT CHARACTER */
#define REPLACEMENT "\xef\xbf\xbd"

/* Whether the character of len bytes, which is well-formed, is one that steers rather than shows.
 */
static int is_control(const uint8_t *at, size_t len)
{
    return at[0] < 0x20 || at[0] == 0x7f || (len == 2 && at[0] == 0xc2 && at[1] < 0xa0);
}

/* LINE SEPARATOR and PARAGRAPH SEPARATOR, which end a line in JavaScript. */
static int is_separator(const uint8_t *at, size_t len)
{
    return len == 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9);
}

static size_t line_escape(const uint8_t *at, size_t len, char out[ESCAPED_MAX + 1])
{
    size_t used = 0;

    if (at[0] == '\n')
        return (size_t)snprintf(out, ESCAPED_MAX + 1, "\\n");
    for (size_t i = 0; i < (len > 0 ? len : 1); i++)
        used += (size_t)snprintf(out + used, ESCAPED_MAX + 1 - used, "\\x%02x", at[i]);
    return used;
}

static size_t json_escape(const uint8_t *at, size_t len, char out[ESCAPED_MAX + 1])
{
    static const char short_ones[][2] = {{'"', '"'},  {'\\', '\\'}, {'\n', 'n'}, {'\r', 'r'},
                                         {'\t', 't'}, {'\b', 'b'},  {'\f', 'f'}};
    unsigned code = at[0];

    for (size_t i = 0; i < sizeof(short_ones) / sizeof(short_ones[0]); i++) {
        if (at[0] == (uint8_t)short_ones[i][0])
            return (size_t)snprintf(out, ESCAPED_MAX + 1, "\\%c", short_ones[i][1]);
    }
    if (len == 2)
        code = (at[0] & 0x1fu) << 6 | (at[1] & 0x3fu);
    else if (len == 3)
        code = (at[0] & 0x0fu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu);
    return (size_t)snprintf(out, ESCAPED_MAX + 1, "\\u%04x", code & 0xffffu);
}

/* What stands for the character of len bytes at `at`; len is 0 for a byte that belongs to none. */
static size_t escape_one(enum escape_style style, const uint8_t *at, size_t len,
                         char out[ESCAPED_MAX + 1])
{
    if (len == 0 && style != ESCAPE_LINE)
        return (size_t)snprintf(out, ESCAPED_MAX + 1, REPLACEMENT);
    switch (style) {
    case ESCAPE_LINE:
        if (len == 0 || is_control(at, len))
            return line_escape(at, len, out);
        break;
    case ESCAPE_JSON:
        if (is_control(at, len) || is_separator(at, len) || at[0] == '"' || at[0] == '\\')
            return json_escape(at, len, out);
        break;
    case ESCAPE_LABEL:
        if (at[0] == '"' || at[0] == '\\' || at[0] == '\n')
            return (size_t)snprintf(out, ESCAPED_MAX + 1, "\\%c", at[0] == '\n' ? 'n' : at[0]);
        break;
    }
    memcpy(out, at, len);
    return len;
}

size_t escape_text(enum escape_style style, const char *text, size_t text_len, char *out,
                   size_t out_size)
{
    const uint8_t *bytes = (const uint8_t *)text;
    char one[ESCAPED_MAX + 1];
    size_t used = 0;
    size_t i = 0;

    while (i < text_len) {
        size_t len = utf8_length(bytes + i, text_len - i);
        size_t escaped_len = escape_one(style, bytes + i, len, one);

        if (used + escaped_len >= out_size)
            break;
        memcpy(out + used, one, escaped_len);
        used += escaped_len;
        i += len > 0 ? len : 1;
    }
    if (out_size > 0)
        out[used] = '\0';
    return used;
}
