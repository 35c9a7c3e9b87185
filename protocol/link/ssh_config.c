#include "protocol/link/ssh_config.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/base/error.h"
#include "protocol/link/ssh_expand.h"
#include "protocol/link/ssh_file.h"
#include "protocol/link/ssh_pattern.h"

/* Where the reading is. */
struct reader {
    struct ssh_config *config;
    const char *file;   /* names it in errors */
    const char *folder; /* of relative Includes */
    int line;
    int is_active; /* the Host or Match above applies */
    int depth;     /* of Includes */
    struct error *error;
};

static int read_text(struct reader *reader, const char *text);
static int read_line(struct reader *reader, char *line);
static int take_keyword(struct reader *reader, const char *keyword, char *rest);
static int read_match(struct reader *reader, char *rest);
static int read_include(struct reader *reader, char *rest);

int ssh_config_init(struct ssh_config *config, const char *host, const char *home,
                    struct error *error)
{
    *config = (struct ssh_config){.port = -1,
                                  .identities_only = -1,
                                  .hash_known_hosts = -1,
                                  .connect_timeout_s = -1,
                                  .alive_interval_s = -1,
                                  .alive_count_max = -1,
                                  .address_family = -1};
    config->host = strdup(host);
    config->home = strdup(home);
    if (config->host != NULL && config->home != NULL)
        return 0;
    ssh_config_release(config);
    return error_set(error, ERR_INTERNAL, "out of memory for the SSH configuration");
}

static void release_list(struct ssh_file_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    *list = (struct ssh_file_list){.count = 0};
}

void ssh_config_release(struct ssh_config *config)
{
    free(config->host);
    free(config->home);
    free(config->host_name);
    free(config->user);
    free(config->identity_agent);
    free(config->host_key_alias);
    free(config->proxy);
    release_list(&config->identity_files);
    release_list(&config->user_known_hosts);
    release_list(&config->global_known_hosts);
    memset(config, 0, sizeof(*config));
}

int ssh_config_read_text(struct ssh_config *config, const char *text, const char *file,
                         const char *folder, struct error *error)
{
    struct reader reader = {
        .config = config, .file = file, .folder = folder, .is_active = 1, .error = error};

    return read_text(&reader, text);
}

static int read_file(struct reader *reader, int must_exist)
{
    char *text = NULL;
    int rc = ssh_file_read(reader->file, LIMIT_SSH_FILE, &text, NULL, reader->error);

    if (rc == ERR_NO_DATABASE && must_exist)
        return error_set(reader->error, ERR_USAGE, "there is no SSH configuration %s",
                         reader->file);
    if (rc == ERR_NO_DATABASE)
        return error_set(reader->error, ERR_NONE, "%s", "");
    if (rc == 0)
        rc = read_text(reader, text);
    free(text);
    return rc;
}

int ssh_config_read_file(struct ssh_config *config, const char *path, const char *folder,
                         int must_exist, struct error *error)
{
    struct reader reader = {
        .config = config, .file = path, .folder = folder, .is_active = 1, .error = error};

    return read_file(&reader, must_exist);
}

static int read_text(struct reader *reader, const char *text)
{
    int rc = 0;

    for (reader->line = 1; rc == 0 && *text != '\0'; reader->line++) {
        size_t len = strcspn(text, "\n");
        char *line = strndup(text, len);

        if (line == NULL)
            return error_set(reader->error, ERR_INTERNAL, "out of memory for %s", reader->file);
        rc = read_line(reader, line);
        free(line);
        text += len + (text[len] == '\n');
    }
    return rc;
}

static int refuse(struct reader *reader, const char *what, const char *value)
{
    return error_set(reader->error, ERR_USAGE, "%s:%d: %s \"%s\"", reader->file, reader->line, what,
                     value);
}

/* Cut the next word off *rest: plain, or in double quotes. NULL where none is left or a comment
 * begins. */
static char *next_word(char **rest)
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

