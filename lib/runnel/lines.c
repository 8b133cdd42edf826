/* Lines for addresses: the programs of .debug_line (DWARF 5, what gcc 12 and clang 14 write), run
 * once and kept as a table by address.
 *
 * Every read is judged: a table that doesn't add up ends there, and its lines are left out.
 */
#include "symbols.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Bytes that are left; `bad` once more was asked for than there is. */
struct reader {
    const uint8_t *at, *end;
    bool bad;
};

static uint64_t get(struct reader *r, size_t n)
{
    uint64_t v = 0;

    if ((size_t)(r->end - r->at) < n) {
        r->bad = true;
        r->at = r->end;
        return 0;
    }
    memcpy(&v, r->at, n); /* little-endian, as the machines we run on */
    r->at += n;
    return v;
}

static uint64_t get_uleb(struct reader *r)
{
    uint64_t v = 0;
    unsigned shift = 0;
    uint8_t byte;

    do {
        byte = (uint8_t)get(r, 1);
        if (shift < 64)
            v |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80 && !r->bad);
    return v;
}

static int64_t get_sleb(struct reader *r)
{
    uint64_t v = 0;
    unsigned shift = 0;
    uint8_t byte;

    do {
        byte = (uint8_t)get(r, 1);
        if (shift < 64)
            v |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80 && !r->bad);
    if (shift < 64 && byte & 0x40)
        v |= UINT64_MAX << shift;
    return (int64_t)v;
}

static void skip(struct reader *r, uint64_t n)
{
    if (n > (uint64_t)(r->end - r->at)) {
        r->bad = true;
        r->at = r->end;
    } else {
        r->at += n;
    }
}

static const char *get_text(struct reader *r)
{
    const uint8_t *zero = memchr(r->at, 0, (size_t)(r->end - r->at));
    const char *text = (const char *)r->at;

    if (!zero) {
        r->bad = true;
        return "";
    }
    r->at = zero + 1;
    return text;
}

/* ---- the head of a program ------------------------------------------------------------------- */

enum { LNCT_PATH = 1, LNCT_DIRECTORY = 2 };
enum {
    FORM_BLOCK = 0x09,
    FORM_DATA1 = 0x0b,
    FORM_DATA2 = 0x05,
    FORM_DATA4 = 0x06,
    FORM_DATA8 = 0x07,
    FORM_STRING = 0x08,
    FORM_STRP = 0x0e,
    FORM_UDATA = 0x0f,
    FORM_DATA16 = 0x1e,
    FORM_LINE_STRP = 0x1f
};
enum { FORMATS_MAX = 8 };

struct program {
    struct rn__code *code;
    struct reader in;
    struct reader texts, line_texts;
    size_t offset_size;
    unsigned min_length, line_range, opcode_base;
    int line_base;
    const uint8_t *lengths; /* of the standard opcodes */
    size_t first_name, n_names;
};

static const char *text_in(const struct reader *texts, uint64_t offset)
{
    struct reader r = *texts;

    if (!r.at)
        return "";
    skip(&r, offset);
    return get_text(&r);
}

/* One value of an entry: a text, or a number in *ret. */
static const char *get_form(struct program *p, uint64_t form, uint64_t *ret)
{
    *ret = 0;
    switch (form) {
    case FORM_STRING:
        return get_text(&p->in);
    case FORM_LINE_STRP:
        return text_in(&p->line_texts, get(&p->in, p->offset_size));
    case FORM_STRP:
        return text_in(&p->texts, get(&p->in, p->offset_size));
    case FORM_UDATA:
        *ret = get_uleb(&p->in);
        break;
    case FORM_DATA1:
    case FORM_DATA2:
    case FORM_DATA4:
    case FORM_DATA8:
        *ret = get(&p->in, form == FORM_DATA1   ? 1
                           : form == FORM_DATA2 ? 2
                           : form == FORM_DATA4 ? 4
                                                : 8);
        break;
    case FORM_DATA16:
        skip(&p->in, 16);
        break;
    case FORM_BLOCK:
        skip(&p->in, get_uleb(&p->in));
        break;
    default:
        p->in.bad = true;
    }
    return "";
}

struct entry {
    const char *path;
    uint64_t dir;
};

