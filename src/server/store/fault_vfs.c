#include "store/fault_vfs.h"

#include <stddef.h>

#ifndef FETTLE_FAULT_POINTS

const char *ft__fault_vfs(void)
{
    return NULL;
}

#else

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#define VFS_NAME "fettle-fault"

/* A file of ours; the real one lies behind it. */
struct fault_file {
    sqlite3_file  base;
    sqlite3_file *real;
};

static sqlite3_vfs  fault_vfs, *real_vfs;
static _Atomic int  fault_now;
static const char  *fault_path; /* set once */
static const int    fault_codes[] = {
    [FT_DISK_HEALTHY] = SQLITE_OK,
    [FT_DISK_FULL] = SQLITE_FULL,
    [FT_DISK_READONLY] = SQLITE_READONLY,
    [FT_DISK_IOERR] = SQLITE_IOERR_WRITE,
};

void ft__disk_fault_set(enum ft_disk_fault fault)
{
    atomic_store(&fault_now, (int)fault);
}

static enum ft_disk_fault fault_from_file(void)
{
    static const char *const words[] = {
        [FT_DISK_FULL] = "full", [FT_DISK_READONLY] = "readonly", [FT_DISK_IOERR] = "ioerr"};
    char    text[16] = "";
    int     fd = open(fault_path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return FT_DISK_HEALTHY;
    n = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    text[n > 0 ? n : 0] = '\0';
    for (int i = FT_DISK_FULL; i <= FT_DISK_IOERR; i++) {
        if (strncmp(text, words[i], strlen(words[i])) == 0)
            return (enum ft_disk_fault)i;
    }
    return FT_DISK_HEALTHY;
}

static int fault(void)
{
    const enum ft_disk_fault set = (enum ft_disk_fault)atomic_load(&fault_now);

    return fault_codes[set == FT_DISK_HEALTHY && fault_path ? fault_from_file() : set];
}

static sqlite3_file *real_of(sqlite3_file *f)
{
    return ((struct fault_file *)(void *)f)->real;
}

static int file_close(sqlite3_file *f)
{
    sqlite3_file *real = real_of(f);

    return real->pMethods ? real->pMethods->xClose(real) : SQLITE_OK;
}

static int file_read(sqlite3_file *f, void *data, int n, sqlite3_int64 at)
{
    return real_of(f)->pMethods->xRead(real_of(f), data, n, at);
}

static int file_write(sqlite3_file *f, const void *data, int n, sqlite3_int64 at)
{
    const int rc = fault();

    return rc ? rc : real_of(f)->pMethods->xWrite(real_of(f), data, n, at);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    const int rc = fault();

    return rc ? rc : real_of(f)->pMethods->xTruncate(real_of(f), size);
}

static int file_sync(sqlite3_file *f, int flags)
{
    const int rc = fault();

    return rc ? rc : real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return real_of(f)->pMethods->xFileSize(real_of(f), size);
}

static int file_lock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int file_unlock(sqlite3_file *f, int level)
{
    return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int file_check_lock(sqlite3_file *f, int *reserved)
{
    return real_of(f)->pMethods->xCheckReservedLock(real_of(f), reserved);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
    return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int file_sector_size(sqlite3_file *f)
{
    return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int file_characteristics(sqlite3_file *f)
{
    return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, ret);
}

static int shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}

static void shm_barrier(sqlite3_file *f)
{
    real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int shm_unmap(sqlite3_file *f, int delete_it)
{
    return real_of(f)->pMethods->xShmUnmap(real_of(f), delete_it);
}

static const sqlite3_io_methods fault_methods = {
    .iVersion = 2, /* without memory mapping */
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags,
                    int *ret_flags)
{
    struct fault_file *file = (struct fault_file *)(void *)f;
    int                rc;

    (void)vfs;
    file->base.pMethods = NULL;
    file->real = (sqlite3_file *)(void *)(file + 1);
    rc = real_vfs->xOpen(real_vfs, name, file->real, flags, ret_flags);
    /* The real one asks to be closed also where opening it failed half-way. */
    if (file->real->pMethods)
        file->base.pMethods = &fault_methods;
    return rc;
}

static void register_vfs(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    fault_path = getenv("FETTLE_FAULT_STORE");
    fault_vfs = *real_vfs; /* its other functions work on names, and take any VFS */
    fault_vfs.zName = VFS_NAME;
    fault_vfs.pNext = NULL;
    fault_vfs.szOsFile = (int)sizeof(struct fault_file) + real_vfs->szOsFile;
    fault_vfs.xOpen = vfs_open;
    (void)sqlite3_vfs_register(&fault_vfs, 0);
}

const char *ft__fault_vfs(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, register_vfs);
    return VFS_NAME;
}

#endif
