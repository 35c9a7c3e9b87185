#include "protocol/sync/local_copy.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/error.h"
#include "protocol/page/first_copy.h"
#include "protocol/sync/page_scan.h"

/* Resolve symbolic links in path, whose last part may not exist yet. */
static int resolve(const char *path, char **real_path, struct error *error)
{
    char folder[PATH_MAX];
    char *real_folder;
    const char *name;
    int len;

    *real_path = realpath(path, NULL);
    if (*real_path != NULL)
        return 0;
    if (errno != ENOENT)
        return error_set_errno(error, errno == EACCES ? ERR_NOT_ALLOWED : ERR_IO, errno, "looking for %s", path);
    name = strrchr(path, '/');
    len = name == NULL ? 1 : name == path ? 1 : (int)(name - path);
    if (len >= (int)sizeof(folder) || (name != NULL && name[1] == '\0'))
        return error_set(error, ERR_USAGE, "%s is not the name of a file", path);
    snprintf(folder, sizeof(folder), "%.*s", len, name == NULL ? "." : path);
    real_folder = realpath(folder, NULL);
    if (real_folder == NULL)
        return error_set_errno(error, errno == EACCES ? ERR_NOT_ALLOWED : ERR_NO_DATABASE, errno,
                               "looking for %s: its folder %s", path, folder);
    len = asprintf(real_path, "%s/%s", strcmp(real_folder, "/") == 0 ? "" : real_folder, name == NULL ? path : name + 1);
    free(real_folder);
    return len < 0 ? error_set(error, ERR_INTERNAL, "out of memory") : 0;
}

static int open_if_there(struct local_copy *copy, struct error *error)
{
    int rc = database_open(&copy->db, copy->real_path, DATABASE_WRITE, copy->timeout_ms, error);

    /* What may only be read can still be pulled from. */
    if (rc == ERR_NOT_ALLOWED) {
        rc = database_open(&copy->db, copy->real_path, 0, copy->timeout_ms, error);
        copy->read_only = rc == 0;
    }
    if (rc != 0 && rc != ERR_NO_DATABASE)
        return rc;
    error_init(error);
    return 0;
}

int local_copy_check_writable(const struct local_copy *copy, struct error *error)
{
    if (!copy->read_only)
        return 0;
    return error_set(error, ERR_NOT_ALLOWED, "%s may only be read: no permission to write it", copy->path);
}

int local_copy_name(struct local_copy *copy, const char *path, uint32_t timeout_ms, struct error *error)
{
    int rc;

    memset(copy, 0, sizeof(*copy));
    copy->timeout_ms = timeout_ms;
    copy->path = strdup(path);
    rc = copy->path == NULL ? error_set(error, ERR_INTERNAL, "out of memory") : resolve(path, &copy->real_path, error);
    if (rc != 0)
        local_copy_release(copy);
    return rc;
}

int local_copy_connect(struct local_copy *copy, struct error *error)
{
    int rc = copy->db == NULL ? open_if_there(copy, error) : 0;

    if (rc == 0 && copy->sidecar == NULL)
        rc = sidecar_open(&copy->sidecar, copy->real_path, copy->timeout_ms, error);
    return rc;
}

void local_copy_disconnect(struct local_copy *copy)
{
    local_copy_let_go(copy);
    database_free(copy->db);
    sidecar_free(copy->sidecar);
    copy->db = NULL;
    copy->sidecar = NULL;
    copy->is_proven = 0;
}

int local_copy_open(struct local_copy *copy, const char *path, uint32_t timeout_ms, struct error *error)
{
    int rc = local_copy_name(copy, path, timeout_ms, error);

    if (rc != 0)
        return rc;
    rc = local_copy_connect(copy, error);
    if (rc != 0)
        local_copy_release(copy);
    return rc;
}

/* Let go of the index, whoever's it is. */
static void drop_index(struct local_copy *copy)
{
    if (copy->borrowed != NULL)
        copy->index = (struct page_index){0};
    page_scan_free(copy->borrowed);
    copy->borrowed = NULL;
    page_index_release(&copy->index);
}

