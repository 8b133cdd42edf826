/* MySQL and MariaDB: one INSERT of many rows, in a transaction per send.
 *
 *     closed --connect, session, table--> ready --statement--> ... --COMMIT--> ready
 *                                            \--the connection or the server fails--> closed;
 *                                               nothing of the send is stored
 *
 * The primary key is the sample's identity and a row that is there is left alone, which the count
 * of affected rows tells: n of n are new, 0 of n were there. Anything between, and errors that name
 * no row, go row by row in the same transaction, where the count is exact. An error that names its
 * row ("at row 2") rejects that row and the statement is sent again without it.
 *
 * A commit whose answer is lost is RETRY: sent again, the rows are duplicates.
 *
 * The library never reconnects by itself: half of a transaction would be lost without a word.
 */
#include "exporter/types.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <mysql.h>

#include <base/cleanup.h>

#include <runnel/task.h>

#include "exporter/mysql_rows.h"
#include "exporter/secret.h"

#define CONNECT_TIME_MAX_S 5
#define ANSWER_TIME_MAX_S 10 /* for each read and write; a send may take several */
#define ROWS_MAX 1000        /* of a statement */
#define STATEMENT_MAX ((size_t)4 << 20)
#define STATEMENT_ENDS 512 /* what stands around the rows */
#define NAMED_MAX 16       /* rows cut out of one statement; then row by row */
#define PACKET_UNKNOWN ((size_t)1 << 20)

struct self {
    struct ft_mysql_settings settings;
    MYSQL *db; /* NULL: closed */
    char *password;
    size_t statement_max; /* half of max_allowed_packet */
    struct ft_buf statement;
};

#define AT(field) offsetof(struct ft_mysql_settings, field)
const struct ft_option ft_mysql_options[] = {
    FT_EXPORTER_OPTIONS(ft_mysql_settings, "mysql", "false"),
    {"host", FT_STRING, AT(host), .def = "127.0.0.1",
     .help = "where it listens; a path is a unix socket"},
    {"port", FT_INT, AT(port), .def = "3306", .min = 1, .max = 65535, .help = "its port"},
    {"user", FT_STRING, AT(user), .def = "fettle", .help = "who inserts"},
    {"password_file", FT_PATH, AT(password_file), .help = "a file with the password"},
    {"database", FT_STRING, AT(database), .def = "fettle", .help = "where the table is made"},
    {"ca_file", FT_PATH, AT(ca_file), .help = "TLS, with certificates that may sign the server's"},
    {0},
};

static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static void library_start(void)
{
    (void)mysql_server_init(0, NULL, NULL);
}

/* ---- words ---- */

/* What the server said, for people. */
static void error_text(const struct self *self, MYSQL *db, struct ft_text_error *ret)
{
    CLEANUP(ft_buf_fini) struct ft_buf said = FT_BUF_INIT(4096);
    const char *const secrets[] = {self->password};

    (void)ft_buf_printf(&said, "%u: %s", mysql_errno(db), mysql_error(db));
    ft_secrets_hide(ft_buf_slice(&said), secrets, 1, ret->text);
}

static void disconnect(struct self *self)
{
    if (self->db)
        mysql_close(self->db);
    self->db = NULL;
    self->password = ft_secret_free(self->password);
}

/* ---- connecting ---- */

