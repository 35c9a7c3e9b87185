#include "lockstore/aws_config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/buffer.h"
#include "protocol/base/error.h"
#include "protocol/base/limits.h"

enum section_kind { SECTION_OTHER, SECTION_PROFILE, SECTION_SERVICES };

/* One "key = value", as pieces of a file's text. */
struct entry {
    enum section_kind kind;
    const char *section;
    const char *parent; /* of an indented line; NULL otherwise */
    const char *key;    /* lower case */
    const char *value;
};

struct aws_config {
    struct buffer text[2]; /* the credentials file, then the config file; cut up in place */
    struct entry *entries;
    size_t count;
    char profile[256];
    int profile_seen;
};

static int load_file(struct aws_config *config, struct buffer *text, const char *variable,
                     const char *name, int is_credentials, struct error *error);
static int read_file(const char *path, struct buffer *text, struct error *error);
static int parse(struct aws_config *config, char *text, int is_credentials, struct error *error);

int aws_config_load(struct aws_config **out, struct error *error)
{
    struct aws_config *config = calloc(1, sizeof(*config));
    const char *profile = aws_environment("AWS_PROFILE");
    int rc;

    if (config == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for the AWS configuration");
    if (profile == NULL)
        profile = aws_environment("AWS_DEFAULT_PROFILE");
    snprintf(config->profile, sizeof(config->profile), "%s", profile != NULL ? profile : "default");
    buffer_init(&config->text[0], LIMIT_AWS_FILE + 1);
    buffer_init(&config->text[1], LIMIT_AWS_FILE + 1);
    rc =
        load_file(config, &config->text[0], "AWS_SHARED_CREDENTIALS_FILE", "credentials", 1, error);
    if (rc == 0)
        rc = load_file(config, &config->text[1], "AWS_CONFIG_FILE", "config", 0, error);
    if (rc == 0 && profile != NULL && !config->profile_seen)
        rc = error_set(error, ERR_USAGE,
                       "AWS_PROFILE names the profile \"%s\", which is in neither of the AWS "
                       "tools' files (~/.aws/config, ~/.aws/credentials)",
                       config->profile);
    if (rc != 0) {
        aws_config_free(config);
        return rc;
    }
    *out = config;
    return 0;
}

void aws_config_free(struct aws_config *config)
{
    if (config == NULL)
        return;
    buffer_wipe(&config->text[0]);
    buffer_wipe(&config->text[1]);
    free(config->entries);
    free(config);
}

static int load_file(struct aws_config *config, struct buffer *text, const char *variable,
                     const char *name, int is_credentials, struct error *error)
{
    const char *named = aws_environment(variable);
    const char *home = getenv("HOME");
    char path[LIMIT_PATH];
    int rc;

    if (named == NULL && home == NULL)
        return 0;
    if (named == NULL)
        snprintf(path, sizeof(path), "%s/.aws/%s", home, name);
    else if (named[0] == '~' && named[1] == '/' && home != NULL)
        snprintf(path, sizeof(path), "%s%s", home, named + 1);
    else
        snprintf(path, sizeof(path), "%s", named);
    rc = read_file(path, text, error);
    if (rc != 0)
        return error_wrap(error, "reading the AWS tools' file %s", path);
    rc = text->len > 0 ? parse(config, (char *)text->data, is_credentials, error) : 0;
    return rc;
}

/* The whole file with a NUL behind it; nothing where there is no such file. */
static int read_file(const char *path, struct buffer *text, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 1;
    uint8_t *spot;
    int rc = 0;

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0)
        return error_set_errno(error, ERR_USAGE, errno, "opening it");
    rc = buffer_reserve(text, text->max, &spot, error);
    while (rc == 0 && got > 0) {
        got = read(fd, text->data + text->len, text->max - text->len);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got < 0)
            rc = error_set_errno(error, ERR_USAGE, errno, "reading it");
        else
            text->len += (size_t)got;
        if (rc == 0 && text->len == text->max)
            rc = error_set(error, ERR_USAGE, "it has more than %u bytes", LIMIT_AWS_FILE);
    }
    close(fd);
    if (rc == 0)
        text->data[text->len++] = '\0';
    return rc;
}

/* Cut spaces off both ends, in place. */
static char *trim(char *text)
{
    size_t len;

    while (isspace((unsigned char)*text))
        text++;
    len = strlen(text);
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        text[--len] = '\0';
    return text;
}