/* "Keyword arguments" or "Keyword = arguments". */
static int read_line(struct reader *reader, char *line)
{
    char *keyword = line + strspn(line, " \t\r\f");
    char *rest = keyword + strcspn(keyword, " \t\r\f=#");
    size_t blanks = strspn(rest, " \t\r\f");

    if (*keyword == '\0' || *keyword == '#')
        return 0;
    if (rest[blanks] == '=')
        blanks++;
    if (blanks == 0 && *rest != '\0')
        return refuse(reader, "this is not a keyword and its value:", keyword);
    if (blanks > 0) {
        *rest = '\0';
        rest += blanks;
    }
    if (strcasecmp(keyword, "host") == 0) {
        const char *patterns = rest + strspn(rest, " \t\r\f");

        reader->is_active = ssh_pattern_match_list(reader->config->host, patterns,
                                                   strcspn(patterns, "#"), " \t\r\f\"");
        return 0;
    }
    if (strcasecmp(keyword, "match") == 0)
        return read_match(reader, rest);
    if (!reader->is_active)
        return 0;
    if (strcasecmp(keyword, "include") == 0)
        return read_include(reader, rest);
    return take_keyword(reader, keyword, rest);
}

/*
 * Match: criteria that all must hold. One that this reader cannot decide (exec, tagged, ...) is
 * refused only where the others hold. "canonical" and "final" ask for a second reading, which is
 * never made.
 */
static int read_match(struct reader *reader, char *rest)
{
    struct ssh_config *config = reader->config;
    const char *host = config->host_name != NULL ? config->host_name : config->host;
    struct passwd *me = getpwuid(getuid());
    int is_matched = 1;
    char *unknown = NULL;

    for (char *word = next_word(&rest); word != NULL; word = next_word(&rest)) {
        int is_negated = *word == '!';
        const char *text = NULL;
        char *list;

        word += is_negated;
        if (strcasecmp(word, "all") == 0) {
            is_matched &= !is_negated;
            continue;
        }
        if (strcasecmp(word, "canonical") == 0 || strcasecmp(word, "final") == 0) {
            is_matched &= is_negated;
            continue;
        }
        if (strcasecmp(word, "host") == 0)
            text = host;
        else if (strcasecmp(word, "originalhost") == 0)
            text = config->host;
        else if (strcasecmp(word, "user") == 0)
            text = config->user != NULL ? config->user : (me != NULL ? me->pw_name : "");
        else if (strcasecmp(word, "localuser") == 0)
            text = me != NULL ? me->pw_name : "";
        else
            unknown = word;
        list = next_word(&rest);
        if (list == NULL)
            return refuse(reader, "Match lacks a value behind", word);
        if (text != NULL)
            is_matched &= ssh_pattern_match_list(text, list, strlen(list), ",") != is_negated;
    }
    reader->is_active = is_matched;
    if (is_matched && unknown != NULL)
        return error_set(reader->error, ERR_USAGE,
                         "%s:%d: Lockstep's own SSH cannot decide the Match criterion \"%s\": use "
                         "`--ssh ssh`, which runs the installed ssh",
                         reader->file, reader->line, unknown);
    return 0;
}

static int include_one(struct reader *reader, const char *path)
{
    struct reader inner = *reader;

    if (reader->depth >= LIMIT_SSH_INCLUDE_DEPTH)
        return refuse(reader, "too many Includes inside one another, at", path);
    inner.file = path;
    inner.depth++;
    return read_file(&inner, 0);
}

/* Include: each word a pattern of file names, relative to the folder of the kind of file. */
static int read_include(struct reader *reader, char *rest)
{
    int rc = 0;

    for (char *word = next_word(&rest); rc == 0 && word != NULL; word = next_word(&rest)) {
        glob_t found = {.gl_pathc = 0};
        char *pattern = NULL;

        if (strncmp(word, "~/", 2) == 0)
            rc = asprintf(&pattern, "%s%s", reader->config->home, word + 1);
        else if (*word != '/')
            rc = asprintf(&pattern, "%s/%s", reader->folder, word);
        else
            rc = asprintf(&pattern, "%s", word);
        if (rc < 0)
            return error_set(reader->error, ERR_INTERNAL, "out of memory for an Include");
        rc = 0;
        if (glob(pattern, 0, NULL, &found) == 0) {
            for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++)
                rc = include_one(reader, found.gl_pathv[i]);
        }
        globfree(&found);
        free(pattern);
    }
    return rc;
}

/* ---- values ---- */

static int take_text(struct reader *reader, char **value, const char *word)
{
    if (*value != NULL)
        return 0;
    *value = strdup(word);
    return *value != NULL
               ? 0
               : error_set(reader->error, ERR_INTERNAL, "out of memory for %s", reader->file);
}

