/*
 * ssh_config_value: a line "Keyword value" of an SSH configuration, taken into struct ssh_config. A
 * value that is there already stays: the first one wins, but IdentityFile adds up.
 */
#ifndef LOCKSTEP_LINK_SSH_CONFIG_VALUE_H
#define LOCKSTEP_LINK_SSH_CONFIG_VALUE_H

struct error;
struct ssh_config;

/* The line that is read. All is borrowed. */
struct ssh_config_place {
    struct ssh_config *config; /* what it is taken into */
    const char *file;          /* names it in errors */
    int line;
    struct error *error;
};

/* Take what stands behind the keyword, which is cut into words. Keywords that do not concern a
 * plain connection are passed over. ERR_USAGE, with FILE:LINE, for a value that is none. */
int ssh_config_take(const struct ssh_config_place *place, const char *keyword, char *rest);

/* Cut the next word off *rest: plain, or in double quotes. NULL where none is left or a comment
 * begins. */
char *ssh_config_next_word(char **rest);

/* ERR_USAGE: FILE:LINE, what is wrong, and with which word. */
int ssh_config_refuse(const struct ssh_config_place *place, const char *what, const char *value);

#endif
