#include "replica/guards.h"

#include <string.h>

#include "protocol/base/error.h"
#include "protocol/sync/local_copy.h"

/* Whether this link may push, and if not, where and how one may. */
static int check_may_push(const struct message_hello *hello, struct error *error)
{
    if (hello->flags & HELLO_MAY_PUSH)
        return 0;
    if (hello->origin[0] != '\0')
        return error_set(error, ERR_NOT_ALLOWED, "what is there is a read-only copy of the database; its origin is %s: push there, and `lockstep run` there",
                         hello->origin);
    return error_set(error, ERR_NOT_ALLOWED, "the origin does not let this link push: lockstep-origin was started there with --allow pull (in authorized_keys, most "
                     "likely); log in with a key that may push");
}

/* --wal-only, for either direction. */
static int check_wal(const struct guards *guards, struct error *error)
{
    const struct local_copy *copy = guards->copy;

    if (!guards->options->wal_only)
        return 0;
    if (guards->hello->geometry.page_count > 0 && !(guards->hello->flags & HELLO_WAL))
        return error_set(error, ERR_USAGE, "the origin's database is not in WAL mode, and --wal-only was given");
    if (copy->geometry.page_count > 0 && !copy->state.is_wal)
        return error_set(error, ERR_USAGE, "%s is not in WAL mode, and --wal-only was given", copy->path);
    return 0;
}

/* ---- a pull ---- */

/* Whether the local content may be replaced by other content. */
static int check_pulled_lineage(const struct guards *guards, struct error *error)
{
    const struct sync_options *options = guards->options;
    const char *path = guards->copy->path;

    if ((guards->hello->flags & HELLO_EMPTY) && !options->force_reset)
        return error_set(error, ERR_FOREIGN_LINEAGE,
                         "the origin's database has no tables and would replace %s, which has; to do that all the same, give "
                         "--force-reset",
                         path);
    switch (guards->relation) {
    case FOREIGN_LINEAGE:
        if (options->force_reset)
            return 0;
        return error_set(error, ERR_FOREIGN_LINEAGE,
                         "%s is of another lineage than the origin's database: it never came from there; to replace it, give "
                         "--force-reset",
                         path);
    case NO_LINEAGE_HERE:
    case NO_LINEAGE_THERE:
        if (options->adopt || options->any_base || options->force_reset)
            return 0;
        return error_set(error, ERR_FOREIGN_LINEAGE,
                         "%s was never synced with this origin and has other content; to replace it by the origin's, give "
                         "--adopt",
                         path);
    case SAME_LINEAGE:
        /* An earlier attempt to adopt joined the lineage and died before the content came. */
        if (!guards->copy->book.has_base && (options->adopt || options->force_reset))
            return 0;
        break;
    }
    if ((options->discard && (!options->has_discard_root ||
                             memcmp(options->discard_root, guards->copy->geometry.root, ROOT_SIZE) == 0)) ||
        options->any_base || local_copy_is_at_base(guards->copy))
        return 0;
    return error_set(error, ERR_UNPUSHED,
                     "%s has changes that were never pushed; push them, or give --discard to replace them by the origin's "
                     "content",
                     path);
}

int guards_check_pull(const struct guards *guards, struct error *error)
{
    const struct local_copy *copy = guards->copy;
    int rc;

    if (!(guards->hello->flags & HELLO_MAY_PULL))
        return error_set(error, ERR_NOT_ALLOWED, "the origin does not let this link pull: lockstep-origin was started there with --allow push (in authorized_keys, most "
                         "likely); log in with a key that may pull");
    if (guards->options->will_push && check_may_push(guards->hello, error) != 0)
        return error->code;
    if (guards->hello->geometry.page_count == 0)
        return error_set(error, ERR_NO_DATABASE, "the origin has no database there, or an empty file; push one first");
    rc = check_wal(guards, error);
    if (rc != 0 || guards->is_equal || copy->state.is_empty)
        return rc;
    rc = check_pulled_lineage(guards, error);
    if (rc == 0 && copy->geometry.page_size != guards->hello->geometry.page_size && !guards->options->replace)
        rc = error_set(error, ERR_PAGE_SIZE,
                       "%s has pages of %u bytes, the origin's database has pages of %u; to rebuild the local file with that "
                       "page size first, give --replace",
                       copy->path, copy->geometry.page_size, guards->hello->geometry.page_size);
    return rc;
}

/* ---- a push ---- */