void local_copy_release(struct local_copy *copy)
{
    drop_index(copy);
    first_copy_free(copy->partial);
    database_free(copy->db);
    sidecar_free(copy->sidecar);
    free(copy->real_path);
    free(copy->path);
    explicit_bzero(copy->hash_key, sizeof(copy->hash_key));
    memset(copy, 0, sizeof(*copy));
}

void local_copy_close_database(struct local_copy *copy)
{
    local_copy_let_go(copy);
    if (copy->db != NULL)
        database_checkpoint(copy->db);
    database_free(copy->db);
    copy->db = NULL;
}

void local_copy_borrow(struct local_copy *copy, struct page_scan *scan, const struct sidecar_state *book, local_copy_prove *prove,
                       void *arg)
{
    local_copy_let_go(copy);
    first_copy_free(copy->partial);
    copy->partial = NULL;
    drop_index(copy);
    copy->borrowed = page_scan_keep(scan);
    copy->index = *page_scan_index(scan);
    copy->geometry = *page_scan_geometry(scan);
    copy->state = *page_scan_state(scan);
    memcpy(copy->hash_key, page_scan_key(scan), sizeof(copy->hash_key));
    copy->book = *book;
    copy->prove = prove;
    copy->prove_arg = arg;
    copy->is_proven = 0;
}

void local_copy_swap_index(struct local_copy *copy, struct page_index *index)
{
    struct page_index new = *index;

    *index = copy->index;
    if (copy->borrowed != NULL)
        *index = (struct page_index){0};
    page_scan_free(copy->borrowed);
    copy->borrowed = NULL;
    copy->index = new;
}

/* Geometry as the index has it. */
static void describe_index(struct local_copy *copy)
{
    copy->geometry.page_size = copy->index.page_size;
    copy->geometry.page_count = copy->index.page_count;
    page_index_root(&copy->index, copy->geometry.root);
}

/* Hash everything within the open transaction. */
static int scan_open_transaction(struct local_copy *copy, struct error *error)
{
    struct page_hasher hasher;
    int rc;

    page_hasher_init(&hasher, copy->hash_key);
    drop_index(copy);
    rc = database_data_version(copy->db, &copy->data_version, error);
    if (rc == 0)
        rc = database_scan(copy->db, &hasher, &copy->index, NULL, NULL, error);
    explicit_bzero(&hasher, sizeof(hasher));
    if (rc != 0)
        return error_wrap(error, "reading %s", copy->path);
    copy->is_proven = 1;
    describe_index(copy);
    return 0;
}

/* Open the read transaction and scan in it; it stays open. */
static int scan_and_keep(struct local_copy *copy, struct error *error)
{
    int rc;

    local_copy_let_go(copy);
    first_copy_free(copy->partial);
    copy->partial = NULL;
    drop_index(copy);
    memset(&copy->geometry, 0, sizeof(copy->geometry));
    memset(&copy->state, 0, sizeof(copy->state));
    copy->state.is_empty = 1;
    rc = sidecar_read(copy->sidecar, &copy->book, error);
    if (rc != 0 || copy->db == NULL)
        return rc;
    rc = database_begin_read(copy->db, &copy->state, error);
    if (rc != 0)
        return error_wrap(error, "reading %s", copy->path);
    copy->held = 1;
    rc = scan_open_transaction(copy, error);
    if (rc != 0)
        local_copy_let_go(copy);
    return rc;
}

int local_copy_scan(struct local_copy *copy, const uint8_t key[HASH_KEY_SIZE], struct error *error)
{
    int rc;

    memmove(copy->hash_key, key, sizeof(copy->hash_key));
    rc = scan_and_keep(copy, error);
    if (rc == 0 && !copy->state.is_wal)
        local_copy_let_go(copy);
    return rc;
}

int local_copy_scan_and_hold(struct local_copy *copy, struct error *error)
{
    return scan_and_keep(copy, error);
}

/* Whether the transaction that is open sees other content than what was scanned, or nobody can tell. */
static int compare_versions(struct local_copy *copy, int *moved, struct error *error)
{
    uint32_t data_version;
    int rc = database_data_version(copy->db, &data_version, error);

    *moved = 0;
    if (rc != 0)
        return rc;
    if (!copy->is_proven && copy->borrowed != NULL && copy->prove(copy->prove_arg, copy)) {
        copy->data_version = data_version;
        copy->is_proven = 1;
    }
    *moved = !copy->is_proven || data_version != copy->data_version;
    return 0;
}

