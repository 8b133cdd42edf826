/* What a process writes: drained always, counted, the last words kept.
 *
 * A drain is a task per pipe. It never makes the process wait: what the place it should go to does
 * not take is dropped and counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <runnel/fd.h>
#include <runnel/task.h>

#include "bell.h"
#include "settings.h"

#define FT_WORDS_BYTES 2048 /* kept of each pipe */

/* The end of a text: a ring of bytes. */
struct ft_words {
    uint64_t total; /* bytes ever */
    char ring[FT_WORDS_BYTES];
};
void ft_words_add(struct ft_words *w, const char *bytes, size_t n);
/* The last lines (at most three) that fit, joined by " | ", as valid text. Returns its length. */
size_t ft_words_last(const struct ft_words *w, char *out, size_t size);

struct ft_output;
struct ft_drain {
    struct ft_output *output;
    struct ft_words words;
    bool is_stdout;
    int pipe;        /* the reading end; the drain's task takes it over. -1: none */
    struct rn_fd fd; /* while the task reads it */
};

struct ft_output {
    /* set at each start of the process, then its drains only */
    char name[256]; /* of the process */
    enum ft_stdout_kind kind;
    bool counts;                /* newlines */
    int file;                   /* stdout: file:PATH, opened for appending; -1: none */
    struct ft_drain drains[2];  /* stdout, stderr */
    uint64_t lines;             /* newlines on stdout since the process started */
    uint64_t dropped;           /* bytes that could not be passed on */
    int open;                   /* drains that have not come to their end */
    const struct ft_bell *bell; /* rung when one does */
};

/* Forget the last process. Opens the file; that it cannot be opened is logged, and its output
 * dropped. */
void ft_output_reset(struct ft_output *o, const struct ft_process_settings *settings);
/* Start both drains in `scope`; they own the pipes from then on. 0 or what rn_go says (then the
 * pipes are closed). */
int ft_output_start(struct ft_output *o, struct rn_scope scope, int stdout_pipe, int stderr_pipe,
                    const struct ft_bell *bell);
/* The process is gone: drains that have not come to their end (somebody else holds the pipe) end
 * now. */
void ft_output_cut(struct ft_output *o);
void ft_output_close(struct ft_output *o); /* after the drains' tasks have ended */
/* Last words of stderr, else of stdout; empty when it died silently. */
size_t ft_output_last_words(const struct ft_output *o, char *out, size_t size);