static int options_set(const struct self *self, MYSQL *db)
{
    const unsigned connect = CONNECT_TIME_MAX_S, answer = ANSWER_TIME_MAX_S, off = 0,
                   tcp = MYSQL_PROTOCOL_TCP;
    const my_bool no = 0, yes = 1;
    int r = mysql_options(db, MYSQL_OPT_CONNECT_TIMEOUT, &connect);

    r |= mysql_options(db, MYSQL_OPT_READ_TIMEOUT, &answer);
    r |= mysql_options(db, MYSQL_OPT_WRITE_TIMEOUT, &answer);
    r |= mysql_options(db, MYSQL_OPT_RECONNECT, &no);
    r |= mysql_options(db, MYSQL_OPT_LOCAL_INFILE, &off); /* a server may not ask for our files */
    if (self->settings.host[0] != '/')
        r |= mysql_options(db, MYSQL_OPT_PROTOCOL, &tcp); /* `localhost` too: the port was given */
    if (self->settings.ca_file) {
        r |= mysql_ssl_set(db, NULL, NULL, self->settings.ca_file, NULL, NULL);
        r |= mysql_options(db, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes);
        r |= mysql_options(db, MYSQL_OPT_SSL_ENFORCE, &yes);
    }
    return r == 0 ? 0 : -EINVAL;
}

/* Values that do not fit must be errors, backslashes must escape, and the zone does not matter. */
static const char session_sql[] =
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES', SESSION autocommit = 1";

/* The number that a query answers with; 0 where it does not. */
static size_t query_number(MYSQL *db, const char *sql)
{
    MYSQL_RES *result = mysql_query(db, sql) == 0 ? mysql_store_result(db) : NULL;
    MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
    size_t n = row && row[0] ? strtoull(row[0], NULL, 10) : 0;

    mysql_free_result(result);
    return n;
}

static int session_start(struct self *self, MYSQL *db)
{
    size_t packet;

    if (mysql_query(db, "SET NAMES utf8mb4") != 0 || mysql_query(db, session_sql) != 0 ||
        mysql_query(db, ft_mysql_table) != 0)
        return -EIO;
    packet = query_number(db, "SELECT @@max_allowed_packet");
    if (packet == 0)
        packet = PACKET_UNKNOWN;
    self->statement_max = packet / 2 < STATEMENT_MAX ? packet / 2 : STATEMENT_MAX;
    return 0;
}

static void closep_db(MYSQL **db)
{
    if (*db)
        mysql_close(*db);
}

static int connect_failed(const struct self *self, MYSQL *db, struct ft_text_error *reterr)
{
    error_text(self, db, reterr);
    return ft_mysql_kind(mysql_errno(db)) == FT_MYSQL_HOLD ? -EACCES : -EIO;
}

static int connect_server(struct self *self, struct ft_text_error *reterr)
{
    const struct ft_mysql_settings *s = &self->settings;
    const bool is_path = s->host[0] == '/';
    CLEANUP(closep_db) MYSQL *db = NULL;
    int r;

    self->password = ft_secret_free(self->password);
    r = s->password_file ? ft_secret_read(s->password_file, &self->password, reterr) : 0;
    if (r < 0)
        return r;
    db = mysql_init(NULL);
    if (!db || options_set(self, db) < 0)
        return -ENOMEM;
    if (!mysql_real_connect(db, is_path ? NULL : s->host, s->user, self->password, s->database,
                            is_path ? 0 : (unsigned)s->port, is_path ? s->host : NULL, 0))
        return connect_failed(self, db, reterr);
    if (session_start(self, db) < 0)
        return connect_failed(self, db, reterr);
    self->db = TAKE(db);
    return 0;
}

static int mysql_exporter_open(void *arg, struct ft_text_error *reterr)
{
    struct self *self = arg;
    int r;

    (void)pthread_once(&library_once, library_start);
    self->statement.max = SIZE_MAX;
    r = connect_server(self, reterr);
    if (r < 0)
        disconnect(self);
    return r;
}

static void mysql_exporter_close(void *arg)
{
    struct self *self = arg;

    disconnect(self);
    ft_buf_fini(&self->statement);
}

/* ---- encode ---- */

static int mysql_exporter_encode(const void *self, const struct ft_rows *in, struct ft_buf *out)
{
    (void)self;
    for (size_t i = 0; i < in->n; i++)
        (void)ft_mysql_add_row(out, &in->items[i]);
    return ft_buf_error(out);
}

/* ---- statements ---- */

