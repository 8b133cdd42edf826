/* Files that are wholly old or wholly new, whatever happens in between.
 *
 * Plain blocking code: called before the runtime starts, or on the blocking pool. Everything
 * returns 0 or -errno. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include <proto/buf.h>

/* What a replaced file keeps. */
struct ft_file_attrs {
    bool exists;
    mode_t mode; /* permission bits */
    uid_t uid;
    gid_t gid;
};

#define FT_FILE_MODE_NEW 0640

/* Read a regular file of at most `max` bytes (over it: -EFBIG) into `out`; its attributes too
 * unless NULL. A file that is not there is -ENOENT; what is not a regular file -EISDIR or -EINVAL.
 */
int ft_file_read(const char *path, size_t max, struct ft_buf *out, struct ft_file_attrs *ret_attrs);

/* Replace `path` atomically: a temporary file beside it, fsync, mode and owner (those of `attrs` if
 * it exists, else FT_FILE_MODE_NEW and our own), rename, fsync of the folder. `step` (may be NULL)
 * is called before and after the rename. */
int ft_file_replace(const char *path, struct rn_slice body, const struct ft_file_attrs *attrs,
                    void (*step)(bool renamed));

/* Write a file that nobody looks at yet, and fsync it. */
int ft_file_write(const char *path, struct rn_slice body);

/* Remove, and fsync the folder. A file that is not there is fine. */
int ft_file_remove(const char *path);

int ft_dir_sync(const char *path);
/* mkdir -p, mode 0750. */
int ft_dir_make(const char *path);
/* Remove a folder of plain files, with them. One that is not there is fine. */
int ft_dir_remove(const char *path);

/* PATH_MAX is enough for everybody: "-ENAMETOOLONG" instead of a cut path. */
__attribute__((format(printf, 3, 4))) int ft_path_format(char *out, size_t size, const char *format,
                                                         ...);
