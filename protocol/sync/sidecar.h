/*
 * sidecar: Lockstep's bookkeeping about one copy of a database, kept beside it in "<db>-lockstep", a SQLite
 * database of its own, never inside the user's.
 *
 * The same tables serve both sides. At an origin: lineage, hash key, version, fence, receipts, the intent of a
 * push that is being committed. At a replica: lineage, hash key, base, the push whose answer is awaited.
 *
 * The sidecar and the database cannot commit at one instant. A push therefore commits in two steps: the intent
 * here (old root, new root, push id), the pages there, then the receipt here. After a crash in between the
 * root of the database says which of the two it was; sidecar_settle writes that down.
 *
 * Each function is one durable transaction (synchronous FULL): it is done, or nothing of it is. The functions that deal with versions,
 * intents and receipts stand in receipts.h.
 */
#ifndef LOCKSTEP_SYNC_SIDECAR_H
#define LOCKSTEP_SYNC_SIDECAR_H

#include <stdint.h>

#include "protocol/sync/receipts.h"
#include "protocol/wire/message.h"

struct error;
struct page_index;
struct sidecar;

/* All that the sidecar knows except old receipts. All zero for a sidecar that does not exist. */
struct sidecar_state {
    int has_lineage;
    uint8_t lineage[LINEAGE_SIZE];
    uint8_t hash_key[HASH_KEY_SIZE];
    uint64_t version;        /* of the content with `root` */
    uint8_t root[ROOT_SIZE]; /* of the content when the version was counted */
    struct fence fence;      /* the highest token seen, and its lease; token 0 for none */
    int has_base;
    uint8_t base_root[ROOT_SIZE]; /* what this copy last had in common with the origin */
    uint64_t base_version;
    int has_incoming;        /* a pull was being committed here: content with this root is the origin's */
    uint8_t incoming_root[ROOT_SIZE];
    int has_rebuilt;         /* content with rebuilt_to is that with rebuilt_from, in pages of another size */
    uint8_t rebuilt_from[ROOT_SIZE];
    uint8_t rebuilt_to[ROOT_SIZE];
    int has_pending;         /* a push was sent and its answer has not come */
    uint8_t pending_id[LINEAGE_SIZE];
    uint8_t pending_root[ROOT_SIZE];
    int has_intent;          /* a push was being committed here */
    struct push_record intent;
};

/*
 * Attach to the sidecar of the database whose path, symbolic links resolved, is real_path. Nothing is created yet: a
 * missing sidecar reads as all zero, and the first function that writes makes it. timeout_ms bounds each wait
 * for another process's transaction. ERR_IO, ERR_NOT_ALLOWED, ERR_NOT_A_DATABASE (damaged: the text says what to do).
 */
int sidecar_open(struct sidecar **sidecar, const char *real_path, uint32_t timeout_ms, struct error *error);
void sidecar_free(struct sidecar *sidecar);

int sidecar_read(struct sidecar *sidecar, struct sidecar_state *state, struct error *error);

/*
 * The version that content with this root has: the stored one if it is the stored root, the intent's if the root is the
 * intent's, else one more than the stored: somebody changed the database without Lockstep. 0 for a root of zeros in a
 * database that never had a version.
 */
uint64_t sidecar_version_of(const struct sidecar_state *state, const uint8_t root[ROOT_SIZE]);

/*
 * Give the database its lineage and hash key. If it has this lineage already, nothing happens. ERR_MOVED if it has another
 * one and replace is 0 (another process was first); with replace the former lineage and all that hung on it is
 * forgotten, the fence apart.
 */
int sidecar_join(struct sidecar *sidecar, const uint8_t lineage[LINEAGE_SIZE], const uint8_t hash_key[HASH_KEY_SIZE],
                 int replace, struct error *error);

/*
 * Content with this root was found in the origin's database: if it is not what was stored, somebody changed the database without
 * Lockstep, and that counts as a version. *version is the content's.
 */
int sidecar_observe(struct sidecar *sidecar, const uint8_t root[ROOT_SIZE], uint64_t *version, struct error *error);

/* ERR_FENCED where fence is older than the stored one, or of an equal token with another lease; else 0. fence->token 0 with a stored token: ERR_FENCED, too, unless the stored is 0. */
int sidecar_check_fence(const struct sidecar_state *state, const struct fence *fence, struct error *error);

/* Check as above, then store it. */
int sidecar_set_fence(struct sidecar *sidecar, const struct fence *fence, struct error *error);

/* A replica's push is about to be sent. */
int sidecar_set_pending(struct sidecar *sidecar, const uint8_t push_id[LINEAGE_SIZE], const uint8_t root[ROOT_SIZE],
                        struct error *error);

/*
 * The database was rebuilt with another page size: its content had the root `from` and has `to` now. Should the sync that this was
 * for end here, the next one knows by this that nothing else was changed.
 */
int sidecar_set_rebuilt(struct sidecar *sidecar, const uint8_t from[ROOT_SIZE], const uint8_t to[ROOT_SIZE],
                        struct error *error);

/* Whether content with this root is that with base_root, as it is or rebuilt. */
int sidecar_is_base(const struct sidecar_state *state, const uint8_t base_root[ROOT_SIZE], const uint8_t root[ROOT_SIZE]);

/* A pull is about to commit content with this root. */
int sidecar_set_incoming(struct sidecar *sidecar, const uint8_t root[ROOT_SIZE], struct error *error);

/*
 * This copy and the origin have this content in common; nothing is pending or incoming any more. index has its page hashes,
 * whose root must be root; they are stored, too, 16 bytes a page, only those parts that changed.
 */
int sidecar_set_base(struct sidecar *sidecar, const uint8_t root[ROOT_SIZE], uint64_t version, const struct page_index *index,
                     struct error *error);

/*
 * Read the page hashes of the base into *index, which is released first. *proven is 1 where they add up to root; else the
 * index is empty and the base's pages are not known.
 */
int sidecar_read_base(struct sidecar *sidecar, const uint8_t root[ROOT_SIZE], struct page_index *index, int *proven,
                      struct error *error);

#endif
