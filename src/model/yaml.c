/* Files, memory and messages of the YAML reader.
 *
 * libyaml composes the document; yaml_table.c walks table and document together. Whatever the
 * result points to is in one list of blocks, so that half-read is as easily freed as read.
 */
#include "yaml_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>

#define FILE_BYTES_MAX (1 << 20) /* a configuration file for people */

struct ft_yaml_block {
    struct ft_yaml_block *next;
    max_align_t data[];
};

void *ft__yaml_alloc(struct ft_yaml *y, size_t size)
{
    struct ft_yaml_block *b = calloc(1, sizeof(*b) + size);

    if (!b)
        return NULL;
    b->next = y->blocks;
    y->blocks = b;
    return b->data;
}

char *ft_yaml_strdup(struct ft_yaml *y, const char *text)
{
    size_t n = strlen(text) + 1;
    char *s = ft__yaml_alloc(y, n);

    return s ? memcpy(s, text, n) : NULL;
}

const char *ft_yaml_dir(const struct ft_yaml *y)
{
    return y->dir;
}

const char *ft_yaml_path(struct ft_yaml *y, const char *path)
{
    size_t n = strlen(y->dir) + 1 + strlen(path) + 1;
    char *s;

    if (path[0] == '/' || strcmp(y->dir, ".") == 0)
        return ft_yaml_strdup(y, path);
    s = ft__yaml_alloc(y, n);
    if (!s)
        return NULL;
    (void)snprintf(s, n, "%s%s%s", y->dir, y->dir[strlen(y->dir) - 1] == '/' ? "" : "/", path);
    return s;
}

struct ft_yaml *ft_yaml_ref(struct ft_yaml *y)
{
    if (y)
        atomic_fetch_add_explicit(&y->refs, 1, memory_order_relaxed);
    return y;
}

struct ft_yaml *ft_yaml_free(struct ft_yaml *y)
{
    struct ft_yaml_block *next;

    if (!y || atomic_fetch_sub_explicit(&y->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    for (struct ft_yaml_block *b = y->blocks; b; b = next) {
        next = b->next;
        free(b);
    }
    free(y->name);
    free(y->dir);
    free(y);
    return NULL;
}

int ft_yaml_fail(const struct ft_yaml *y, struct ft_mark mark, struct ft_text_error *reterr,
                 const char *format, ...)
{
    va_list ap;
    int n;

    if (mark.line > 0)
        n = snprintf(reterr->text, sizeof(reterr->text), "%s:%d:%d: ", y->name, mark.line,
                     mark.column);
    else
        n = snprintf(reterr->text, sizeof(reterr->text), "%s: ", y->name);
    if (n < 0 || (size_t)n >= sizeof(reterr->text))
        return -EINVAL;
    va_start(ap, format);
    (void)vsnprintf(reterr->text + n, sizeof(reterr->text) - (size_t)n, format, ap);
    va_end(ap);
    return -EINVAL;
}

static int yaml_new(const char *name, struct ft_yaml **ret)
{
    CLEANUP(ft_yaml_freep) struct ft_yaml *y = calloc(1, sizeof(*y));
    const char *slash = strrchr(name, '/');

    if (!y)
        return -ENOMEM;
    atomic_init(&y->refs, 1);
    y->name = strdup(name);
    if (!slash)
        y->dir = strdup(".");
    else
        y->dir = strndup(name, slash == name ? 1 : (size_t)(slash - name));
    if (!y->name || !y->dir)
        return -ENOMEM;
    *ret = TAKE(y);
    return 0;
}

static int parser_fail(const struct ft_yaml *y, const yaml_parser_t *p,
                       struct ft_text_error *reterr)
{
    struct ft_mark mark = ft__yaml_mark(&p->problem_mark);

    if (p->error == YAML_MEMORY_ERROR) {
        (void)ft_yaml_fail(y, (struct ft_mark){0}, reterr, "out of memory: free some");
        return -ENOMEM;
    }
    if (p->error == YAML_READER_ERROR)
        return ft_yaml_fail(y, (struct ft_mark){0}, reterr,
                            "%s at byte %zu: write it as UTF-8 text",
                            p->problem ? p->problem : "unreadable text", p->problem_offset);
    return ft_yaml_fail(y, mark, reterr,
                        "not YAML: %s%s%s: check indentation, colons and quotes here",
                        p->problem ? p->problem : "syntax error", p->context ? " " : "",
                        p->context ? p->context : "");
}

/* The text must not go on after the document that was loaded. */
static int parser_expect_end(const struct ft_yaml *y, yaml_parser_t *p,
                             struct ft_text_error *reterr)
{
    yaml_document_t rest;
    yaml_node_t *root;
    int r = 0;

    if (!yaml_parser_load(p, &rest))
        return parser_fail(y, p, reterr);
    root = yaml_document_get_root_node(&rest);
    if (root)
        r = ft_yaml_fail(y, ft__yaml_mark(&root->start_mark), reterr,
                         "a second document begins here: keep one document in a file");
    yaml_document_delete(&rest);
    return r;
}

static int document_apply(struct ft_yaml *y, yaml_parser_t *p, const struct ft_option *table,
                          void *value, struct ft_text_error *reterr)
{
    yaml_document_t doc;
    yaml_node_t *root;
    int r = 0;

    if (!yaml_parser_load(p, &doc))
        return parser_fail(y, p, reterr);
    root = yaml_document_get_root_node(&doc);
    if (root)
        r = parser_expect_end(y, p, reterr);
    if (r == 0)
        r = ft__yaml_apply(y, &doc, root, table, value, reterr);
    yaml_document_delete(&doc);
    return r;
}

int ft_yaml_read_text(const char *name, const char *text, size_t len, const struct ft_option *table,
                      void *value, size_t size, struct ft_yaml **ret_yaml,
                      struct ft_text_error *reterr)
{
    CLEANUP(ft_yaml_freep) struct ft_yaml *y = NULL;
    yaml_parser_t parser;
    int r = yaml_new(name, &y);

    memset(value, 0, size);
    if (r < 0 || !yaml_parser_initialize(&parser)) {
        ft_text_error_set(reterr, "%s: out of memory: free some", name);
        return -ENOMEM;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    r = document_apply(y, &parser, table, value, reterr);
    yaml_parser_delete(&parser);
    if (r < 0) {
        memset(value, 0, size);
        return r;
    }
    *ret_yaml = TAKE(y);
    return 0;
}

static int file_read(const char *path, char **ret_text, size_t *ret_len)
{
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(freep) char *text = NULL;
    struct stat st;
    size_t len = 0;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    text = malloc(FILE_BYTES_MAX + 1);
    if (!text)
        return -ENOMEM;
    while ((n = read(fd, text + len, FILE_BYTES_MAX + 1 - len)) > 0)
        len += (size_t)n;
    if (n < 0)
        return -errno;
    if (len > FILE_BYTES_MAX)
        return -EFBIG;
    *ret_text = TAKE(text);
    *ret_len = len;
    return 0;
}

int ft_yaml_read_file(const char *path, const struct ft_option *table, void *value, size_t size,
                      struct ft_yaml **ret_yaml, struct ft_text_error *reterr)
{
    CLEANUP(freep) char *text = NULL;
    size_t len = 0;
    int r = file_read(path, &text, &len);

    if (r < 0) {
        memset(value, 0, size);
        ft_text_error_set(reterr, "%s: %s: name a readable configuration file", path, strerror(-r));
        return r;
    }
    return ft_yaml_read_text(path, text, len, table, value, size, ret_yaml, reterr);
}
