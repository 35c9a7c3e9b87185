#include "protocol/link/ssh_pattern.h"

#include <ctype.h>
#include <string.h>

static int same_letter(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

int ssh_pattern_match(const char *text, const char *pattern, size_t pattern_len)
{
    const char *text_mark = NULL; /* where the last '*' began to stand for something */
    size_t star = 0;              /* and what follows it in the pattern */
    size_t at = 0;

    /* One '*' is tried with ever more text; an earlier one need never be tried again. */
    while (*text != '\0') {
        if (at < pattern_len && pattern[at] == '*') {
            star = ++at;
            text_mark = text;
        } else if (at < pattern_len && (pattern[at] == '?' || same_letter(pattern[at], *text))) {
            at++;
            text++;
        } else if (text_mark != NULL) {
            at = star;
            text = ++text_mark;
        } else {
            return 0;
        }
    }
    while (at < pattern_len && pattern[at] == '*')
        at++;
    return at == pattern_len;
}

int ssh_pattern_match_list(const char *text, const char *list, size_t list_len,
                           const char *separators)
{
    int is_matched = 0;

    for (size_t at = 0; at < list_len;) {
        size_t end = at;
        int is_negated = list[at] == '!';

        while (end < list_len && strchr(separators, list[end]) == NULL)
            end++;
        if (end > at &&
            ssh_pattern_match(text, list + at + is_negated, end - at - (size_t)is_negated)) {
            if (is_negated)
                return 0;
            is_matched = 1;
        }
        at = end + 1;
    }
    return is_matched;
}