/* Rows of the send that go into one statement. */
struct chunk {
    struct rn_slice rows[ROWS_MAX];
    size_t index[ROWS_MAX]; /* in the answer */
    size_t n;
};

static int statement_make(struct self *self, const struct rn_slice *rows, size_t n)
{
    struct ft_buf *b = &self->statement;

    ft_buf_clear(b);
    (void)ft_buf_add_str(b, ft_mysql_insert);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            (void)ft_buf_add_byte(b, ',');
        (void)ft_buf_add_slice(b, rows[i]);
    }
    return ft_buf_add_str(b, ft_mysql_insert_end);
}

/* Insert rows; how many of them are new. 0 or -EBADMSG (mysql_errno() says why), -ENOMEM. */
static int rows_insert(struct self *self, const struct rn_slice *rows, size_t n, size_t *ret_new)
{
    int r = statement_make(self, rows, n);

    if (r < 0)
        return r;
    if (mysql_real_query(self->db, (const char *)self->statement.data, self->statement.len) != 0)
        return -EBADMSG;
    *ret_new = (size_t)mysql_affected_rows(self->db);
    return 0;
}

static enum ft_mysql_kind kind_now(const struct self *self)
{
    return ft_mysql_kind(mysql_errno(self->db));
}

static bool is_about_a_row(enum ft_mysql_kind kind)
{
    return kind == FT_MYSQL_ROW || kind == FT_MYSQL_LARGE;
}

static void row_reject(struct self *self, struct ft_answer *answer, size_t i)
{
    struct ft_text_error text;

    error_text(self, self->db, &text);
    ft_answer_one(answer, i, FT_VERDICT_REJECT, "%s", text.text);
}

/* Each row by itself: exact, and slow. */
static int chunk_insert_singly(struct self *self, const struct chunk *c, struct ft_answer *answer)
{
    for (size_t i = 0; i < c->n; i++) {
        size_t new;
        int r = rows_insert(self, &c->rows[i], 1, &new);

        if (r == 0)
            ft_answer_one(answer, c->index[i], new ? FT_VERDICT_OK : FT_VERDICT_DUPLICATE, NULL);
        else if (r == -EBADMSG && is_about_a_row(kind_now(self)))
            row_reject(self, answer, c->index[i]);
        else
            return r;
    }
    return 0;
}

static void chunk_remove(struct chunk *c, size_t i)
{
    c->n--;
    memmove(&c->rows[i], &c->rows[i + 1], (c->n - i) * sizeof(c->rows[0]));
    memmove(&c->index[i], &c->index[i + 1], (c->n - i) * sizeof(c->index[0]));
}

static void chunk_say(const struct chunk *c, struct ft_answer *answer, enum ft_verdict_kind kind)
{
    for (size_t i = 0; i < c->n; i++)
        ft_answer_one(answer, c->index[i], kind, NULL);
}

/* Some rows were new and some were not: undo the statement and look at each. */
static int chunk_undo(struct self *self)
{
    return mysql_query(self->db, "ROLLBACK TO SAVEPOINT part") == 0 ? 0 : -EBADMSG;
}

static int chunk_insert(struct self *self, struct chunk *c, struct ft_answer *answer)
{
    size_t new = 0;
    int r = 0;

    if (mysql_query(self->db, "SAVEPOINT part") != 0)
        return -EBADMSG;
    for (int named = 0; c->n > 0; named++) {
        size_t row;

        r = rows_insert(self, c->rows, c->n, &new);
        if (r != -EBADMSG || !is_about_a_row(kind_now(self)))
            break;
        row = kind_now(self) == FT_MYSQL_ROW ? ft_mysql_named_row(mysql_error(self->db)) : 0;
        if (row < 1 || row > c->n || named >= NAMED_MAX)
            return chunk_insert_singly(self, c, answer);
        row_reject(self, answer, c->index[row - 1]);
        chunk_remove(c, row - 1);
    }
    if (r < 0 || c->n == 0)
        return r;
    if (new == 0 || new == c->n) {
        chunk_say(c, answer, new ? FT_VERDICT_OK : FT_VERDICT_DUPLICATE);
        return 0;
    }
    r = chunk_undo(self);
    return r < 0 ? r : chunk_insert_singly(self, c, answer);
}

