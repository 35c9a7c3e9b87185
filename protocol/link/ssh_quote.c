#include "protocol/link/ssh_quote.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static int is_plain(char c)
{
    return isalnum((unsigned char)c) || strchr("_-./:@%+=,", c) != NULL || (unsigned char)c >= 0x80;
}

char *ssh_quote(const char *word)
{
    char *quoted = malloc(4 * strlen(word) + 3);
    char *out = quoted;
    int needs = *word == '\0';

    if (quoted == NULL)
        return NULL;
    if (strncmp(word, "~/", 2) == 0) {
        *out++ = *word++;
        *out++ = *word++;
    }
    for (const char *c = word; *c != '\0'; c++)
        needs |= !is_plain(*c);
    if (needs)
        *out++ = '\'';
    for (; *word != '\0'; word++) {
        if (*word == '\'') {
            memcpy(out, "'\\''", 4);
            out += 4;
        } else {
            *out++ = *word;
        }
    }
    if (needs)
        *out++ = '\'';
    *out = '\0';
    return quoted;
}