static int refuse_lineage(const struct guards *guards, const char *why, const char *option, struct error *error)
{
    return error_set(error, ERR_FOREIGN_LINEAGE, "%s %s; to replace the origin's database by it, give %s",
                     guards->copy->path, why, option);
}

/* Sets *any_base where the user's options or equal content make the base that the replica remembers meaningless. */
static int check_pushed_lineage(const struct guards *guards, int *any_base, struct error *error)
{
    const struct sync_options *options = guards->options;
    int origin_is_empty = (guards->hello->flags & HELLO_EMPTY) != 0;

    if (guards->copy->state.is_empty && !origin_is_empty && !options->force_reset)
        return error_set(error, ERR_FOREIGN_LINEAGE,
                         "%s has no tables and would replace the origin's database, which has; to do that all the same, give "
                         "--force-reset",
                         guards->copy->path);
    if (options->force_reset || options->any_base)
        *any_base = 1;
    switch (guards->relation) {
    case SAME_LINEAGE:
        return 0;
    case FOREIGN_LINEAGE:
        if (!options->force_reset)
            return refuse_lineage(guards, "is of another lineage than the origin's database: it never came from there",
                                  "--force-reset", error);
        return 0;
    case NO_LINEAGE_HERE:
        if (!guards->is_equal && !origin_is_empty && !options->adopt && !*any_base)
            return refuse_lineage(guards, "was never synced with this origin and has other content", "--adopt", error);
        *any_base = 1;
        return 0;
    case NO_LINEAGE_THERE:
        /* An origin that lost its sidecar and kept its content: the remembered base still tells whether it is that. */
        if (options->adopt || guards->hello->geometry.page_count == 0)
            *any_base = 1;
        return 0;
    }
    return 0;
}

/* Whether the answer to this very push may have been lost: then the origin knows it. */
static int is_repeated(const struct guards *guards)
{
    const struct sidecar_state *book = &guards->copy->book;

    return book->has_pending && memcmp(book->pending_root, guards->copy->geometry.root, ROOT_SIZE) == 0;
}

static int check_base(const struct guards *guards, int any_base, struct error *error)
{
    const struct sidecar_state *book = &guards->copy->book;
    const struct message_hello *hello = guards->hello;

    /* Over what the user saw, and nothing else: the origin compares. */
    if (guards->options->has_over)
        return 0;
    if (any_base || guards->is_equal || (hello->flags & HELLO_FRESH))
        return 0;
    if (book->has_base && memcmp(book->base_root, hello->geometry.root, ROOT_SIZE) == 0)
        return 0;
    /* The origin may have been rebuilt with our page size, now or by an attempt that broke off: it knows what from. */
    if (guards->options->replace)
        return 0;
    if (is_repeated(guards))
        return 0;
    if (hello->geometry.page_count == 0)
        return error_set(error, ERR_STALE_BASE,
                         "the origin has no database there any more; to put %s there, give --force-reset", guards->copy->path);
    /* The origin will refuse it, and knows who made its versions. */
    return 0;
}

/* An old holder of the lock is told so, and not that it is the base that is stale. */
static int check_fence(const struct guards *guards, struct error *error)
{
    const struct sidecar_state seen = {.fence = {.token = guards->hello->fence_token}};

    if (guards->options->fence.token >= seen.fence.token || is_repeated(guards))
        return 0;
    return sidecar_check_fence(&seen, &guards->options->fence, error);
}

int guards_check_push(const struct guards *guards, int *any_base, struct error *error)
{
    const struct local_copy *copy = guards->copy;
    const struct message_hello *hello = guards->hello;
    int rc = check_may_push(hello, error);

    if (rc != 0)
        return rc;
    if (copy->geometry.page_count == 0)
        return error_set(error, ERR_NO_DATABASE, "%s is an empty file: there is nothing to push", copy->path);
    rc = check_wal(guards, error);
    if (rc == 0)
        rc = check_pushed_lineage(guards, any_base, error);
    if (rc == 0)
        rc = check_fence(guards, error);
    if (rc == 0)
        rc = check_base(guards, *any_base, error);
    if (rc == 0 && hello->geometry.page_count > 0 && copy->geometry.page_size != hello->geometry.page_size &&
        !guards->options->replace && !(hello->flags & HELLO_EMPTY))
        rc = error_set(error, ERR_PAGE_SIZE,
                       "%s has pages of %u bytes, the origin's database has pages of %u; to rebuild the origin's file with "
                       "the local page size first, give --replace",
                       copy->path, copy->geometry.page_size, hello->geometry.page_size);
    return rc;
}
