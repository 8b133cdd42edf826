/* Samples as rows of an SQL statement. Pure. */
#pragma once

#include "exporter/exporter.h"

/* The table, and what stands before and behind the rows of an INSERT. */
extern const char ft_mysql_table[], ft_mysql_insert[], ft_mysql_insert_end[];

/* Append one row in parentheses and a newline. A newline stands nowhere else in it, so a body can
 * be cut into rows again. Strings are escaped for utf8mb4 with backslashes, which the session must
 * not have switched off. */
int ft_mysql_add_row(struct ft_buf *out, const struct ft_row *row);

/* Take the next row of a body, without its newline; false at the end. */
bool ft_mysql_next_row(struct rn_slice *body, struct rn_slice *ret);

/* What an error of the server or the library says about what was sent. */
enum ft_mysql_kind {
    FT_MYSQL_ROW,   /* a value does not fit: never again */
    FT_MYSQL_LARGE, /* the statement is too large */
    FT_MYSQL_HOLD,  /* a person has to do something */
    FT_MYSQL_LATER, /* it may pass by itself */
    FT_MYSQL_LOST,  /* the same, and the connection is no good any more */
};
enum ft_mysql_kind ft_mysql_kind(unsigned error);

/* N of "... at row N" at the end of a text; 0: it names none. */
size_t ft_mysql_named_row(const char *text);
