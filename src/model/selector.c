/* A selector is one allocation: its text, its terms, and the values of all terms; keys and values
 * are slices of the text. The commas of the text bound both counts, so the memory is measured
 * before the parse. */
#include <model/selector.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <proto/utf8.h>

enum op {
    OP_IN,     /* `=` is `in` with one value */
    OP_NOT_IN, /* likewise `!=` */
    OP_EXISTS,
    OP_ABSENT,
};

struct term {
    struct rn_slice key;
    enum op         op;
    uint32_t        first, count; /* of values[] */
};

struct ft_selector {
    char            *text; /* NUL-terminated, inside the allocation, as are the arrays */
    size_t           text_len;
    struct rn_slice *values;
    uint32_t         value_count;
    uint32_t         term_count;
    struct term      terms[];
};

struct parser {
    struct ft_selector     *out;
    struct rn_slice         text; /* of *out */
    size_t                  at;
    struct ft_syntax_error *reterr;
};

__attribute__((format(printf, 3, 4))) static int fail_at(struct ft_syntax_error *e, size_t offset,
                                                         const char *format, ...)
{
    va_list args;

    if (!e)
        return -EINVAL;
    *e = (struct ft_syntax_error){.offset = offset, .line = 1, .column = (unsigned)offset + 1};
    va_start(args, format);
    (void)vsnprintf(e->text, sizeof(e->text), format, args);
    va_end(args);
    return -EINVAL;
}

/* The byte at the position; 0 at the end (the text has no NUL). */
static uint8_t peek(const struct parser *p)
{
    return p->at < p->text.len ? p->text.data[p->at] : 0;
}

static void skip_blanks(struct parser *p)
{
    while (peek(p) == ' ' || peek(p) == '\t')
        p->at++;
}

