#include "protocol/link/ssh_config.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/base/error.h"
#include "protocol/link/ssh_expand.h"

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
