/*
 * Text that people and other programs write, through every parser of it: the first byte chooses
 * which one. Beyond not crashing: what endpoint_parse takes has a path, and what is sanitized has
 * no escape left.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/link/endpoint.h"
#include "protocol/link/far_lines.h"
#include "protocol/link/link.h"
#include "protocol/link/ssh_config.h"
#include "protocol/link/ssh_config_reader.h"
#include "protocol/link/ssh_key_file.h"
#include "protocol/link/ssh_known_hosts.h"
#include "protocol/link/ssh_quote.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_endpoint(const char *text)
{
    struct endpoint endpoint;

    if (endpoint_parse(&endpoint, text, NULL) != 0)
        return;
    assert(endpoint.path != NULL && endpoint.path[0] != '\0');
    assert((endpoint.kind == ENDPOINT_LOCAL) == (endpoint.host == NULL));
    assert(endpoint.host == NULL || endpoint.host[0] != '-');
    endpoint_release(&endpoint);
}

static void try_config(const char *text)
{
    struct ssh_config config;
    struct error error;

    /* An Include would make what is found depend on this machine's files. */
    if (strcasestr(text, "include") != NULL)
        return;
    assert(ssh_config_init(&config, "origin", "/home/me", &error) == 0);
    if (ssh_config_read_text(&config, text, "f", "/nonexistent", &error) == 0)
        ssh_config_finish(&config, &error);
    ssh_config_release(&config);
}

static void try_known_hosts(const char *text)
{
    static const uint8_t blob[] = {0, 0, 0, 3, 'a', 'b', 'c'};
    const struct ssh_known_key *key;
    struct ssh_known_hosts known;

    assert(ssh_known_hosts_init(&known, "origin", 22, NULL) == 0);
    assert(ssh_known_hosts_read_text(&known, text, "f", NULL) == 0);
    ssh_known_hosts_check(&known, blob, sizeof(blob), &key);
    ssh_known_hosts_release(&known);
}

static void on_far_line(void *user, const char *line)
{
    (void)user;
    assert(line[0] != '\0' && strlen(line) < LIMIT_FAR_LINE);
    assert(strchr(line, 0x1b) == NULL && strchr(line, '\n') == NULL);
}

static void try_far_lines(const char *text, size_t len)
{
    static struct link link = {.callbacks = {.on_far_line = on_far_line}};
    static struct far_lines lines;

    far_lines_init(&lines, &link);
    far_lines_feed(&lines, text, len / 2);
    far_lines_feed(&lines, text + len / 2, len - len / 2);
    far_lines_end(&lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ssh_key_file key;
    char *text;

    if (size < 1)
        return 0;
    text = malloc(size);
    assert(text != NULL);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    switch (data[0]) {
    case 'e':
        try_endpoint(text);
        break;
    case 'c':
        try_config(text);
        break;
    case 'h':
        try_known_hosts(text);
        break;
    case 'k':
        if (ssh_key_file_parse(&key, text, size - 1, NULL) == 0)
            ssh_key_file_release(&key);
        break;
    case 'q':
        free(ssh_quote(text));
        break;
    default:
        try_far_lines(text, size - 1);
        break;
    }
    free(text);
    return 0;
}