static int take_flag(struct reader *reader, int *value, const char *word)
{
    int flag;

    if (strcasecmp(word, "yes") == 0 || strcasecmp(word, "true") == 0)
        flag = 1;
    else if (strcasecmp(word, "no") == 0 || strcasecmp(word, "false") == 0)
        flag = 0;
    else
        return refuse(reader, "yes or no is expected, not", word);
    if (*value < 0)
        *value = flag;
    return 0;
}

/* A number, or with units (max is then in seconds) a time: 90, 90s, 1m30s, 2h. */
static int take_number(struct reader *reader, int *value, const char *word, long min, long max,
                       int is_time)
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
            return refuse(reader, "not a number that fits here:", word);
        total += number * (unit != NULL ? seconds[unit - units] : 1);
        if (total > max)
            return refuse(reader, "too large:", word);
        c = unit != NULL ? end + 1 : end;
    }
    if (total < min)
        return refuse(reader, "too small:", word);
    if (*value < 0)
        *value = (int)total;
    return 0;
}

/* All words of the line. adds: more lines add to the list (IdentityFile); else the first line wins.
 */
static int take_files(struct reader *reader, struct ssh_file_list *list, char *word, char *rest,
                      int adds)
{
    if (list->is_set && !adds)
        return 0;
    list->is_set = 1;
    for (; word != NULL; word = next_word(&rest)) {
        if (strcasecmp(word, "none") == 0)
            continue;
        if (list->count == LIMIT_SSH_FILES)
            return refuse(reader, "too many files, at", word);
        list->paths[list->count] = strdup(word);
        if (list->paths[list->count] == NULL)
            return error_set(reader->error, ERR_INTERNAL, "out of memory for %s", reader->file);
        list->count++;
    }
    return 0;
}

static int take_strict(struct reader *reader, const char *word)
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
        if (reader->config->strict == SSH_STRICT_UNSET)
            reader->config->strict = words[i].strict;
        return 0;
    }
    return refuse(reader, "StrictHostKeyChecking is not", word);
}

static int take_family(struct reader *reader, const char *word)
{
    int family;

    if (strcasecmp(word, "any") == 0)
        family = AF_UNSPEC;
    else if (strcasecmp(word, "inet") == 0)
        family = AF_INET;
    else if (strcasecmp(word, "inet6") == 0)
        family = AF_INET6;
    else
        return refuse(reader, "AddressFamily is not", word);
    if (reader->config->address_family < 0)
        reader->config->address_family = family;
    return 0;
}

static int take_proxy(struct reader *reader, const char *keyword, const char *word)
{
    int rc;

    /* "none" keeps a later line from counting, as everywhere the first value wins. */
    if (reader->config->proxy != NULL)
        return 0;
    if (strcasecmp(word, "none") == 0)
        rc = asprintf(&reader->config->proxy, "%s", "");
    else
        rc = asprintf(&reader->config->proxy, "%s at %s:%d", keyword, reader->file, reader->line);
    if (rc >= 0)
        return 0;
    reader->config->proxy = NULL;
    return error_set(reader->error, ERR_INTERNAL, "out of memory for %s", reader->file);
}

static int take_keyword(struct reader *reader, const char *keyword, char *rest)
{
    struct ssh_config *config = reader->config;
    char *word = next_word(&rest);

#define IS(name) (strcasecmp(keyword, name) == 0)
    if (word == NULL)
        return refuse(reader, "there is no value behind", keyword);
    if (IS("HostName"))
        return take_text(reader, &config->host_name, word);
    if (IS("User"))
        return take_text(reader, &config->user, word);
    if (IS("Port"))
        return take_number(reader, &config->port, word, 1, 65535, 0);
    if (IS("IdentityFile"))
        return take_files(reader, &config->identity_files, word, rest, 1);
    if (IS("IdentitiesOnly"))
        return take_flag(reader, &config->identities_only, word);
    if (IS("IdentityAgent"))
        return take_text(reader, &config->identity_agent, word);
    if (IS("UserKnownHostsFile"))
        return take_files(reader, &config->user_known_hosts, word, rest, 0);
    if (IS("GlobalKnownHostsFile"))
        return take_files(reader, &config->global_known_hosts, word, rest, 0);
    if (IS("HostKeyAlias"))
        return take_text(reader, &config->host_key_alias, word);
    if (IS("HashKnownHosts"))
        return take_flag(reader, &config->hash_known_hosts, word);
    if (IS("StrictHostKeyChecking"))
        return take_strict(reader, word);
    if (IS("ConnectTimeout"))
        return strcasecmp(word, "none") == 0
                   ? 0
                   : take_number(reader, &config->connect_timeout_s, word, 1, 86400, 1);
    if (IS("ServerAliveInterval"))
        return take_number(reader, &config->alive_interval_s, word, 0, 86400, 1);
    if (IS("ServerAliveCountMax"))
        return take_number(reader, &config->alive_count_max, word, 0, 1000, 0);
    if (IS("AddressFamily"))
        return take_family(reader, word);
    if (IS("ProxyJump") || IS("ProxyCommand"))
        return take_proxy(reader, keyword, word);
#undef IS
    return 0;
}

