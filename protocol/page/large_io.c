/*
 * A file of this VFS is the struct below with the default VFS's file behind it, in one allocation of SQLite's. Only the main
 * database is wrapped; a journal or WAL is the default VFS's own.
 */
#include "protocol/page/read_ahead.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#define PIECE 262144
/* Opcodes for xFileControl, in the range that SQLite leaves to applications. */
#define OPCODE_BEGIN 1001001
#define OPCODE_END   1001002

struct file {
    sqlite3_file base;    /* what SQLite sees */
    sqlite3_file *real;   /* behind this struct */
    int reads_ahead;
    uint8_t *piece;       /* owned; NULL outside of begin and end */
    sqlite3_int64 first;  /* offset of the piece in the file */
    int len;              /* bytes in it */
    sqlite3_int64 next;   /* where the last read ended */
};

static sqlite3_vfs *default_vfs;
static sqlite3_vfs our_vfs;

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct file *)file)->real;
}

static void forget(sqlite3_file *file)
{
    ((struct file *)file)->len = 0;
}

/* ---- methods that do more than pass on ---- */

static int file_close(sqlite3_file *file)
{
    struct file *self = (struct file *)file;

    free(self->piece);
    self->piece = NULL;
    return self->real->pMethods->xClose(self->real);
}

/* Get the piece that begins at offset. Returns whether it holds len bytes. */
static int fill(struct file *self, int len, sqlite3_int64 offset)
{
    sqlite3_int64 size = 0;

    self->len = 0;
    if (self->real->pMethods->xFileSize(self->real, &size) != SQLITE_OK || size - offset < len)
        return 0;
    self->first = offset;
    self->len = size - offset < PIECE ? (int)(size - offset) : PIECE;
    if (self->real->pMethods->xRead(self->real, self->piece, self->len, offset) != SQLITE_OK)
        self->len = 0;
    return self->len >= len;
}

static int file_read(sqlite3_file *file, void *data, int len, sqlite3_int64 offset)
{
    struct file *self = (struct file *)file;
    int follows = offset == self->next;

    self->next = offset + len;
    if (!self->reads_ahead)
        return self->real->pMethods->xRead(self->real, data, len, offset);
    if (offset < self->first || offset + len > self->first + self->len) {
        if (!follows || len > PIECE || !fill(self, len, offset))
            return self->real->pMethods->xRead(self->real, data, len, offset);
    }
    memcpy(data, self->piece + (offset - self->first), (size_t)len);
    return SQLITE_OK;
}

static int file_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 offset)
{
    forget(file);
    return real_of(file)->pMethods->xWrite(real_of(file), data, len, offset);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    forget(file);
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int file_lock(sqlite3_file *file, int level)
{
    forget(file);
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int file_unlock(sqlite3_file *file, int level)
{
    forget(file);
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int file_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    forget(file);
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
}

static int file_control(sqlite3_file *file, int opcode, void *arg)
{
    struct file *self = (struct file *)file;

    if (opcode != OPCODE_BEGIN && opcode != OPCODE_END)
        return self->real->pMethods->xFileControl(self->real, opcode, arg);
    forget(file);
    if (opcode == OPCODE_END) {
        free(self->piece);
        self->piece = NULL;
    } else if (self->piece == NULL) {
        self->piece = malloc(PIECE);
    }
    self->reads_ahead = self->piece != NULL;
    return SQLITE_OK;
}

/* ---- methods that pass on ---- */

static int file_sync(sqlite3_file *file, int flags)
{
    return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int file_check_reserved_lock(sqlite3_file *file, int *out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static int file_sector_size(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int file_device_characteristics(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int file_shm_map(sqlite3_file *file, int page, int page_size, int extend, void volatile **out)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, page_size, extend, out);
}

static void file_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int file_shm_unmap(sqlite3_file *file, int delete_flag)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), delete_flag);
}

static int file_fetch(sqlite3_file *file, sqlite3_int64 offset, int len, void **out)
{
    return real_of(file)->pMethods->xFetch(real_of(file), offset, len, out);
}

static int file_unfetch(sqlite3_file *file, sqlite3_int64 offset, void *page)
{
    return real_of(file)->pMethods->xUnfetch(real_of(file), offset, page);
}

static const sqlite3_io_methods methods = {
    .iVersion = 3,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_device_characteristics,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
    .xFetch = file_fetch,
    .xUnfetch = file_unfetch,
};

/* ---- the VFS ---- */

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags)
{
    struct file *self = (struct file *)file;
    int rc;

    (void)vfs;
    if (!(flags & SQLITE_OPEN_MAIN_DB))
        return default_vfs->xOpen(default_vfs, name, file, flags, out_flags);
    memset(self, 0, sizeof(*self));
    self->real = (sqlite3_file *)(self + 1);
    rc = default_vfs->xOpen(default_vfs, name, self->real, flags, out_flags);
    /* With methods set SQLite closes the file, also after a failure; so they are set exactly if the real file has some. */
    if (self->real->pMethods != NULL)
        file->pMethods = &methods;
    return rc;
}

static void register_vfs(void)
{
    default_vfs = sqlite3_vfs_find(NULL);
    if (default_vfs == NULL)
        return;
    our_vfs = *default_vfs;
    our_vfs.zName = "lockstep-read-ahead";
    our_vfs.pNext = NULL;
    our_vfs.szOsFile = (int)sizeof(struct file) + default_vfs->szOsFile;
    our_vfs.xOpen = vfs_open;
    if (sqlite3_vfs_register(&our_vfs, 0) != SQLITE_OK)
        default_vfs = NULL;
}

const char *read_ahead_vfs(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, register_vfs);
    return default_vfs != NULL ? our_vfs.zName : NULL;
}

void read_ahead_begin(struct sqlite3 *handle)
{
    sqlite3_file_control(handle, "main", OPCODE_BEGIN, NULL);
}

void read_ahead_end(struct sqlite3 *handle)
{
    sqlite3_file_control(handle, "main", OPCODE_END, NULL);
}
