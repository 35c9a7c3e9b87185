#include "protocol/link/ssh_setup.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "protocol/base/error.h"
#include "protocol/base/limits.h"
#include "protocol/link/link_ssh.h"
#include "protocol/link/ssh_config.h"
#include "protocol/link/ssh_config_reader.h"

static int take_identity_files(struct ssh_config *config, const char *const *files,
                               struct error *error);
static int read_files(struct ssh_config *config, const char *config_path, struct error *error);

int ssh_setup(struct ssh_config *config, const struct link_ssh_options *options,
              struct error *error)
{
    char home[LIMIT_PATH] = "/";
    size_t home_size = sizeof(home);
    int rc;

    uv_os_homedir(home, &home_size);
    rc = ssh_config_init(config, options->host, home, error);
    if (rc != 0)
        return rc;
    if (options->user != NULL && (config->user = strdup(options->user)) == NULL)
        return error_set(error, ERR_INTERNAL, "out of memory for a user name");
    if (options->port != 0)
        config->port = options->port;
    if (options->keepalive_s != 0)
        config->alive_interval_s = options->keepalive_s;
    if (options->known_hosts_path != NULL) {
        config->user_known_hosts.paths[0] = strdup(options->known_hosts_path);
        if (config->user_known_hosts.paths[0] == NULL)
            return error_set(error, ERR_INTERNAL, "out of memory for a path");
        config->user_known_hosts.count = 1;
        config->user_known_hosts.is_set = config->global_known_hosts.is_set = 1;
    }
    rc = take_identity_files(config, options->identity_files, error);
    if (rc == 0)
        rc = read_files(config, options->config_path, error);
    return rc == 0 ? ssh_config_finish(config, error) : rc;
}

static int take_identity_files(struct ssh_config *config, const char *const *files,
                               struct error *error)
{
    struct ssh_file_list *list = &config->identity_files;

    for (; files != NULL && *files != NULL; files++) {
        if (list->count == LIMIT_SSH_FILES)
            return error_set(error, ERR_USAGE, "more than %d identity files", LIMIT_SSH_FILES);
        list->paths[list->count] = strdup(*files);
        if (list->paths[list->count] == NULL)
            return error_set(error, ERR_INTERNAL, "out of memory for a path");
        list->count++;
        list->is_set = 1;
    }
    return 0;
}

static int read_files(struct ssh_config *config, const char *config_path, struct error *error)
{
    char folder[LIMIT_PATH];
    char path[LIMIT_PATH + 8];
    int rc;

    snprintf(folder, sizeof(folder), "%s/.ssh", config->home);
    if (config_path != NULL)
        return ssh_config_read_file(config, config_path, folder, 1, error);
    snprintf(path, sizeof(path), "%s/config", folder);
    rc = ssh_config_read_file(config, path, folder, 0, error);
    return rc == 0 ? ssh_config_read_file(config, "/etc/ssh/ssh_config", "/etc/ssh", 0, error) : rc;
}
