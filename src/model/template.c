/* A template is read as a row of tokens: text up to the next `{{`, then what stands in the braces.
 * Checking takes the tokens and drops them, rendering writes them: one reader, so that both agree
 * about what is right. There is no parsed form to keep, since reading is as cheap as copying. */
#include <model/template.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct reader {
    struct rn_slice         body;
    size_t                  at;
    size_t                  line_at; /* where the line begins that `at` is in */
    unsigned                line;
    struct ft_syntax_error *reterr; /* or NULL */
};

enum token_kind {
    TOKEN_END,
    TOKEN_TEXT,
    TOKEN_VALUE,
};

struct token {
    enum token_kind       kind;
    struct rn_slice       text; /* TEXT: the bytes; VALUE: the name */
    enum ft_template_kind value;
};

#define NAME_SHOWN 80 /* bytes of a name in an error */

__attribute__((format(printf, 3, 4))) static int fail(struct reader *r, int err, const char *format,
                                                      ...)
{
    va_list args;

    if (!r->reterr)
        return err;
    *r->reterr = (struct ft_syntax_error){
        .offset = r->at, .line = r->line, .column = (unsigned)(r->at - r->line_at) + 1};
    va_start(args, format);
    (void)vsnprintf(r->reterr->text, sizeof(r->reterr->text), format, args);
    va_end(args);
    return err;
}

static struct rn_slice rest(const struct reader *r)
{
    return rn_slice_from(r->body, r->at);
}

static bool starts_with(struct rn_slice s, const char *word)
{
    size_t n = strlen(word);

    return s.len >= n && memcmp(s.data, word, n) == 0;
}

/* Move over bytes, counting lines. */
static void advance(struct reader *r, size_t n)
{
    for (size_t end = r->at + n; r->at < end; r->at++) {
        if (r->body.data[r->at] != '\n')
            continue;
        r->line++;
        r->line_at = r->at + 1;
    }
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->body.len && (r->body.data[r->at] == ' ' || r->body.data[r->at] == '\t'))
        r->at++;
}

static bool is_name_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == '/';
}

static struct rn_slice take_name(struct reader *r)
{
    size_t from = r->at;

    while (r->at < r->body.len && is_name_byte(r->body.data[r->at]))
        r->at++;
    return rn_slice(r->body.data + from, r->at - from);
}

static bool name_after(struct rn_slice name, const char *prefix, struct rn_slice *ret)
{
    if (!starts_with(name, prefix) || name.len == strlen(prefix))
        return false;
    *ret = rn_slice_from(name, strlen(prefix));
    return true;
}

static int classify(struct rn_slice name, struct token *t)
{
    t->kind = TOKEN_VALUE;
    if (name_after(name, "var.", &t->text))
        t->value = FT_TEMPLATE_VAR;
    else if (name_after(name, "label.", &t->text))
        t->value = FT_TEMPLATE_LABEL;
    else if (name_after(name, "attr.", &t->text))
        t->value = FT_TEMPLATE_ATTR;
    else if (rn_slice_eq_str(name, "agent.instance_uid")) {
        t->value = FT_TEMPLATE_UID;
        t->text = rn_slice_from(name, name.len);
    } else
        return -EINVAL;
    return 0;
}

/* Behind `{{`: one expression and its `}}`. */
static int take_expression(struct reader *r, struct token *t)
{
    static const char literal[] = "\"{{\"";
    struct reader     start;

    skip_blanks(r);
    start = *r;
    if (starts_with(rest(r), literal)) {
        *t = (struct token){.kind = TOKEN_TEXT, .text = rn_slice(r->body.data + r->at + 1, 2)};
        r->at += sizeof(literal) - 1;
    } else {
        struct rn_slice name = take_name(r);

        if (classify(name, t) < 0)
            return fail(&start, -EINVAL,
                        "`%.*s` is not a value: write var.NAME, label.K, attr.K, "
                        "agent.instance_uid, or \"{{\" for the "
                        "braces themselves",
                        (int)(name.len < NAME_SHOWN ? name.len : NAME_SHOWN),
                        (const char *)name.data);
    }
    skip_blanks(r);
    if (!starts_with(rest(r), "}}"))
        return fail(r, -EINVAL, "`}}` is expected here: close the expression on its own line");
    r->at += 2;
    return 0;
}

