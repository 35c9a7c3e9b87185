#include "protocol/link/ssh_host_key.h"

#include <stdio.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/base/log.h"
#include "protocol/link/ssh_blob.h"
#include "protocol/link/ssh_config.h"
#include "protocol/link/ssh_known_hosts.h"

/* In the order that OpenSSH prefers. */
static const struct {
    const char *algorithm;
    const char *key_type; /* of the keys that it goes with */
    const char *keyscan;  /* the name of that type for ssh-keyscan -t */
} algorithms[] = {
    {"ssh-ed25519", "ssh-ed25519", "ed25519"},
    {"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", "ecdsa"},
    {"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", "ecdsa"},
    {"ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521", "ecdsa"},
    {"rsa-sha2-512", "ssh-rsa", "rsa"},
    {"rsa-sha2-256", "ssh-rsa", "rsa"},
    {"ssh-rsa", "ssh-rsa", "rsa"},
};

#define ALGORITHM_COUNT (sizeof(algorithms) / sizeof(algorithms[0]))

int ssh_host_key_load(const struct ssh_config *config, struct ssh_known_hosts *known,
                      struct error *error)
{
    const struct ssh_file_list *lists[] = {&config->user_known_hosts, &config->global_known_hosts};
    int rc;

    /* An alias stands for the host and the port, as in OpenSSH. */
    if (config->host_key_alias != NULL)
        rc = ssh_known_hosts_init(known, config->host_key_alias, 22, error);
    else
        rc = ssh_known_hosts_init(known, config->host_name, config->port, error);
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; rc == 0 && j < lists[i]->count; j++)
            rc = ssh_known_hosts_read_file(known, lists[i]->paths[j], error);
    }
    return rc;
}

static int is_in(const char *const *list, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i], word) == 0)
            return 1;
    }
    return 0;
}

void ssh_host_key_preference(const struct ssh_known_hosts *known, const char *const *supported,
                             size_t count, char *out, size_t out_size)
{
    size_t used = 0;

    out[0] = '\0';
    for (int wants_known = 1; wants_known >= 0; wants_known--) {
        for (size_t i = 0; i < ALGORITHM_COUNT && used < out_size; i++) {
            const char *type = algorithms[i].key_type;

            if (is_in(supported, count, algorithms[i].algorithm) &&
                ssh_known_hosts_has_type(known, type, strlen(type)) == wants_known)
                used += (size_t)snprintf(out + used, out_size - used, "%s%s", used > 0 ? "," : "",
                                         algorithms[i].algorithm);
        }
    }
}

static const char *keyscan_type(const char *type)
{
    for (size_t i = 0; i < ALGORITHM_COUNT; i++) {
        if (strcmp(algorithms[i].key_type, type) == 0)
            return algorithms[i].keyscan;
    }
    return "ed25519";
}

static int refuse_unknown(const struct ssh_config *config, const char *type,
                          const char *fingerprint, struct error *error)
{
    const char *file = config->user_known_hosts.count > 0 ? config->user_known_hosts.paths[0]
                                                          : "~/.ssh/known_hosts";

    return error_set(
        error, ERR_AUTH,
        "the host key of %s is not known; it shows %s %s. If that is the fingerprint that "
        "`ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub` prints there, add it with `ssh-keyscan "
        "-t %s -p %d %s >> %s`, or go on once with --accept-new-host-key",
        config->host, type, fingerprint, keyscan_type(type), keyscan_type(type), config->port,
        config->host_name, file);
}

static int refuse_changed(const struct ssh_config *config, const struct ssh_known_hosts *known,
                          const struct ssh_known_key *key, const char *type,
                          const char *fingerprint, struct error *error)
{
    char known_fingerprint[SSH_FINGERPRINT_SIZE];

    ssh_fingerprint(key->blob, key->blob_len, known_fingerprint);
    return error_set(
        error, ERR_AUTH,
        "THE HOST KEY OF %s HAS CHANGED. Somebody may be between you and it, or it was set up "
        "anew; nothing was sent. It shows %s %s, but %s has %s %s. If its administrator "
        "confirms the new key: `ssh-keygen -R '%s' -f %.*s`, then connect as for the first time",
        config->host, type, fingerprint, key->where, key->type, known_fingerprint, known->name,
        (int)(strrchr(key->where, ':') - key->where), key->where);
}

static int accept(const struct ssh_config *config, const struct ssh_known_hosts *known,
                  const uint8_t *blob, size_t blob_len, const char *type, const char *fingerprint,
                  struct error *error)
{
    const char *file;
    int rc;

    if (config->user_known_hosts.count == 0)
        return error_set(error, ERR_AUTH,
                         "the new host key of %s cannot be kept: UserKnownHostsFile is none",
                         config->host);
    file = config->user_known_hosts.paths[0];
    rc = ssh_known_hosts_append(known, file, blob, blob_len, config->hash_known_hosts, error);
    if (rc == 0)
        log_line(LOG_WARNING, "the new host key of %s, %s %s, was added to %s", config->host, type,
                 fingerprint, file);
    return rc;
}

int ssh_host_key_check(const struct ssh_config *config, const struct ssh_known_hosts *known,
                       int accept_new, const uint8_t *blob, size_t blob_len, struct error *error)
{
    const struct ssh_known_key *key = NULL;
    char fingerprint[SSH_FINGERPRINT_SIZE];
    char type[32];

    ssh_key_type(blob, blob_len, type, sizeof(type));
    ssh_fingerprint(blob, blob_len, fingerprint);
    switch (ssh_known_hosts_check(known, blob, blob_len, &key)) {
    case SSH_HOST_KNOWN:
        return 0;
    case SSH_HOST_CHANGED:
        return refuse_changed(config, known, key, type, fingerprint, error);
    case SSH_HOST_REVOKED:
        return error_set(
            error, ERR_AUTH,
            "the host key of %s, %s %s, is marked @revoked at %s: it must not be used any "
            "more; nothing was sent",
            config->host, type, fingerprint, key->where);
    case SSH_HOST_AUTHORITY:
        return error_set(
            error, ERR_AUTH,
            "the host key of %s is known by a @cert-authority only (%s), and Lockstep's own "
            "SSH does not read host certificates: use `--ssh ssh`, or add the key itself, %s "
            "%s, to known_hosts",
            config->host, key->where, type, fingerprint);
    case SSH_HOST_UNKNOWN:
        break;
    }
    if (accept_new || config->strict == SSH_STRICT_ACCEPT_NEW || config->strict == SSH_STRICT_NO)
        return accept(config, known, blob, blob_len, type, fingerprint, error);
    return refuse_unknown(config, type, fingerprint, error);
}