/* A table of directories or files: how an entry is made, then the entries. */
static void each_entry(struct program *p,
                       void (*fn)(struct program *p, void *arg, size_t i, const struct entry *e),
                       void *arg)
{
    uint64_t types[FORMATS_MAX], forms[FORMATS_MAX], n_formats = get(&p->in, 1), n;

    if (n_formats > FORMATS_MAX)
        p->in.bad = true;
    for (size_t i = 0; i < n_formats && !p->in.bad; i++) {
        types[i] = get_uleb(&p->in);
        forms[i] = get_uleb(&p->in);
    }
    n = get_uleb(&p->in);
    for (size_t i = 0; i < n && !p->in.bad; i++) {
        struct entry e = {"", 0};
        for (size_t k = 0; k < n_formats && !p->in.bad; k++) {
            uint64_t v;
            const char *text = get_form(p, forms[k], &v);
            if (types[k] == LNCT_PATH)
                e.path = text;
            else if (types[k] == LNCT_DIRECTORY)
                e.dir = v;
        }
        fn(p, arg, i, &e);
    }
}

enum { DIRS_MAX = 256 };
struct dirs {
    const char *items[DIRS_MAX];
    size_t n;
};

static void dir_add(struct program *p, void *arg, size_t i, const struct entry *e)
{
    struct dirs *d = arg;

    (void)p;
    if (i < DIRS_MAX) {
        d->items[i] = e->path;
        d->n = i + 1;
    }
}

static void name_add(struct program *p, void *arg, size_t i, const struct entry *e)
{
    const struct dirs *d = arg;
    struct rn__code *c = p->code;
    void *wider = rn__table_grow(c->names, sizeof(*c->names), c->n_names, &c->max_names);

    if (!wider) {
        p->in.bad = true;
        return;
    }
    c->names = wider;
    c->names[c->n_names++] = (struct rn__file_name){
        .root = d->n > 0 ? d->items[0] : "",
        .dir = e->dir < d->n ? d->items[e->dir] : "",
        .name = e->path,
    };
    p->n_names = i + 1;
}

static bool head_read(struct program *p, struct reader *unit)
{
    struct dirs dirs = {.n = 0};
    struct reader in = *unit, body;
    uint64_t length;

    if (get(&in, 2) != 5)
        return false;
    skip(&in, 2); /* sizes of an address and of a selector */
    length = get(&in, p->offset_size);
    body = in;
    skip(&body, length);
    p->min_length = (unsigned)get(&in, 1);
    skip(&in, 2); /* operations per instruction, is_stmt */
    p->line_base = (int8_t)get(&in, 1);
    p->line_range = (unsigned)get(&in, 1);
    p->opcode_base = (unsigned)get(&in, 1);
    p->lengths = in.at;
    skip(&in, p->opcode_base > 0 ? p->opcode_base - 1 : 0);
    p->in = in;
    p->first_name = p->code->n_names;
    each_entry(p, dir_add, &dirs);
    each_entry(p, name_add, &dirs);
    if (p->in.bad || body.bad || p->line_range == 0)
        return false;
    p->in = body;
    return true;
}

/* ---- the program ----------------------------------------------------------------------------- */

struct machine {
    uint64_t address, file;
    int64_t line;
    uint64_t last; /* address of the row before */
    uint32_t last_line;
};

static void row(struct program *p, struct machine *m, bool end)
{
    struct rn__code *c = p->code;
    uint32_t line = end || m->line < 0 ? 0 : (uint32_t)m->line;
    void *wider;

    if (m->address == 0 || m->file >= p->n_names)
        return; /* code that the linker has thrown away */
    wider = rn__table_grow(c->lines, sizeof(*c->lines), c->n_lines, &c->max_lines);
    if (!wider)
        return;
    c->lines = wider;
    c->lines[c->n_lines++] =
        (struct rn__line){c->bias + m->address, (uint32_t)(p->first_name + m->file), line};
}

static void extended(struct program *p, struct machine *m)
{
    uint64_t n = get_uleb(&p->in);
    struct reader next = p->in;
    uint8_t op;

    skip(&next, n);
    op = (uint8_t)get(&p->in, 1);
    if (op == 1) { /* end of a sequence */
        row(p, m, true);
        *m = (struct machine){.file = 1, .line = 1};
    } else if (op == 2 && n == 9) {
        m->address = get(&p->in, 8);
    }
    p->in = next;
}