/* The next token. Returns: 0 or -EINVAL. */
static int take_token(struct reader *r, struct token *t)
{
    struct rn_slice left = rest(r);
    const uint8_t  *open;

    if (left.len == 0) {
        *t = (struct token){.kind = TOKEN_END};
        return 0;
    }
    if (starts_with(left, "{{")) {
        r->at += 2;
        return take_expression(r, t);
    }
    open = memmem(left.data, left.len, "{{", 2);
    *t = (struct token){.kind = TOKEN_TEXT,
                        .text = rn_slice(left.data, open ? (size_t)(open - left.data) : left.len)};
    advance(r, t->text.len);
    return 0;
}

static struct reader reader_init(struct rn_slice body, struct ft_syntax_error *reterr)
{
    return (struct reader){.body = body, .line = 1, .reterr = reterr};
}

int ft_template_check(struct rn_slice body, struct ft_syntax_error *reterr)
{
    struct reader r = reader_init(body, reterr);
    struct token  t;
    int           err;

    do
        err = take_token(&r, &t);
    while (err == 0 && t.kind != TOKEN_END);
    return err;
}

static int missing(struct reader *r, const struct token *t)
{
    int         n = (int)(t->text.len < NAME_SHOWN ? t->text.len : NAME_SHOWN);
    const char *name = (const char *)t->text.data;

    switch (t->value) {
    case FT_TEMPLATE_VAR:
        return fail(r, -ENOENT,
                    "variable `%.*s` is missing: set it in the variables of the agent's group", n,
                    name);
    case FT_TEMPLATE_LABEL:
        return fail(
            r, -ENOENT,
            "label `%.*s` is missing on this agent: set it under `labels` in the agent's file", n,
            name);
    case FT_TEMPLATE_ATTR:
        return fail(
            r, -ENOENT,
            "attribute `%.*s` is not reported by this agent: use one that it has, or a variable", n,
            name);
    case FT_TEMPLATE_UID: break;
    }
    return fail(r, -ENOENT, "the agent has no instance_uid: wait for its first report");
}

static int render(struct reader *r, ft_template_lookup_fn lookup, void *arg, struct ft_buf *out)
{
    struct token t;
    int          err;

    for (;;) {
        err = take_token(r, &t);
        if (err < 0 || t.kind == TOKEN_END)
            return err;
        if (t.kind == TOKEN_VALUE) {
            struct rn_slice value = {0};

            if (!lookup(arg, t.value, t.text, &value))
                return missing(r, &t);
            t.text = value;
        }
        err = ft_buf_add_slice(out, t.text);
        if (err == -E2BIG)
            return fail(r, err,
                        "the rendered text passes %zu bytes: shorten it, or raise message_max",
                        out->max);
        if (err < 0)
            return fail(r, err, "there is no memory to render this: try again later");
    }
}

/* Put `OBJECT:LINE: ` before the reason. */
static void prefix_error(struct rn_slice object, struct ft_syntax_error *e)
{
    char reason[sizeof(e->text) - 255 - sizeof(":4294967295: ")];

    memcpy(reason, e->text, sizeof(reason));
    reason[sizeof(reason) - 1] = 0;
    (void)snprintf(e->text, sizeof(e->text), "%.*s:%u: %s",
                   (int)(object.len < 255 ? object.len : 255), (const char *)object.data, e->line,
                   reason);
}

int ft_template_render(struct rn_slice object, struct rn_slice body, ft_template_lookup_fn lookup,
                       void *arg, struct ft_buf *out, struct ft_syntax_error *reterr)
{
    struct reader r = reader_init(body, reterr);
    size_t        before = out->len;
    int           err = render(&r, lookup, arg, out);

    if (err == 0)
        return 0;
    out->len = before;
    out->err = 0;
    if (reterr)
        prefix_error(object, reterr);
    return err;
}
