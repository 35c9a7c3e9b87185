/*
 * A file of this VFS is the struct below with the default VFS's file behind it, in one allocation
 * of SQLite's. The main database, its journal and its WAL are wrapped; other files are the default
 * VFS's own.
 */
#include "protocol/page/large_io.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "protocol/page/read_window.h"
#include "protocol/page/writeback.h"

#define PIECE 262144
/* That is written at once: SQLite's VFS for Unix masks the length with 0x1ffff, so it must be less
 * than 128 KiB. */
#define HELD_MAX 65536
/* What a transaction adds to the WAL is written back early from here on; less is not worth a
 * thread. */
#define EARLY_MIN 4194304
/* A read of a frame's page in the WAL skips its header: what is so near behind the last read
 * follows it. */
#define GAP_MAX 64
/* Opcodes for xFileControl, in the range that SQLite leaves to applications. */
#define OPCODE_READ_AHEAD   1001001
#define OPCODE_WRITE_BEHIND 1001002
#define OPCODE_END          1001003
#define OPCODE_OVERWRITE    1001004
#define OPCODE_READ_NEAR    1001005

/* Part of a file, in memory. */
struct piece {
    uint8_t *data;       /* owned; NULL before it is needed, then room for PIECE bytes */
    sqlite3_int64 first; /* its offset in the file */
    int len;             /* bytes in it; 0: nothing */
};

struct file {
    sqlite3_file base;                /* what SQLite sees */
    sqlite3_file *real;               /* behind this struct */
    struct file *main;                /* the database file that this one belongs to, or is */
    int writes_behind;                /* of the main file: it and those that belong to it */
    struct large_io_page overwritten; /* of the main file: what need not be read; len 0: nothing */
    struct read_window ahead;
    struct piece behind; /* what is still to be written */
    int failed; /* SQLite's code, where something could not be written and nobody was told yet */
    const char *wal_name; /* SQLite's, as long as the file is open; NULL unless this is a WAL */
    sqlite3_int64 wal_written;   /* bytes that this transaction added to it */
    struct writeback *writeback; /* owned; of a WAL that many were added to */
};

static sqlite3_vfs *default_vfs;
static sqlite3_vfs our_vfs;

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct file *)file)->real;
}

/* The end of a transaction, or of the file. */
static void end_writeback(struct file *self)
{
    writeback_free(self->writeback);
    self->writeback = NULL;
    self->wal_written = 0;
}

static int make_room(struct piece *piece)
{
    if (piece->data == NULL)
        piece->data = malloc(PIECE);
    return piece->data != NULL;
}

static void drop(struct piece *piece)
{
    free(piece->data);
    *piece = (struct piece){0};
}

/* A piece was written to the WAL. */
static void note_written(struct file *self, const struct piece *piece)
{
    self->wal_written += piece->len;
    if (self->wal_written < EARLY_MIN)
        return;
    if (self->writeback == NULL)
        self->writeback =
            writeback_new(self->wal_name, (uint64_t)(piece->first + piece->len - EARLY_MIN));
    writeback_note(self->writeback, (uint64_t)(piece->first + piece->len));
}

/* Write what is held; what cannot be written is lost, and self->failed says so. */
static void catch_up(struct file *self)
{
    struct piece *behind = &self->behind;

    if (behind->len > 0 && self->failed == SQLITE_OK) {
        self->failed =
            self->real->pMethods->xWrite(self->real, behind->data, behind->len, behind->first);
        if (self->failed == SQLITE_OK && self->wal_name != NULL)
            note_written(self, behind);
    }
    behind->len = 0;
}

/* Before anything but a read or a write: nothing is held back, and what was read ahead may have
 * changed. */
static void settle(struct file *self)
{
    read_window_drop(&self->ahead);
    catch_up(self);
}

/* Tell SQLite, which then undoes the transaction, and forget. */
static int tell(struct file *self)
{
    int failed = self->failed;

    self->failed = SQLITE_OK;
    return failed;
}

/* ---- methods that do more than pass on ---- */

