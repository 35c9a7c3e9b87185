/*
 * receipts: the part of the sidecar that knows of versions: the push that is being committed (the intent), and who made the last thousand
 * versions, when and of what size. A change that somebody made without Lockstep is one of them, as soon as it is noticed.
 */
#ifndef LOCKSTEP_SYNC_RECEIPTS_H
#define LOCKSTEP_SYNC_RECEIPTS_H

#include <stdint.h>

#include "protocol/wire/message.h"

struct error;
struct sidecar;
struct sidecar_state;

/* One version: what a push asked for, and once it is committed, its receipt. */
struct push_record {
    uint8_t push_id[LINEAGE_SIZE];
    uint8_t old_root[ROOT_SIZE];
    uint8_t new_root[ROOT_SIZE];
    uint64_t version;   /* of the content after it */
    struct fence fence;
    int64_t time;       /* seconds since 1970, by this machine; of a change without Lockstep: when it was noticed */
    char instance[129]; /* who pushed; "" for a change without Lockstep */
    uint32_t pages;     /* that came; 0 where that was not counted yet */
    uint64_t bytes;     /* of their stream */
    uint32_t kind;      /* ENTRY_PUSHED or ENTRY_CHANGED */
};

/*
 * First step of a commit, while the write lock on the database is held and its root is known to be record->old_root:
 * checks the fence once more, counts record->version, stores the intent.
 */
int sidecar_begin_push(struct sidecar *sidecar, struct push_record *record, struct error *error);

/* Second step, after the pages are committed: version, root and receipt are stored, the intent goes. Harmless when repeated. */
int sidecar_finish_push(struct sidecar *sidecar, const struct push_record *record, struct error *error);

/*
 * If an intent is stored: decide by the database's present root what became of it, finish or drop it. To be called under the
 * database's write lock, so that no live process is in between.
 */
int sidecar_settle(struct sidecar *sidecar, const uint8_t root[ROOT_SIZE], struct error *error);

/* The receipt of a push. *found tells whether there is one. Receipts are kept for the last LIMIT_HISTORY versions. */
int sidecar_find_push(struct sidecar *sidecar, const uint8_t push_id[LINEAGE_SIZE], struct push_record *record, int *found,
                      struct error *error);

/*
 * The versions below `before` (0: all), newest first, at most max of them into records; *count is how many. Pushes of content that
 * was there already made none.
 */
int sidecar_list_versions(struct sidecar *sidecar, uint64_t before, struct push_record *records, uint32_t max, uint32_t *count,
                          struct error *error);

/* ---- for the other parts of the sidecar ---- */

/* Read the intent into *state, within the transaction that is open. */
int receipts_read_intent(struct sidecar *sidecar, struct sidecar_state *state, struct error *error);

/* Within a write transaction: content with this root is there, which is not state->root: note that somebody made this version. */
int receipts_note_change(struct sidecar *sidecar, const struct sidecar_state *state, const uint8_t root[ROOT_SIZE], struct error *error);

#endif
