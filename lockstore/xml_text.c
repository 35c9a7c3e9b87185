#include "lockstore/xml_text.h"

#include <stdio.h>
#include <string.h>

#include "protocol/base/log.h"

static size_t resolve_entities(char *text, size_t len)
{
    static const struct {
        const char *name;
        char stands_for;
    } entities[] = {
        {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    size_t used = 0;
    size_t i = 0;

    while (i < len) {
        size_t step = 1;

        text[used] = text[i];
        for (size_t e = 0; text[i] == '&' && e < sizeof(entities) / sizeof(entities[0]); e++) {
            size_t name_len = strlen(entities[e].name);

            if (name_len <= len - i && memcmp(text + i, entities[e].name, name_len) == 0) {
                text[used] = entities[e].stands_for;
                step = name_len;
                break;
            }
        }
        used++;
        i += step;
    }
    return used;
}

int xml_text(const char *document, size_t len, const char *name, char *out, size_t out_size)
{
    char raw[4096];
    char open[64];
    const char *start;
    const char *end;
    size_t raw_len;
    int open_len;

    out[0] = '\0';
    open_len = snprintf(open, sizeof(open), "<%s>", name);
    start = len > 0 ? memmem(document, len, open, (size_t)open_len) : NULL;
    if (start == NULL)
        return 0;
    start += open_len;
    end = memchr(start, '<', len - (size_t)(start - document));
    if (end == NULL || end == start || len - (size_t)(end - document) < (size_t)open_len + 1 ||
        end[1] != '/' || memcmp(end + 2, open + 1, (size_t)open_len - 1) != 0)
        return 0;
    raw_len = (size_t)(end - start);
    if (raw_len > sizeof(raw))
        return 0;
    memcpy(raw, start, raw_len);
    raw_len = resolve_entities(raw, raw_len);
    if (raw_len < out_size)
        log_sanitize(raw, raw_len, out, out_size);
    explicit_bzero(raw, sizeof(raw)); /* STS answers with keys */
    return raw_len < out_size;
}