static int file_close(sqlite3_file *file)
{
    struct file *self = (struct file *)file;
    settle(self);
    read_window_release(&self->ahead);
    drop(&self->behind);
    end_writeback(self);
    return self->real->pMethods->xClose(self->real);
}

/* Read the window's part of the file that begins at offset to `piece`. Returns whether it is all
 * there: the end of a file is read page by page. */
static int read_piece(struct file *self, uint8_t *piece, sqlite3_int64 offset)
{
    struct read_window *ahead = &self->ahead;

    /* The window would hold what stood there before what is still to be written. */
    catch_up(self);
    if (self->failed != SQLITE_OK ||
        self->real->pMethods->xRead(self->real, piece, (int)ahead->piece_len, offset) != SQLITE_OK)
        return 0;
    read_window_fill(ahead, (uint64_t)offset, ahead->piece_len);
    return 1;
}

/* Where in the WAL a page stands is SQLite's secret; but the statement that writes it reads no
 * other. */
static int is_overwritten(const struct file *self, int len, sqlite3_int64 offset)
{
    const struct large_io_page *page = &self->main->overwritten;

    return page->len != 0 && len == page->len && (self->wal_name != NULL || offset == page->offset);
}

static int file_read(sqlite3_file *file, void *data, int len, sqlite3_int64 offset)
{
    struct file *self = (struct file *)file;
    uint8_t *piece;

    if (self->behind.len > 0 && offset + len > self->behind.first)
        catch_up(self);
    if (self->failed != SQLITE_OK)
        return tell(self);
    if (is_overwritten(self, len, offset)) {
        memset(data, 0, (size_t)len);
        return SQLITE_OK;
    }
    if (read_window_copy(&self->ahead, data, (size_t)len, (uint64_t)offset))
        return SQLITE_OK;
    piece = read_window_plan(&self->ahead, (size_t)len, (uint64_t)offset);
    if (piece != NULL && read_piece(self, piece, offset)) {
        memcpy(data, piece, (size_t)len);
        return SQLITE_OK;
    }
    return self->failed != SQLITE_OK ? tell(self)
                                     : self->real->pMethods->xRead(self->real, data, len, offset);
}

/* Not those of a journal: without what could not be written there, SQLite cannot undo in its cache
 * what it has to undo for that. */
static int holds_writes(const struct file *self)
{
    return self->main->writes_behind && (self == self->main || self->wal_name != NULL);
}

static int file_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 offset)
{
    struct file *self = (struct file *)file;
    struct piece *behind = &self->behind;

    read_window_drop(&self->ahead);
    if (behind->len > 0 && (offset != behind->first + behind->len || len > HELD_MAX - behind->len))
        catch_up(self);
    if (self->failed != SQLITE_OK)
        return tell(self);
    if (!holds_writes(self) || len > HELD_MAX || !make_room(behind))
        return self->real->pMethods->xWrite(self->real, data, len, offset);
    if (behind->len == 0)
        behind->first = offset;
    memcpy(behind->data + behind->len, data, (size_t)len);
    behind->len += len;
    return SQLITE_OK;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct file *self = (struct file *)file;

    settle(self);
    return self->failed != SQLITE_OK ? tell(self)
                                     : self->real->pMethods->xTruncate(self->real, size);
}