static void standard(struct program *p, struct machine *m, uint8_t op)
{
    switch (op) {
    case 1:
        row(p, m, false);
        break;
    case 2:
        m->address += get_uleb(&p->in) * p->min_length;
        break;
    case 3:
        m->line += get_sleb(&p->in);
        break;
    case 4:
        m->file = get_uleb(&p->in);
        break;
    case 8:
        m->address += (uint64_t)((255 - p->opcode_base) / p->line_range) * p->min_length;
        break;
    case 9:
        m->address += get(&p->in, 2);
        break;
    default:
        for (unsigned i = 0; i < p->lengths[op - 1]; i++)
            (void)get_uleb(&p->in);
    }
}

static void run(struct program *p)
{
    struct machine m = {.file = 1, .line = 1};

    while (p->in.at < p->in.end && !p->in.bad) {
        uint8_t op = (uint8_t)get(&p->in, 1);
        if (op == 0) {
            extended(p, &m);
        } else if (op < p->opcode_base) {
            standard(p, &m, op);
        } else {
            unsigned special = op - p->opcode_base;
            m.address += (uint64_t)(special / p->line_range) * p->min_length;
            m.line += p->line_base + (int)(special % p->line_range);
            row(p, &m, false);
        }
    }
}

/* ---- doors ----------------------------------------------------------------------------------- */

/* Where one sequence ends and the next begins the end comes first. */
static int by_address(const void *a, const void *b)
{
    const struct rn__line *x = a, *y = b;

    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return (x->line != 0) - (y->line != 0);
}

static struct reader section_reader(const struct rn__code *c, const char *name)
{
    size_t size = 0;
    const uint8_t *at = rn__code_section(c, name, &size);

    return (struct reader){at, at ? at + size : NULL, at == NULL};
}

void rn__lines_load(struct rn__code *c)
{
    struct reader all = section_reader(c, ".debug_line");
    struct program p = {.code = c,
                        .texts = section_reader(c, ".debug_str"),
                        .line_texts = section_reader(c, ".debug_line_str")};

    while (!all.bad && all.at < all.end) {
        uint64_t length = get(&all, 4);
        struct reader unit;

        p.offset_size = length == 0xffffffff ? 8 : 4;
        if (p.offset_size == 8)
            length = get(&all, 8);
        unit = all;
        skip(&all, length);
        unit.end = all.at;
        if (!all.bad && head_read(&p, &unit)) {
            p.in.end = unit.end;
            run(&p);
        }
    }
    /* glibc's qsort() is a mergesort: of rows with one address the last, which counts, stays last
     */
    if (c->n_lines > 0)
        qsort(c->lines, c->n_lines, sizeof(*c->lines), by_address);
}

/* "root/dir/name" without the steps back. */
static char *path_make(const struct rn__file_name *n)
{
    char raw[1024], *parts[128], *save = NULL;
    size_t n_parts = 0, max = 0;
    char *path = NULL;
    int len = 0;

    if (n->name[0] == '/')
        snprintf(raw, sizeof(raw), "%s", n->name);
    else if (n->dir[0] == '/' || n->dir == n->root)
        snprintf(raw, sizeof(raw), "%s/%s", n->dir, n->name);
    else
        snprintf(raw, sizeof(raw), "%s/%s/%s", n->root, n->dir, n->name);
    for (char *part = strtok_r(raw, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
        if (strcmp(part, "..") == 0 && n_parts > 0)
            n_parts--;
        else if (strcmp(part, ".") != 0 && n_parts < 128)
            parts[n_parts++] = part;
    }
    path = rn__table_grow(NULL, 1, 0,
                          &max); /* a page; there are few, as only what is asked for is made */
    for (size_t i = 0; path && i < n_parts && (size_t)len < max; i++)
        len += snprintf(path + len, max - (size_t)len, "/%s", parts[i]);
    return path;
}

bool rn__line_find(struct rn__code *c, uintptr_t pc, const char **ret_file, int *ret_line)
{
    size_t low = 0, high = c->n_lines;
    struct rn__file_name *name;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (c->lines[mid].at <= pc)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == 0 || c->lines[low - 1].line == 0)
        return false;
    name = &c->names[c->lines[low - 1].file];
    if (!name->path)
        name->path = path_make(name);
    if (!name->path)
        return false;
    *ret_file = name->path;
    *ret_line = (int)c->lines[low - 1].line;
    return true;
}
