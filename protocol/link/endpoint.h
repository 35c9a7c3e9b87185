/*
 * endpoint: where a database is, as a user writes it.
 *
 *   path                           a local file
 *   [user@]host:path               over SSH
 *   ssh://[user@]host[:port]/path  over SSH
 *   tls://host[:port]/name         an origin daemon
 *
 * A host is what stands before the first ':' where neither '/' nor '\' comes before it: the rule of
 * sqlite3_rsync. An IPv6 address stands in brackets: [2001:db8::1]:path. In the two URL forms %XX
 * stands for a byte, and a '%' is written %25.
 */
#ifndef LOCKSTEP_LINK_ENDPOINT_H
#define LOCKSTEP_LINK_ENDPOINT_H

struct error;

enum endpoint_kind { ENDPOINT_LOCAL, ENDPOINT_SSH, ENDPOINT_TLS };

struct endpoint {
    enum endpoint_kind kind;
    char *user; /* NULL where none was given */
    char *host; /* NULL for ENDPOINT_LOCAL; without brackets */
    int port;   /* 0 where none was given */
    char *path; /* never NULL or empty. ssh://host/path is absolute, ssh://host/~/path below the
                   home directory */
};

/*
 * Read text into *endpoint, which owns its strings (endpoint_release). ERR_USAGE for an empty path,
 * a host or user that begins with '-' (it would be an option to ssh), control characters, a port
 * that is none.
 */
int endpoint_parse(struct endpoint *endpoint, const char *text, struct error *error);

void endpoint_release(struct endpoint *endpoint);

#endif
