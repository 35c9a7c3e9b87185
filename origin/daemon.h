/*
 * daemon: serves databases to many replicas over TLS, until SIGTERM or SIGINT.
 *
 *   SIGHUP   certificate, key, client CA and the lists of who may do what are read again; where that fails, the old ones stay. It holds for
 *            connections that come from then on, the lists for all that have not sent OPEN yet.
 *   SIGTERM  no connection is taken any more; a commit at hand is finished; all others end with TRY_LATER, on which a replica tries again.
 */
#ifndef LOCKSTEP_ORIGIN_DAEMON_H
#define LOCKSTEP_ORIGIN_DAEMON_H

#include <stdint.h>

#include "origin/access.h"
#include "origin/catalog.h"
#include "origin/listeners.h"
#include "origin/lock_urls.h"
#include "origin/session.h"
#include "protocol/link/tls_context.h"

struct error;

struct daemon_options {
    const char *listen[LISTENERS_MAX]; /* up to the first NULL; sockets of systemd come on top */
    struct tls_server_options tls;     /* is_cert_needed is filled in */
    struct access_options access;
    struct catalog catalog;
    struct lock_urls lock_urls;
    struct session_options session;    /* path, rights and lock are filled in */
    unsigned max_connections;          /* of all clients: at the cap, nobody is taken before one goes */
    unsigned max_per_client;           /* that have shown the same name */
    uint64_t handshake_timeout_ms;
    uint64_t idle_timeout_ms;
    uint64_t max_memory;               /* bytes: for page hashes and streams that the sessions share */
    uint64_t max_spool;                /* bytes: of such streams in files beside the databases */
    const char *http;                  /* where /healthz and /metrics are; NULL: nowhere */
    uint64_t stuck_ms;                 /* work of a worker that takes longer makes the daemon unhealthy */
};

/* Serve. Returns when it is stopped; 0, or the error that kept it from starting. */
int daemon_run(const struct daemon_options *options, struct error *error);

#endif
