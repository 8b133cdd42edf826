/* Myers' greedy algorithm ("An O(ND) Difference Algorithm", 1986) over lines.
 *
 * Equal lines at both ends are cut off first. Then for d = 0, 1, 2, ... edits the furthest point on
 * each diagonal is found; the fronts of all d are kept, and the way back through them is the
 * script: for each line of a whether it goes, for each line of b whether it is new. When the limits
 * are reached first, all that lies between the equal ends goes and is new.
 */
#include "api/diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

#include <proto/utf8.h>

#define CONTEXT 3

/* 1,000 edits: 4 MiB of fronts. 20 million lines: a tenth of a second. */
const struct ft_diff_limits ft_diff_limits_default = {.edits = 1000, .steps = 20000000};

struct line {
    struct rn_slice text; /* with its line feed, but perhaps the last */
    uint64_t hash;
    bool changed; /* goes (in a), or is new (in b) */
};

struct lines {
    struct line *items;
    size_t n;
};

static void lines_fini(struct lines *l)
{
    free(l->items);
}

/* FNV-1a */
static uint64_t hash_of(struct rn_slice text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < text.len; i++)
        h = (h ^ text.data[i]) * UINT64_C(0x100000001b3);
    return h;
}

static struct rn_slice first_line(struct rn_slice text)
{
    const uint8_t *end = memchr(text.data, '\n', text.len);

    return rn_slice(text.data, end ? (size_t)(end - text.data) + 1 : text.len);
}

static int lines_cut(struct rn_slice text, struct lines *ret)
{
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] == '\n' || i + 1 == text.len;
    *ret = (struct lines){.items = calloc(n + 1, sizeof(*ret->items))};
    if (!ret->items)
        return -ENOMEM;
    for (; text.len; text = rn_slice_from(text, ret->items[ret->n - 1].text.len)) {
        struct rn_slice line = first_line(text);
        ret->items[ret->n++] = (struct line){.text = line, .hash = hash_of(line)};
    }
    return 0;
}

static bool line_eq(const struct line *a, const struct line *b)
{
    return a->hash == b->hash && rn_slice_eq(a->text, b->text);
}

/* ---- the script ---- */

struct search {
    struct line *a, *b; /* without the equal ends */
    int64_t n, m;
    uint64_t steps;   /* left */
    int32_t *fronts;  /* that of d edits begins at d * d and has 2d + 1 points, diagonal -d first */
    uint32_t n_fronts; /* room */
};

static int32_t *front_of(const struct search *s, int64_t d)
{
    return s->fronts + d * d + d; /* its diagonal 0 */
}

