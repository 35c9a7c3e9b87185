#include "protocol/link/ssh_config_reader.h"

#include <glob.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/link/ssh_config.h"
#include "protocol/link/ssh_config_value.h"
#include "protocol/link/ssh_file.h"
#include "protocol/link/ssh_pattern.h"

/* Where the reading is. */
struct reader {
    struct ssh_config_place place;
    const char *folder; /* of relative Includes */
    int is_active;      /* the Host or Match above applies */
    int depth;          /* of Includes */
};

static int read_text(struct reader *reader, const char *text);
static int read_line(struct reader *reader, char *line);
static int read_match(struct reader *reader, char *rest);
static int read_include(struct reader *reader, char *rest);

int ssh_config_read_text(struct ssh_config *config, const char *text, const char *file,
                         const char *folder, struct error *error)
{
    struct reader reader = {.place = {.config = config, .file = file, .error = error},
                            .folder = folder,
                            .is_active = 1};

    return read_text(&reader, text);
}

static int read_file(struct reader *reader, int must_exist)
{
    char *text = NULL;
    int rc = ssh_file_read(reader->place.file, LIMIT_SSH_FILE, &text, NULL, reader->place.error);

    if (rc == ERR_NO_DATABASE && must_exist)
        return error_set(reader->place.error, ERR_USAGE, "there is no SSH configuration %s",
                         reader->place.file);
    if (rc == ERR_NO_DATABASE)
        return error_set(reader->place.error, ERR_NONE, "%s", "");
    if (rc == 0)
        rc = read_text(reader, text);
    free(text);
    return rc;
}

int ssh_config_read_file(struct ssh_config *config, const char *path, const char *folder,
                         int must_exist, struct error *error)
{
    struct reader reader = {.place = {.config = config, .file = path, .error = error},
                            .folder = folder,
                            .is_active = 1};

    return read_file(&reader, must_exist);
}

static int read_text(struct reader *reader, const char *text)
{
    int rc = 0;

    for (reader->place.line = 1; rc == 0 && *text != '\0'; reader->place.line++) {
        size_t len = strcspn(text, "\n");
        char *line = strndup(text, len);

        if (line == NULL)
            return error_set(reader->place.error, ERR_INTERNAL, "out of memory for %s",
                             reader->place.file);
        rc = read_line(reader, line);
        free(line);
        text += len + (text[len] == '\n');
    }
    return rc;
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
        return ssh_config_refuse(&reader->place, "this is not a keyword and its value:", keyword);
    if (blanks > 0) {
        *rest = '\0';
        rest += blanks;
    }
    if (strcasecmp(keyword, "host") == 0) {
        const char *patterns = rest + strspn(rest, " \t\r\f");

        reader->is_active = ssh_pattern_match_list(reader->place.config->host, patterns,
                                                   strcspn(patterns, "#"), " \t\r\f\"");
        return 0;
    }
    if (strcasecmp(keyword, "match") == 0)
        return read_match(reader, rest);
    if (!reader->is_active)
        return 0;
    if (strcasecmp(keyword, "include") == 0)
        return read_include(reader, rest);
    return ssh_config_take(&reader->place, keyword, rest);
}

/*
 * Match: criteria that all must hold. One that this reader cannot decide (exec, tagged, ...) is
 * refused only where the others hold. "canonical" and "final" ask for a second reading, which is
 * never made.
 */
static int read_match(struct reader *reader, char *rest)
{
    struct ssh_config *config = reader->place.config;
    const char *host = config->host_name != NULL ? config->host_name : config->host;
    struct passwd *me = getpwuid(getuid());
    int is_matched = 1;
    char *unknown = NULL;

    for (char *word = ssh_config_next_word(&rest); word != NULL;
         word = ssh_config_next_word(&rest)) {
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
        list = ssh_config_next_word(&rest);
        if (list == NULL)
            return ssh_config_refuse(&reader->place, "Match lacks a value behind", word);
        if (text != NULL)
            is_matched &= ssh_pattern_match_list(text, list, strlen(list), ",") != is_negated;
    }
    reader->is_active = is_matched;
    if (is_matched && unknown != NULL)
        return error_set(reader->place.error, ERR_USAGE,
                         "%s:%d: Lockstep's own SSH cannot decide the Match criterion \"%s\": use "
                         "`--ssh ssh`, which runs the installed ssh",
                         reader->place.file, reader->place.line, unknown);
    return 0;
}

static int include_one(struct reader *reader, const char *path)
{
    struct reader inner = *reader;

    if (reader->depth >= LIMIT_SSH_INCLUDE_DEPTH)
        return ssh_config_refuse(&reader->place, "too many Includes inside one another, at", path);
    inner.place.file = path;
    inner.depth++;
    return read_file(&inner, 0);
}

/* Include: each word a pattern of file names, relative to the folder of the kind of file. */
static int read_include(struct reader *reader, char *rest)
{
    int rc = 0;

    for (char *word = ssh_config_next_word(&rest); rc == 0 && word != NULL;
         word = ssh_config_next_word(&rest)) {
        glob_t found = {.gl_pathc = 0};
        char *pattern = NULL;

        if (strncmp(word, "~/", 2) == 0)
            rc = asprintf(&pattern, "%s%s", reader->place.config->home, word + 1);
        else if (*word != '/')
            rc = asprintf(&pattern, "%s/%s", reader->folder, word);
        else
            rc = asprintf(&pattern, "%s", word);
        if (rc < 0)
            return error_set(reader->place.error, ERR_INTERNAL, "out of memory for an Include");
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
