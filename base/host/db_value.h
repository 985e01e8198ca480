/* Database values: the parameters of a statement, for both databases. */
#ifndef FLOTILLA_HOST_DB_VALUE_H
#define FLOTILLA_HOST_DB_VALUE_H

#include <flotilla/base.h>

/* A parameter.  The database copies its text or blob; NULL means SQL's NULL. */
struct flo_db_value {
    enum { FLO_DB_NUMBER, FLO_DB_TEXT, FLO_DB_BLOB } kind;
    int64_t number;
    const void *data;
    size_t bytes; /* size of a blob */
};
static inline struct flo_db_value flo_db_number(int64_t number)
{
    return (struct flo_db_value){.number = number};
}
static inline struct flo_db_value flo_db_text(const char *text)
{
    return (struct flo_db_value){.kind = FLO_DB_TEXT, .data = text};
}
static inline struct flo_db_value flo_db_blob(const void *data, size_t bytes)
{
    return (struct flo_db_value){.kind = FLO_DB_BLOB, .data = data, .bytes = bytes};
}
/* Expands to two arguments: the values, and their count. */
#define FLO_DB_VALUES(...)                                                                         \
    (const struct flo_db_value[]){__VA_ARGS__},                                                    \
        sizeof((const struct flo_db_value[]){__VA_ARGS__}) / sizeof(struct flo_db_value)
#define FLO_DB_NONE NULL, 0

#endif
