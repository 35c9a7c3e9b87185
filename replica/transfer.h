/*
 * transfer: one whole pull, push, status, verify, history or diff: opens the local database, connects, holds the conversation, and
 * tries again where the database changed while it was read.
 */
#ifndef LOCKSTEP_REPLICA_TRANSFER_H
#define LOCKSTEP_REPLICA_TRANSFER_H

#include <stdint.h>

#include "protocol/base/error.h"
#include "protocol/sync/conversation.h"
#include "protocol/sync/meter.h"
#include "protocol/sync/sidecar.h"
#include "replica/compare.h"
#include "replica/connect.h"
#include "replica/greeting.h"
#include "replica/pull.h"

struct endpoint;
struct page_diff;
struct transfer;
struct uv_loop_s;
struct version_list;

enum transfer_kind { TRANSFER_PULL, TRANSFER_PUSH, TRANSFER_STATUS, TRANSFER_VERIFY, TRANSFER_HISTORY, TRANSFER_DIFF };

/* What came of it. Good during the callback. */
struct transfer_outcome {
    struct error error;                /* ERR_NONE: it is through */
    struct sync_result result;         /* of a pull or push that is through */
    struct comparison comparison;      /* of a status or verify that is through */
    struct sidecar_state book;         /* the local one's, as it was at the start */
    struct geometry local;             /* status: what the local database has */
    int at_base;                       /* status: whether that is the base */
    struct version_list *versions;     /* of a history that is through; the user's to free; else NULL */
    struct page_diff *diff;            /* of a diff, likewise */
    uint64_t fence_token;              /* that the origin has seen; 0 where it was not heard */
    struct conversation_stats stats;   /* of all attempts */
    uint64_t milliseconds;
    uint64_t spent[METER_PHASES];      /* of these, by phase */
};

/* Where one stands. */
struct transfer_view {
    const struct meter *meter;         /* lives as long as the transfer */
    struct conversation_stats stats;   /* of all attempts */
    uint64_t milliseconds;             /* since its start */
};

struct transfer_options {
    enum transfer_kind kind;
    const struct endpoint *origin;           /* these four are borrowed until on_end */
    const struct connect_options *connect;
    const char *local;                       /* NULL for a history */
    uint32_t versions;                       /* history: how many are wanted */
    const char *origin_name;                 /* as the user wrote it, for messages */
    struct sync_options sync;
    void (*on_end)(void *user, const struct transfer_outcome *outcome); /* last; never from inside transfer_start */
    void *user;
};

/* Start it. ERR_INTERNAL: memory ran out; anything else comes by on_end. */
int transfer_start(struct transfer **transfer, struct uv_loop_s *loop, const struct transfer_options *options,
                   struct error *error);

void transfer_look(const struct transfer *transfer, struct transfer_view *view);

/* End it as soon as possible, with this error unless it is through by then. on_end follows. */
void transfer_cancel(struct transfer *transfer, const struct error *error);

#endif