static int fronts_reserve(struct search *s, int64_t d)
{
    size_t room = s->n_fronts ? s->n_fronts : 16;

    if (d < s->n_fronts)
        return 0;
    while ((int64_t)room <= d)
        room *= 2;
    int32_t *grown = realloc(s->fronts, room * room * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    s->fronts = grown;
    s->n_fronts = (uint32_t)room;
    return 0;
}

/* Does the best way with d edits to diagonal k come from the one above (a new line of b)? */
static bool comes_down(const struct search *s, int64_t d, int64_t k)
{
    const int32_t *before = front_of(s, d - 1);

    return k == -d || (k != d && before[k - 1] < before[k + 1]);
}

static int64_t furthest(struct search *s, int64_t d, int64_t k)
{
    int64_t x = 0, y;

    if (d > 0)
        x = comes_down(s, d, k) ? front_of(s, d - 1)[k + 1] : front_of(s, d - 1)[k - 1] + 1;
    y = x - k;
    for (; x < s->n && y < s->m && y >= 0 && s->steps && line_eq(&s->a[x], &s->b[y]); x++, y++)
        s->steps--;
    s->steps -= s->steps > 0;
    return x;
}

/* One more front. 1: it reached the end; 0: it did not; -E2BIG, -ENOMEM. */
static int advance(struct search *s, int64_t d)
{
    int r = fronts_reserve(s, d);

    for (int64_t k = -d; r == 0 && k <= d; k += 2) {
        int64_t x = furthest(s, d, k);

        front_of(s, d)[k] = (int32_t)x;
        if (!s->steps)
            r = -E2BIG;
        else if (x >= s->n && x - k >= s->m)
            r = 1;
    }
    return r;
}

static void walk_back(const struct search *s, int64_t d)
{
    int64_t k = s->n - s->m;

    for (; d > 0; d--) {
        if (comes_down(s, d, k)) {
            k++;
            s->b[front_of(s, d - 1)[k] - k].changed = true;
        } else {
            k--;
            s->a[front_of(s, d - 1)[k]].changed = true;
        }
    }
}

static void change_all(const struct search *s)
{
    for (int64_t i = 0; i < s->n; i++)
        s->a[i].changed = true;
    for (int64_t i = 0; i < s->m; i++)
        s->b[i].changed = true;
}

/* Mark the changed lines. 0, -ENOMEM. */
static int compare(struct lines *a, struct lines *b, const struct ft_diff_limits *limits)
{
    size_t head = 0, tail = 0, least = a->n < b->n ? a->n : b->n;
    int64_t d = 0;
    int r = 0;

    while (head < least && line_eq(&a->items[head], &b->items[head]))
        head++;
    while (tail < least - head && line_eq(&a->items[a->n - 1 - tail], &b->items[b->n - 1 - tail]))
        tail++;
    struct search s = {.a = a->items + head,
                       .b = b->items + head,
                       .n = (int64_t)(a->n - head - tail),
                       .m = (int64_t)(b->n - head - tail),
                       .steps = limits->steps};
    if (s.n == 0 || s.m == 0)
        r = -E2BIG; /* nothing to look for: all of it changed */
    while (r == 0) {
        r = d > limits->edits ? -E2BIG : advance(&s, d);
        d += r == 0;
    }
    if (r == 1)
        walk_back(&s, d);
    else if (r == -E2BIG)
        change_all(&s);
    free(s.fronts);
    return r == -ENOMEM ? r : 0;
}

/* ---- hunks; the buffer remembers the first error ---- */

static void put_line(struct ft_buf *out, char mark, struct rn_slice text)
{
    (void)ft_buf_add_byte(out, (uint8_t)mark);
    (void)ft_buf_add_slice(out, text);
    if (text.data[text.len - 1] != '\n')
        (void)ft_buf_add_str(out, "\n\\ No newline at end of file\n");
}

/* "3,7"; of no lines the one before is named. */
static void put_range(struct ft_buf *out, char mark, size_t from, size_t to)
{
    if (to - from == 1)
        (void)ft_buf_printf(out, " %c%zu", mark, from + 1);
    else
        (void)ft_buf_printf(out, " %c%zu,%zu", mark, to == from ? from : from + 1, to - from);
}

struct hunk {
    size_t a, a_end, b, b_end;
};

/* The next hunk from a place where both sides are in step; false: there is no more. */
static bool next_hunk(const struct lines *a, const struct lines *b, struct hunk *h)
{
    size_t i = h->a_end, j = h->b_end, quiet = 0;

    while (i < a->n && j < b->n && !a->items[i].changed && !b->items[j].changed)
        i++, j++;
    if (i == a->n && j == b->n)
        return false;
    size_t before = i - h->a_end < CONTEXT ? i - h->a_end : CONTEXT;
    h->a = i - before;
    h->b = j - before;
    while (quiet <= 2 * CONTEXT && (i < a->n || j < b->n)) {
        bool goes = i < a->n && a->items[i].changed, is_new = j < b->n && b->items[j].changed;

        quiet = goes || is_new ? 0 : quiet + 1;
        i += goes || !is_new;
        j += is_new || !goes;
    }
    size_t surplus = quiet > CONTEXT ? quiet - CONTEXT : 0;
    h->a_end = i - surplus;
    h->b_end = j - surplus;
    return true;
}

static void put_hunk(struct ft_buf *out, const struct lines *a, const struct lines *b,
                     const struct hunk *h)
{
    (void)ft_buf_add_str(out, "@@");
    put_range(out, '-', h->a, h->a_end);
    put_range(out, '+', h->b, h->b_end);
    (void)ft_buf_add_str(out, " @@\n");
    for (size_t i = h->a, j = h->b; i < h->a_end || j < h->b_end;) {
        if (i < h->a_end && a->items[i].changed) {
            put_line(out, '-', a->items[i++].text);
        } else if (j < h->b_end && b->items[j].changed) {
            put_line(out, '+', b->items[j++].text);
        } else {
            put_line(out, ' ', a->items[i++].text);
            j++;
        }
    }
}

/* ---- objects ---- */

static void put_head(struct ft_buf *out, const char *mark, struct ft_diff_side s)
{
    if (s.object)
        (void)ft_buf_printf(out, "%s %.*s\t%s\n", mark, (int)s.object->name.len,
                            s.object->name.data, s.label);
    else
        (void)ft_buf_printf(out, "%s /dev/null\n", mark);
}

static int put_text(struct ft_diff_side a, struct ft_diff_side b,
                    const struct ft_diff_limits *limits, struct ft_buf *out)
{
    CLEANUP(lines_fini) struct lines before = {0};
    CLEANUP(lines_fini) struct lines after = {0};
    struct hunk h = {0};

    int r = lines_cut(a.object ? a.object->body : (struct rn_slice){0}, &before);
    if (r == 0)
        r = lines_cut(b.object ? b.object->body : (struct rn_slice){0}, &after);
    if (r == 0)
        r = compare(&before, &after, limits);
    if (r < 0)
        return r;
    put_head(out, "---", a);
    put_head(out, "+++", b);
    while (next_hunk(&before, &after, &h))
        put_hunk(out, &before, &after, &h);
    return ft_buf_error(out);
}

static bool is_text(const struct ft_object *o)
{
    return !o || !o->body.len || (ft_utf8_valid(o->body) && !memchr(o->body.data, 0, o->body.len));
}

static void put_properties(const struct ft_object *a, const struct ft_object *b,
                           struct ft_buf *out)
{
    if (!a || !b)
        return;
    if (!rn_slice_eq(a->content_type, b->content_type))
        (void)ft_buf_printf(out, "old content-type %.*s\nnew content-type %.*s\n",
                            (int)a->content_type.len, a->content_type.data,
                            (int)b->content_type.len, b->content_type.data);
    if (a->is_template != b->is_template)
        (void)ft_buf_printf(out, "%s a template\n", b->is_template ? "now" : "no longer");
}

static void put_binary(struct ft_diff_side a, struct ft_diff_side b, struct ft_buf *out)
{
    const struct ft_object *any = a.object ? a.object : b.object;

    (void)ft_buf_printf(out, "Binary object %.*s %s\n", (int)any->name.len, any->name.data,
                        !a.object   ? "is new"
                        : !b.object ? "was removed"
                                    : "differs");
}

int ft_diff_object(struct ft_diff_side a, struct ft_diff_side b,
                   const struct ft_diff_limits *limits, struct ft_buf *out)
{
    put_properties(a.object, b.object, out);
    if (a.object && b.object && rn_slice_eq(a.object->body, b.object->body))
        return ft_buf_error(out);
    if (is_text(a.object) && is_text(b.object))
        return put_text(a, b, limits, out);
    put_binary(a, b, out);
    return ft_buf_error(out);
}
