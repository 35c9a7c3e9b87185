/*
 * ssh_known_hosts: the host keys that the user trusts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): plain
 * names, [host]:port, patterns with exceptions, hashed names (|1|salt|HMAC-SHA1), @revoked and
 * @cert-authority.
 *
 * Files are read for one host; only the lines that name it are kept. Lines that cannot be read are
 * passed over, as OpenSSH does.
 */
#ifndef LOCKSTEP_LINK_SSH_KNOWN_HOSTS_H
#define LOCKSTEP_LINK_SSH_KNOWN_HOSTS_H

#include <stddef.h>
#include <stdint.h>

struct error;

enum ssh_key_mark { SSH_KEY_TRUSTED, SSH_KEY_REVOKED, SSH_KEY_AUTHORITY };

/* A line that names the host. */
struct ssh_known_key {
    enum ssh_key_mark mark;
    char type[32]; /* "ssh-ed25519", as the key itself says */
    uint8_t *blob; /* the public key (RFC 4253, section 6.6); owned */
    size_t blob_len;
    char *where; /* "FILE:LINE"; owned */
};

struct ssh_known_hosts {
    char *name; /* what is looked for: "host" or "[host]:port", in lower case; owned */
    struct ssh_known_key *keys; /* owned */
    size_t count;
    size_t cap; /* of keys */
};

enum ssh_host_verdict {
    SSH_HOST_KNOWN,     /* the key stands in a file for this host */
    SSH_HOST_UNKNOWN,   /* no key of any type stands for this host */
    SSH_HOST_CHANGED,   /* another key stands there, of the same type or, failing that, of others */
    SSH_HOST_REVOKED,   /* a @revoked line names this very key */
    SSH_HOST_AUTHORITY, /* only @cert-authority lines name this host */
};

/* Look for host at port (22 needs no brackets). ERR_INTERNAL when memory ran out. */
int ssh_known_hosts_init(struct ssh_known_hosts *known, const char *host, int port,
                         struct error *error);

void ssh_known_hosts_release(struct ssh_known_hosts *known);

/* Take the lines of text that name the host; file is for ssh_known_key.where. */
int ssh_known_hosts_read_text(struct ssh_known_hosts *known, const char *text, const char *file,
                              struct error *error);

/* The same for a file; one that does not exist has no lines. */
int ssh_known_hosts_read_file(struct ssh_known_hosts *known, const char *path, struct error *error);

/*
 * Judge the key that a host showed. *key becomes the line that decided it, for a message; NULL for
 * SSH_HOST_UNKNOWN. It lives as long as known.
 */
enum ssh_host_verdict ssh_known_hosts_check(const struct ssh_known_hosts *known,
                                            const uint8_t *blob, size_t blob_len,
                                            const struct ssh_known_key **key);

/* Whether a trusted key of that type ("ssh-ed25519") stands for the host. */
int ssh_known_hosts_has_type(const struct ssh_known_hosts *known, const char *type,
                             size_t type_len);

/*
 * Append a line for the host and this key to the file at path, which is made (mode 0600, its folder
 * 0700) where there is none. is_hashed: the name is hashed with a random salt. ERR_IO.
 */
int ssh_known_hosts_append(const struct ssh_known_hosts *known, const char *path,
                           const uint8_t *blob, size_t blob_len, int is_hashed,
                           struct error *error);

#endif
