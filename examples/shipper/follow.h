/* Following a text file that others write: what is appended, through truncation and rotation.
 *
 * A file that is not there yet is waited for. One that got shorter is read from its start again;
 * one that was renamed away is read to its end, then the new one under the name from its start. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define LINE_BYTES_MAX (1 << 20) /* a longer line leaves in pieces */

struct follower {
    int fd; /* -1: nothing open */
    dev_t dev;
    ino_t ino;
    off_t at; /* read up to here */
    char *buf;
    size_t len, cap; /* a line that is not complete yet */
};

/* Take complete lines, without their end, until there is nothing new. Returns how many, or -1 (out
 * of memory). */
int follower_poll(struct follower *f, const char *path, void (*line)(void *arg, const char *text),
                  void *arg);
/* Forget the file: the next poll opens `path` from its start. */
void follower_close(struct follower *f);
