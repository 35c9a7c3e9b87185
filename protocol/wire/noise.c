#include "protocol/wire/noise.h"

#include <string.h>

#include "protocol/base/error.h"
#include "protocol/base/hex.h"
#include "protocol/base/log.h"

#define SHOWN_TEXT  160
#define SHOWN_BYTES 16

/* One line of what can be read in it, without blanks at its ends. */
static size_t read_text(const uint8_t *data, size_t len, char out[SHOWN_TEXT + 1])
{
    size_t used =
        log_sanitize((const char *)data, len < SHOWN_TEXT ? len : SHOWN_TEXT, out, SHOWN_TEXT + 1);
    size_t start;

    for (size_t i = 0; i < used; i++) {
        if (out[i] == '\n' || out[i] == '\t')
            out[i] = ' ';
    }
    while (used > 0 && out[used - 1] == ' ')
        used--;
    out[used] = '\0';
    start = strspn(out, " ");
    memmove(out, out + start, used - start + 1);
    return used - start;
}

int noise_refuse(const uint8_t *data, size_t len, const char *far_side, const char *advice,
                 struct error *error)
{
    char text[SHOWN_TEXT + 1];
    char hex[2 * SHOWN_BYTES + 1];
    size_t head = len < SHOWN_BYTES ? len : SHOWN_BYTES;
    size_t readable = read_text(data, len, text);
    int is_text = readable * 4 > (len < SHOWN_TEXT ? len : SHOWN_TEXT);

    hex_encode(data, head, hex);
    return error_set(error, ERR_PROTOCOL,
                     "what comes from %s is not Lockstep's protocol; it begins with %s%s%s%s%s",
                     far_side, is_text ? "\"" : "the bytes ", is_text ? text : hex,
                     is_text ? "\"" : "", advice != NULL ? "; " : "", advice != NULL ? advice : "");
}