static bool is_special(uint8_t c)
{
    return c == ',' || c == '=' || c == '!' || c == '(' || c == ')';
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static int parse_key(struct parser *p, struct rn_slice *ret)
{
    size_t from;

    skip_blanks(p);
    from = p->at;
    while (peek(p) && !is_blank(peek(p)) && !is_special(peek(p)))
        p->at++;
    if (p->at == from)
        return fail_at(p->reterr, from, "a key is expected here, like `env` in `env=prod`");
    if (p->at - from > FT_SELECTOR_KEY_MAX)
        return fail_at(p->reterr, from, "a key has at most %d bytes", FT_SELECTOR_KEY_MAX);
    *ret = rn_slice(p->text.data + from, p->at - from);
    return 0;
}

/* A value up to the next special byte, without the blanks around it, put behind the others. */
static int parse_value(struct parser *p, bool may_be_empty)
{
    size_t from, to;

    skip_blanks(p);
    from = p->at;
    while (peek(p) && !is_special(peek(p)))
        p->at++;
    for (to = p->at; to > from && is_blank(p->text.data[to - 1]);)
        to--;
    if (to == from && !may_be_empty)
        return fail_at(p->reterr, from, "a value is expected here");
    if (p->out->value_count == FT_SELECTOR_VALUES_MAX)
        return fail_at(p->reterr, from, "a selector has at most %d values", FT_SELECTOR_VALUES_MAX);
    p->out->values[p->out->value_count++] = rn_slice(p->text.data + from, to - from);
    return 0;
}

static int parse_list(struct parser *p)
{
    int r;

    skip_blanks(p);
    if (peek(p) != '(')
        return fail_at(p->reterr, p->at, "`(` is expected after `in` and `notin`");
    do {
        p->at++;
        r = parse_value(p, false);
        if (r < 0)
            return r;
    } while (peek(p) == ',');
    if (peek(p) != ')')
        return fail_at(p->reterr, p->at, "`,` or `)` is expected here");
    p->at++;
    return 0;
}

/* What stands behind a key. */
static int parse_condition(struct parser *p, struct term *t)
{
    struct rn_slice word;

    skip_blanks(p);
    if (peek(p) == 0 || peek(p) == ',') {
        t->op = OP_EXISTS;
        return 0;
    }
    if (peek(p) == '=') {
        p->at++;
        t->op = OP_IN;
        return parse_value(p, true);
    }
    if (peek(p) == '!' && p->at + 1 < p->text.len && p->text.data[p->at + 1] == '=') {
        p->at += 2;
        t->op = OP_NOT_IN;
        return parse_value(p, true);
    }
    word = rn_slice_from(p->text, p->at);
    if (word.len >= 2 && memcmp(word.data, "in", 2) == 0) {
        p->at += 2;
        t->op = OP_IN;
        return parse_list(p);
    }
    if (word.len >= 5 && memcmp(word.data, "notin", 5) == 0) {
        p->at += 5;
        t->op = OP_NOT_IN;
        return parse_list(p);
    }
    return fail_at(p->reterr, p->at,
                   "`=`, `!=`, `in (...)`, `notin (...)` or `,` is expected here");
}

static int parse_term(struct parser *p)
{
    struct term *t = &p->out->terms[p->out->term_count];
    int          r;

    if (p->out->term_count == FT_SELECTOR_TERMS_MAX)
        return fail_at(p->reterr, p->at, "a selector has at most %d terms", FT_SELECTOR_TERMS_MAX);
    *t = (struct term){.op = OP_ABSENT, .first = p->out->value_count};
    skip_blanks(p);
    if (peek(p) == '!') {
        p->at++;
        r = parse_key(p, &t->key);
    } else {
        r = parse_key(p, &t->key);
        if (r == 0)
            r = parse_condition(p, t);
    }
    if (r < 0)
        return r;
    t->count = p->out->value_count - t->first;
    p->out->term_count++;
    skip_blanks(p);
    if (peek(p) != 0 && peek(p) != ',')
        return fail_at(p->reterr, p->at, "`,` or the end is expected here");
    return 0;
}

static int parse(struct parser *p)
{
    int r;

    skip_blanks(p);
    if (peek(p) == 0)
        return 0;
    for (;;) {
        r = parse_term(p);
        if (r < 0)
            return r;
        if (peek(p) == 0)
            return 0;
        p->at++; /* the comma */
    }
}

/* The bytes that no selector may have, before anybody looks at its grammar. */
static int check_bytes(struct rn_slice text, struct ft_syntax_error *reterr)
{
    size_t valid = ft_utf8_prefix(text);

    if (text.len > FT_SELECTOR_LEN_MAX)
        return fail_at(reterr, FT_SELECTOR_LEN_MAX, "a selector has at most %d bytes",
                       FT_SELECTOR_LEN_MAX);
    if (valid < text.len)
        return fail_at(reterr, valid, "this is not valid UTF-8");
    for (size_t i = 0; i < text.len; i++) {
        if ((text.data[i] < 0x20 && text.data[i] != '\t') || text.data[i] == 0x7f)
            return fail_at(reterr, i, "a selector must not contain control bytes");
    }
    return 0;
}

static struct ft_selector *selector_alloc(struct rn_slice text)
{
    struct ft_selector *s;
    size_t              parts = 1;

    for (size_t i = 0; i < text.len; i++)
        parts += text.data[i] == ',';
    s = calloc(1,
               sizeof(*s) + parts * (sizeof(struct term) + sizeof(struct rn_slice)) + text.len + 1);
    if (!s)
        return NULL;
    s->values = (struct rn_slice *)(void *)(s->terms + parts);
    s->text = (char *)(s->values + parts);
    s->text_len = text.len;
    if (text.len > 0)
        memcpy(s->text, text.data, text.len);
    return s;
}

int ft_selector_parse(struct rn_slice text, struct ft_selector **ret,
                      struct ft_syntax_error *reterr)
{
    CLEANUP(ft_selector_freep) struct ft_selector *s = NULL;
    struct parser                                  p;
    int                                            r = check_bytes(text, reterr);

    if (r < 0)
        return r;
    s = selector_alloc(text);
    if (!s)
        return -ENOMEM;
    p = (struct parser){.out = s, .text = rn_slice(s->text, s->text_len), .reterr = reterr};
    r = parse(&p);
    if (r < 0)
        return r;
    *ret = TAKE(s);
    return 0;
}

struct ft_selector *ft_selector_free(struct ft_selector *s)
{
    free(s);
    return NULL;
}

void ft_selector_freep(struct ft_selector **s)
{
    *s = ft_selector_free(*s);
}

static bool is_among(const struct ft_selector *s, const struct term *t, struct rn_slice value)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (rn_slice_eq(s->values[t->first + i], value))
            return true;
    }
    return false;
}

bool ft_selector_match(const struct ft_selector *s, ft_selector_lookup_fn lookup, void *arg)
{
    for (uint32_t i = 0; s && i < s->term_count; i++) {
        const struct term *t = &s->terms[i];
        struct rn_slice    value = {0};
        bool               there = lookup(arg, t->key, &value);
        bool               holds = false;

        switch (t->op) {
        case OP_IN: holds = there && is_among(s, t, value); break;
        case OP_NOT_IN: holds = !there || !is_among(s, t, value); break;
        case OP_EXISTS: holds = there; break;
        case OP_ABSENT: holds = !there; break;
        }
        if (!holds)
            return false;
    }
    return true;
}

struct rn_slice ft_selector_text(const struct ft_selector *s)
{
    return s ? rn_slice(s->text, s->text_len) : RN_SLICE_LITERAL("");
}

bool ft_selector_is_empty(const struct ft_selector *s)
{
    return !s || s->term_count == 0;
}
