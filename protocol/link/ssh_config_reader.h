/*
 * ssh_config_reader: reading the files of an SSH configuration: lines, Host and Match, which decide
 * whether those behind them count, and Include.
 */
#ifndef LOCKSTEP_LINK_SSH_CONFIG_READER_H
#define LOCKSTEP_LINK_SSH_CONFIG_READER_H

struct error;
struct ssh_config;

/*
 * Take what a file's text says. file names it in errors; folder is where relative Includes are
 * found. ERR_USAGE, with FILE:LINE, for a value that is none and for a Match that this reader
 * cannot decide.
 */
int ssh_config_read_text(struct ssh_config *config, const char *text, const char *file,
                         const char *folder, struct error *error);

/* The same for the file at path, if there is one. must_exist: ERR_USAGE where there is none. */
int ssh_config_read_file(struct ssh_config *config, const char *path, const char *folder,
                         int must_exist, struct error *error);

#endif