/* What stands between the brackets: "default", "profile NAME", "services NAME", in the credentials
 * file "NAME". */
static enum section_kind read_section(char *text, int is_credentials, char **name)
{
    static const struct {
        const char *word;
        enum section_kind kind;
    } words[] = {{"profile", SECTION_PROFILE}, {"services", SECTION_SERVICES}};
    size_t len;

    *name = text;
    if (is_credentials || strcmp(text, "default") == 0)
        return SECTION_PROFILE;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t word_len = strlen(words[i].word);

        if (strncmp(text, words[i].word, word_len) != 0 || !isspace((unsigned char)text[word_len]))
            continue;
        *name = trim(text + word_len);
        len = strlen(*name);
        if (len >= 2 && ((*name)[0] == '"' || (*name)[0] == '\'') && (*name)[len - 1] == **name) {
            (*name)[len - 1] = '\0';
            (*name)++;
        }
        return words[i].kind;
    }
    return SECTION_OTHER;
}

static int add_entry(struct aws_config *config, const struct entry *entry, struct error *error)
{
    struct entry *more;

    if ((config->count & (config->count - 1)) == 0) { /* full at each power of two */
        more = realloc(config->entries,
                       (config->count > 0 ? 2 * config->count : 1) * sizeof(*config->entries));
        if (more == NULL)
            return error_set(error, ERR_INTERNAL, "out of memory for the AWS configuration");
        config->entries = more;
    }
    config->entries[config->count++] = *entry;
    return 0;
}

static int parse(struct aws_config *config, char *text, int is_credentials, struct error *error)
{
    struct entry entry = {SECTION_OTHER, "", NULL, NULL, NULL};
    const char *parent = NULL;
    char *save;
    int rc = 0;

    for (char *line = strtok_r(text, "\n", &save); line != NULL && rc == 0;
         line = strtok_r(NULL, "\n", &save)) {
        int indented = line[0] == ' ' || line[0] == '\t';
        char *word = trim(line);
        char *equals = strchr(word, '=');
        char *name;

        if (word[0] == '\0' || word[0] == '#' || word[0] == ';')
            continue;
        if (word[0] == '[' && !indented) {
            char *close = strchr(word, ']');

            if (close != NULL)
                *close = '\0';
            entry.kind = read_section(trim(word + 1), is_credentials, &name);
            entry.section = name;
            parent = NULL;
            if (entry.kind == SECTION_PROFILE && strcmp(name, config->profile) == 0)
                config->profile_seen = 1;
            continue;
        }
        if (equals == NULL)
            continue;
        *equals = '\0';
        name = trim(word);
        for (char *c = name; *c != '\0'; c++)
            *c = (char)tolower((unsigned char)*c);
        entry.key = name;
        entry.value = trim(equals + 1);
        entry.parent = indented ? parent : NULL;
        if (!indented)
            parent = entry.value[0] == '\0' ? name : NULL;
        rc = add_entry(config, &entry, error);
    }
    return rc;
}

const char *aws_config_profile(const struct aws_config *config)
{
    return config->profile;
}

/* The first wins: the credentials file was read first. */
static const char *find(const struct aws_config *config, enum section_kind kind,
                        const char *section, const char *key)
{
    const char *dot = strchr(key, '.');
    size_t parent_len = dot != NULL ? (size_t)(dot - key) : 0;
    const char *leaf = dot != NULL ? dot + 1 : key;

    for (size_t i = 0; i < config->count; i++) {
        const struct entry *entry = &config->entries[i];
        int same_parent = dot == NULL
                              ? entry->parent == NULL
                              : entry->parent != NULL && strlen(entry->parent) == parent_len &&
                                    memcmp(entry->parent, key, parent_len) == 0;

        if (entry->kind == kind && same_parent && strcmp(entry->section, section) == 0 &&
            strcmp(entry->key, leaf) == 0 && entry->value[0] != '\0')
            return entry->value;
    }
    return NULL;
}

const char *aws_config_get(const struct aws_config *config, const char *key)
{
    return find(config, SECTION_PROFILE, config->profile, key);
}

const char *aws_config_get_of(const struct aws_config *config, const char *profile, const char *key)
{
    return find(config, SECTION_PROFILE, profile, key);
}

const char *aws_config_get_service(const struct aws_config *config, const char *services,
                                   const char *key)
{
    return find(config, SECTION_SERVICES, services, key);
}

const char *aws_environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}
