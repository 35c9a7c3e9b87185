#include "protocol/link/ssh_config_value.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "protocol/base/error.h"
#include "protocol/link/ssh_config.h"

int ssh_config_refuse(const struct ssh_config_place *place, const char *what, const char *value)
{
    return error_set(place->error, ERR_USAGE, "%s:%d: %s \"%s\"", place->file, place->line, what,
                     value);
}

char *ssh_config_next_word(char **rest)
{
    char *word = *rest + strspn(*rest, " \t\r\f");
    char *end;

    if (*word == '\0' || *word == '#')
        return NULL;
    if (*word == '"') {
        end = strchr(++word, '"');
        if (end == NULL)
            end = word + strlen(word);
    } else {
        end = word + strcspn(word, " \t\r\f");
    }
    *rest = *end == '\0' ? end : end + 1;
    *end = '\0';
    return word;
}

static int take_text(const struct ssh_config_place *place, char **value, const char *word)
{
    if (*value != NULL)
        return 0;
    *value = strdup(word);
    return *value != NULL
               ? 0
               : error_set(place->error, ERR_INTERNAL, "out of memory for %s", place->file);
}

static int take_flag(const struct ssh_config_place *place, int *value, const char *word)
{
    int flag;

    if (strcasecmp(word, "yes") == 0 || strcasecmp(word, "true") == 0)
        flag = 1;
    else if (strcasecmp(word, "no") == 0 || strcasecmp(word, "false") == 0)
        flag = 0;
    else
        return ssh_config_refuse(place, "yes or no is expected, not", word);
    if (*value < 0)
        *value = flag;
    return 0;
}

/* A number, or with units (max is then in seconds) a time: 90, 90s, 1m30s, 2h. */
static int take_number(const struct ssh_config_place *place, int *value, const char *word, long min,
                       long max, int is_time)
{
    static const char units[] = "smhdw";
    static const long seconds[] = {1, 60, 3600, 86400, 604800};
    long total = 0;

    for (const char *c = word; *c != '\0';) {
        char *end;
        long number = strtol(c, &end, 10);
        const char *unit = *end != '\0' ? strchr(units, tolower((unsigned char)*end)) : NULL;

        if (!isdigit((unsigned char)*c) || number > max ||
            (*end != '\0' && (unit == NULL || !is_time)))
            return ssh_config_refuse(place, "not a number that fits here:", word);
        total += number * (unit != NULL ? seconds[unit - units] : 1);
        if (total > max)
            return ssh_config_refuse(place, "too large:", word);
        c = unit != NULL ? end + 1 : end;
    }
    if (total < min)
        return ssh_config_refuse(place, "too small:", word);
    if (*value < 0)
        *value = (int)total;
    return 0;
}

/* All words of the line. adds: more lines add to the list (IdentityFile); else the first line wins.
 */
static int take_files(const struct ssh_config_place *place, struct ssh_file_list *list, char *word,
                      char *rest, int adds)
{
    if (list->is_set && !adds)
        return 0;
    list->is_set = 1;
    for (; word != NULL; word = ssh_config_next_word(&rest)) {
        if (strcasecmp(word, "none") == 0)
            continue;
        if (list->count == LIMIT_SSH_FILES)
            return ssh_config_refuse(place, "too many files, at", word);
        list->paths[list->count] = strdup(word);
        if (list->paths[list->count] == NULL)
            return error_set(place->error, ERR_INTERNAL, "out of memory for %s", place->file);
        list->count++;
    }
    return 0;
}

static int take_strict(const struct ssh_config_place *place, const char *word)
{
    static const struct {
        const char *word;
        enum ssh_strict strict;
    } words[] = {{"yes", SSH_STRICT_YES},  {"ask", SSH_STRICT_YES},
                 {"true", SSH_STRICT_YES}, {"accept-new", SSH_STRICT_ACCEPT_NEW},
                 {"no", SSH_STRICT_NO},    {"off", SSH_STRICT_NO},
                 {"false", SSH_STRICT_NO}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(word, words[i].word) != 0)
            continue;
        if (place->config->strict == SSH_STRICT_UNSET)
            place->config->strict = words[i].strict;
        return 0;
    }
    return ssh_config_refuse(place, "StrictHostKeyChecking is not", word);
}

static int take_family(const struct ssh_config_place *place, const char *word)
{
    int family;

    if (strcasecmp(word, "any") == 0)
        family = AF_UNSPEC;
    else if (strcasecmp(word, "inet") == 0)
        family = AF_INET;
    else if (strcasecmp(word, "inet6") == 0)
        family = AF_INET6;
    else
        return ssh_config_refuse(place, "AddressFamily is not", word);
    if (place->config->address_family < 0)
        place->config->address_family = family;
    return 0;
}

static int take_proxy(const struct ssh_config_place *place, const char *keyword, const char *word)
{
    int rc;

    /* "none" keeps a later line from counting, as everywhere the first value wins. */
    if (place->config->proxy != NULL)
        return 0;
    if (strcasecmp(word, "none") == 0)
        rc = asprintf(&place->config->proxy, "%s", "");
    else
        rc = asprintf(&place->config->proxy, "%s at %s:%d", keyword, place->file, place->line);
    if (rc >= 0)
        return 0;
    place->config->proxy = NULL;
    return error_set(place->error, ERR_INTERNAL, "out of memory for %s", place->file);
}

int ssh_config_take(const struct ssh_config_place *place, const char *keyword, char *rest)
{
    struct ssh_config *config = place->config;
    char *word = ssh_config_next_word(&rest);

#define IS(name) (strcasecmp(keyword, name) == 0)
    if (word == NULL)
        return ssh_config_refuse(place, "there is no value behind", keyword);
    if (IS("HostName"))
        return take_text(place, &config->host_name, word);
    if (IS("User"))
        return take_text(place, &config->user, word);
    if (IS("Port"))
        return take_number(place, &config->port, word, 1, 65535, 0);
    if (IS("IdentityFile"))
        return take_files(place, &config->identity_files, word, rest, 1);
    if (IS("IdentitiesOnly"))
        return take_flag(place, &config->identities_only, word);
    if (IS("IdentityAgent"))
        return take_text(place, &config->identity_agent, word);
    if (IS("UserKnownHostsFile"))
        return take_files(place, &config->user_known_hosts, word, rest, 0);
    if (IS("GlobalKnownHostsFile"))
        return take_files(place, &config->global_known_hosts, word, rest, 0);
    if (IS("HostKeyAlias"))
        return take_text(place, &config->host_key_alias, word);
    if (IS("HashKnownHosts"))
        return take_flag(place, &config->hash_known_hosts, word);
    if (IS("StrictHostKeyChecking"))
        return take_strict(place, word);
    if (IS("ConnectTimeout"))
        return strcasecmp(word, "none") == 0
                   ? 0
                   : take_number(place, &config->connect_timeout_s, word, 1, 86400, 1);
    if (IS("ServerAliveInterval"))
        return take_number(place, &config->alive_interval_s, word, 0, 86400, 1);
    if (IS("ServerAliveCountMax"))
        return take_number(place, &config->alive_count_max, word, 0, 1000, 0);
    if (IS("AddressFamily"))
        return take_family(place, word);
    if (IS("ProxyJump") || IS("ProxyCommand"))
        return take_proxy(place, keyword, word);
#undef IS
    return 0;
}