static int file_sync(sqlite3_file *file, int flags)
{
    struct file *self = (struct file *)file;

    settle(self);
    return self->failed != SQLITE_OK ? tell(self) : self->real->pMethods->xSync(self->real, flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
    struct file *self = (struct file *)file;

    catch_up(self);
    return self->failed != SQLITE_OK ? tell(self)
                                     : self->real->pMethods->xFileSize(self->real, size);
}

static int file_lock(sqlite3_file *file, int level)
{
    settle((struct file *)file);
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int file_unlock(sqlite3_file *file, int level)
{
    settle((struct file *)file);
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int file_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    settle((struct file *)file);
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
}

static int file_control(sqlite3_file *file, int opcode, void *arg)
{
    struct file *self = (struct file *)file;

    if (opcode == OPCODE_OVERWRITE) {
        self->overwritten = *(const struct large_io_page *)arg;
        return SQLITE_OK;
    }
    settle(self);
    switch (opcode) {
    case OPCODE_READ_AHEAD:
        read_window_set(&self->ahead, GAP_MAX, PIECE);
        return SQLITE_OK;
    case OPCODE_READ_NEAR:
        read_window_set(&self->ahead, READ_WINDOW_NEAR_GAP, READ_WINDOW_NEAR_PIECE);
        return SQLITE_OK;
    case OPCODE_WRITE_BEHIND:
        self->writes_behind = 1;
        return SQLITE_OK;
    case OPCODE_END:
        self->writes_behind = 0;
        self->overwritten.len = 0;
        read_window_release(&self->ahead);
        drop(&self->behind);
        end_writeback(self);
        self->failed = SQLITE_OK;
        return SQLITE_OK;
    default:
        return self->real->pMethods->xFileControl(self->real, opcode, arg);
    }
}

static int file_fetch(sqlite3_file *file, sqlite3_int64 offset, int len, void **out)
{
    settle((struct file *)file);
    return real_of(file)->pMethods->xFetch(real_of(file), offset, len, out);
}

/* ---- methods that pass on ---- */

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

static int file_shm_map(sqlite3_file *file, int page, int page_size, int extend,
                        void volatile **out)
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

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags,
                    int *out_flags)
{
    struct file *self = (struct file *)file;
    int rc;

    (void)vfs;
    if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL)))
        return default_vfs->xOpen(default_vfs, name, file, flags, out_flags);
    memset(self, 0, sizeof(*self));
    self->real = (sqlite3_file *)(self + 1);
    self->main =
        flags & SQLITE_OPEN_MAIN_DB ? self : (struct file *)sqlite3_database_file_object(name);
    self->wal_name = flags & SQLITE_OPEN_WAL ? name : NULL;
    rc = default_vfs->xOpen(default_vfs, name, self->real, flags, out_flags);
    /* With methods set SQLite closes the file, also after a failure; so they are set exactly if the
     * real file has some. */
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
    our_vfs.zName = "lockstep-large-io";
    our_vfs.pNext = NULL;
    our_vfs.szOsFile = (int)sizeof(struct file) + default_vfs->szOsFile;
    our_vfs.xOpen = vfs_open;
    if (sqlite3_vfs_register(&our_vfs, 0) != SQLITE_OK)
        default_vfs = NULL;
}

const char *large_io_vfs(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, register_vfs);
    return default_vfs != NULL ? our_vfs.zName : NULL;
}

/* The WAL, or the journal, where one is open. */
static void control_log(struct sqlite3 *handle, int opcode)
{
    sqlite3_file *log = NULL;

    if (sqlite3_file_control(handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK &&
        log != NULL && log->pMethods == &methods)
        log->pMethods->xFileControl(log, opcode, NULL);
}

void large_io_read_ahead(struct sqlite3 *handle)
{
    sqlite3_file_control(handle, "main", OPCODE_READ_AHEAD, NULL);
}

void large_io_read_near(struct sqlite3 *handle)
{
    sqlite3_file_control(handle, "main", OPCODE_READ_NEAR, NULL);
}

void large_io_write_behind(struct sqlite3 *handle)
{
    sqlite3_file_control(handle, "main", OPCODE_WRITE_BEHIND, NULL);
}

void large_io_overwrite(struct sqlite3 *handle, const struct large_io_page *page)
{
    sqlite3_file_control(handle, "main", OPCODE_OVERWRITE, (void *)page);
}

void large_io_checkpoint(struct sqlite3 *handle)
{
    large_io_write_behind(handle);
    control_log(handle, OPCODE_READ_AHEAD);
}

void large_io_end(struct sqlite3 *handle)
{
    control_log(handle, OPCODE_END);
    sqlite3_file_control(handle, "main", OPCODE_END, NULL);
}