/* ---- defaults and expansion ---- */

static int default_list(struct ssh_file_list *list, const char *const *paths, struct error *error)
{
    if (list->is_set)
        return 0;
    for (; *paths != NULL; paths++) {
        list->paths[list->count] = strdup(*paths);
        if (list->paths[list->count] == NULL)
            return error_set(error, ERR_INTERNAL, "out of memory for a path");
        list->count++;
    }
    return 0;
}

static int expand_list(struct ssh_config *config, struct ssh_file_list *list, struct error *error)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < list->count; i++)
        rc = ssh_expand(config, &list->paths[i], error);
    return rc;
}

/* The host's real name and the user: what the tokens of all others stand for. */
static int finish_names(struct ssh_config *config, struct error *error)
{
    struct passwd *me = getpwuid(getuid());
    int rc = 0;

    if (config->user == NULL && me != NULL)
        config->user = strdup(me->pw_name);
    if (config->user == NULL)
        return error_set(error, ERR_USAGE,
                         "this user has no name: write USER@%s, to say as whom to log in",
                         config->host);
    if (config->host_name == NULL)
        config->host_name = strdup(config->host);
    else
        rc = ssh_expand_host_name(config, error);
    if (rc == 0 && config->host_name == NULL)
        rc = error_set(error, ERR_INTERNAL, "out of memory for a host name");
    return rc;
}

int ssh_config_finish(struct ssh_config *config, struct error *error)
{
    static const char *const identity_files[] = {"~/.ssh/id_ed25519", "~/.ssh/id_ecdsa",
                                                 "~/.ssh/id_rsa", NULL};
    static const char *const user_known_hosts[] = {"~/.ssh/known_hosts", "~/.ssh/known_hosts2",
                                                   NULL};
    static const char *const global_known_hosts[] = {"/etc/ssh/ssh_known_hosts",
                                                     "/etc/ssh/ssh_known_hosts2", NULL};
    struct {
        int *value;
        int standard;
    } numbers[] = {{&config->port, 22},
                   {&config->identities_only, 0},
                   {&config->hash_known_hosts, 0},
                   {&config->connect_timeout_s, 15},
                   {&config->alive_interval_s, 15},
                   {&config->alive_count_max, 3},
                   {&config->address_family, AF_UNSPEC}};
    int rc;

    if (config->proxy != NULL && config->proxy[0] != '\0')
        return error_set(error, ERR_USAGE,
                         "%s is set for %s, which Lockstep's own SSH does not do: use `--ssh ssh`, "
                         "which runs the installed ssh",
                         config->proxy, config->host);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (*numbers[i].value < 0)
            *numbers[i].value = numbers[i].standard;
    }
    if (config->strict == SSH_STRICT_UNSET)
        config->strict = SSH_STRICT_YES;
    rc = finish_names(config, error);
    if (rc == 0)
        rc = default_list(&config->identity_files, identity_files, error);
    if (rc == 0)
        rc = default_list(&config->user_known_hosts, user_known_hosts, error);
    if (rc == 0)
        rc = default_list(&config->global_known_hosts, global_known_hosts, error);
    if (rc == 0)
        rc = expand_list(config, &config->identity_files, error);
    if (rc == 0)
        rc = expand_list(config, &config->user_known_hosts, error);
    if (rc == 0 && config->identity_agent != NULL &&
        strcasecmp(config->identity_agent, "none") != 0 &&
        strcmp(config->identity_agent, "SSH_AUTH_SOCK") != 0)
        rc = ssh_expand(config, &config->identity_agent, error);
    return rc;
}