/* ---- send ---- */

/* As many rows as fit a statement; at least one. */
static void chunk_fill(const struct self *self, struct chunk *c, struct rn_slice *body,
                       size_t *next)
{
    size_t bytes = STATEMENT_ENDS;
    struct rn_slice before = *body, row;

    for (c->n = 0; c->n < ROWS_MAX && ft_mysql_next_row(body, &row); c->n++) {
        bytes += row.len + 1;
        if (c->n > 0 && bytes > self->statement_max) {
            *body = before;
            return;
        }
        c->rows[c->n] = row;
        c->index[c->n] = (*next)++;
        before = *body;
    }
}

static int transaction_run(struct self *self, struct rn_slice body, struct ft_answer *answer,
                           rn_time deadline)
{
    CLEANUP(freep) struct chunk *c = malloc(sizeof(*c));
    size_t next = 0;
    int r = 0;

    if (!c)
        return -ENOMEM;
    if (mysql_query(self->db, "START TRANSACTION") != 0)
        return -EBADMSG;
    while (r == 0 && body.len > 0) {
        if (rn_now() >= deadline)
            return -ETIMEDOUT;
        chunk_fill(self, c, &body, &next);
        r = chunk_insert(self, c, answer);
    }
    if (r == 0 && mysql_query(self->db, "COMMIT") != 0)
        r = -EBADMSG;
    return r;
}

/* Nothing is stored: what was said about single rows is taken back. */
static void transaction_failed(struct self *self, int r, struct ft_answer *answer)
{
    const enum ft_mysql_kind kind = r == -EBADMSG ? kind_now(self) : FT_MYSQL_LATER;
    struct ft_text_error text = {0};

    if (r == -EBADMSG)
        error_text(self, self->db, &text);
    else
        ft_text_error_set(&text, "%s", strerrordesc_np(-r));
    ft_answer_all(answer, kind == FT_MYSQL_HOLD ? FT_VERDICT_HOLD : FT_VERDICT_RETRY, "%s",
                  text.text);
    if (kind != FT_MYSQL_LATER || mysql_query(self->db, "ROLLBACK") != 0)
        disconnect(
            self); /* the next send connects, and makes the table if that is what is missing */
}

static int mysql_exporter_send(void *arg, const struct ft_rows *in, struct rn_slice body,
                               struct ft_answer *answer, rn_time deadline)
{
    struct self *self = arg;
    struct ft_text_error why = {0};
    int r;

    (void)in;
    r = self->db ? 0 : connect_server(self, &why);
    if (r < 0) {
        disconnect(self);
        ft_answer_all(answer, r == -EACCES ? FT_VERDICT_HOLD : FT_VERDICT_RETRY, "%s", why.text);
        return r;
    }
    r = transaction_run(self, body, answer, deadline);
    if (r < 0)
        transaction_failed(self, r, answer);
    return r;
}

const struct ft_exporter_type ft_exporter_mysql = {
    .name = "mysql",
    .summary = "a table in MySQL or MariaDB",
    .size = sizeof(struct self),
    .settings_size = sizeof(struct ft_mysql_settings),
    .options = ft_mysql_options,
    .pace = {.rows_max = 5000,
             .bytes_max = (size_t)5 << 20,
             .age_max = RN_S,
             .send_max = 30 * RN_S,
             .retry_max = 10 * RN_S},
    .open = mysql_exporter_open,
    .encode = mysql_exporter_encode,
    .send = mysql_exporter_send,
    .close = mysql_exporter_close,
};