int local_copy_hold(struct local_copy *copy, struct error *error)
{
    struct database_state state;
    int moved = 0;
    int rc;

    if (copy->held || copy->db == NULL)
        return 0;
    rc = database_begin_read(copy->db, &state, error);
    if (rc != 0)
        return error_wrap(error, "reading %s", copy->path);
    copy->held = 1;
    rc = compare_versions(copy, &moved, error);
    if (rc == 0 && moved)
        rc = error_set(error, ERR_MOVED, "%s was changed by another program while it was being read", copy->path);
    if (rc == 0)
        copy->state = state;
    else
        local_copy_let_go(copy);
    return rc;
}

void local_copy_let_go(struct local_copy *copy)
{
    if (copy->held)
        database_end(copy->db);
    copy->held = 0;
}

int local_copy_lock(struct local_copy *copy, struct error *error)
{
    uint8_t scanned[ROOT_SIZE];
    int moved = 0;
    int rc;

    local_copy_let_go(copy);
    rc = local_copy_check_writable(copy, error);
    if (rc != 0)
        return rc;
    rc = database_begin_write(copy->db, &copy->state, error);
    if (rc != 0)
        return error_wrap(error, "locking %s", copy->path);
    rc = compare_versions(copy, &moved, error);
    if (rc == 0 && moved) {
        memcpy(scanned, copy->geometry.root, sizeof(scanned));
        rc = scan_open_transaction(copy, error);
        if (rc == 0 && memcmp(scanned, copy->geometry.root, sizeof(scanned)) != 0)
            rc = error_set(error, ERR_MOVED, "%s was changed by another program meanwhile", copy->path);
    }
    if (rc != 0)
        database_end(copy->db);
    return rc;
}

int local_copy_change_page_size(struct local_copy *copy, uint32_t page_size, struct error *error)
{
    uint8_t old_root[ROOT_SIZE];
    int rc = local_copy_lock(copy, error);

    if (rc != 0)
        return rc;
    database_end(copy->db);
    memcpy(old_root, copy->geometry.root, sizeof(old_root));
    rc = database_change_page_size(copy->db, page_size, error);
    if (rc == 0)
        rc = scan_and_keep(copy, error);
    if (rc == 0)
        rc = sidecar_set_rebuilt(copy->sidecar, old_root, copy->geometry.root, error);
    if (rc == 0)
        rc = sidecar_read(copy->sidecar, &copy->book, error);
    return rc;
}

int local_copy_open_partial(struct local_copy *copy, uint32_t page_size, int resume, struct error *error)
{
    struct page_hasher hasher;
    int rc;

    local_copy_let_go(copy);
    /* An empty file may be open; it is replaced as a whole. */
    database_free(copy->db);
    copy->db = NULL;
    first_copy_free(copy->partial);
    copy->partial = NULL;
    rc = first_copy_open(&copy->partial, copy->real_path, error);
    if (rc != 0)
        return rc;
    drop_index(copy);
    if (resume) {
        page_hasher_init(&hasher, copy->hash_key);
        rc = first_copy_scan(copy->partial, &hasher, &copy->index, error);
        explicit_bzero(&hasher, sizeof(hasher));
    }
    if (rc != 0)
        return rc;
    if (copy->index.page_size != page_size)
        drop_index(copy);
    copy->index.page_size = page_size;
    describe_index(copy);
    return 0;
}

int local_copy_finish_partial(struct local_copy *copy, uint32_t page_count, struct error *error)
{
    int rc = first_copy_finish(copy->partial, page_count, error);

    first_copy_free(copy->partial);
    copy->partial = NULL;
    if (rc == 0)
        rc = database_open(&copy->db, copy->real_path, DATABASE_WRITE, copy->timeout_ms, error);
    return rc;
}

int local_copy_is_at_base(const struct local_copy *copy)
{
    const struct sidecar_state *book = &copy->book;
    const uint8_t *root = copy->geometry.root;

    return (book->has_base && sidecar_is_base(book, book->base_root, root)) ||
           (book->has_incoming && memcmp(book->incoming_root, root, ROOT_SIZE) == 0);
}
