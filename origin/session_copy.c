/* What is different where the database is not the origin's but a read-only copy of it, which pulls keep up to date. */
#include <string.h>

#include "origin/session_state.h"
#include "protocol/base/error.h"

int session_refuse_change(const struct session_options *options, struct error *error)
{
    return error_set(error, ERR_NOT_ALLOWED,
                     "this is a read-only copy of the database, to be pulled from; its origin is %s: push "
                     "there, and `lockstep run` there",
                     options->origin);
}

/* Whether content with this root was given or taken by the origin, and which version it is then. */
static int is_accepted(const struct sidecar_state *book, const uint8_t root[ROOT_SIZE])
{
    return book->has_lineage && book->has_base && memcmp(book->base_root, root, ROOT_SIZE) == 0;
}

int session_copy_version(struct session *session, uint64_t *version, struct error *error)
{
    struct local_copy *copy = &session->copy;
    const struct sidecar_state *book = &copy->book;
    const char *origin = session->options.origin;
    int rc = 0;

    /* A pull writes down what it brought just after it has committed it. */
    if (!is_accepted(book, copy->geometry.root))
        rc = session_read_book(session, &copy->book, error);
    if (rc != 0)
        return rc;
    *version = book->base_version;
    if (is_accepted(book, copy->geometry.root))
        return 0;
    if (!book->has_base)
        return error_set(error, ERR_TRY_LATER,
                         "there is no copy of %s at %s yet: it has to be pulled there first; until then "
                         "pull from %s itself",
                         origin, copy->path, origin);
    return error_set(error, ERR_TRY_LATER,
                     "the copy at %s has changes that its origin has not accepted (a job is at work on it, "
                     "most likely): try again when they are pushed, or pull from the origin, %s",
                     copy->path, origin);
}
