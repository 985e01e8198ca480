/* Tables: the rows of tables.def as arrays, and access to the values of a
 * row. */
#include "server-stub/store/tables.h"

const struct flo_field_facts flo_fields[FLO_FIELDS] = {
#define FLO_FIELD(table, name, word, type)                                                         \
    [FLO_FIELD_##table##_##name] = {word, FLO_TABLE_##table, FLO_TYPE_##type},
#include "server-stub/store/tables.def"
};

/* A table without a row in sealed.def does not compile. */
enum {
#define FLO_SEALED(kind, word, table, seal, ...) DECIDED_##table,
#define FLO_SEALED_SETTING(kind, name)
#define FLO_BARE(table, why) DECIDED_##table,
#include "server-stub/store/sealed.def"
};

const struct flo_table_facts flo_tables[FLO_TABLES] = {
#define FLO_TABLE(name, word, keys)                                                                \
    [FLO_TABLE_##                                                                                  \
        name] = {word, FLO_FIELDS_##name, FLO_FIELDS_END_##name, DECIDED_##name >= 0 ? keys : 0},
#include "server-stub/store/tables.def"
};

#define FIELDS(...)                                                                                \
    (int)(sizeof((enum flo_field[]){__VA_ARGS__}) / sizeof(enum flo_field)),                       \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
const struct flo_index_facts flo_indexes[] = {
#define FLO_INDEX(table, is_unique, ...) {FLO_TABLE_##table, is_unique, FIELDS(__VA_ARGS__)},
#include "server-stub/store/tables.def"
};
const int flo_index_count = (int)FLO_COUNT(flo_indexes);

static const struct flo_value *value_of(const struct flo_row *row, enum flo_field field)
{
    static const struct flo_value none = {.text = ""};
    enum flo_table table = flo_fields[field].table;
    const struct flo_value *values = table == row->table ? row->values : row->joined;

    return values != NULL ? &values[(int)field - flo_tables[table].first] : &none;
}

const char *flo_row_text(const struct flo_row *row, enum flo_field field)
{
    const char *text = value_of(row, field)->text;

    return text != NULL ? text : "";
}

uint64_t flo_row_number(const struct flo_row *row, enum flo_field field)
{
    return value_of(row, field)->number;
}

struct flo_digest flo_row_digest(const struct flo_row *row, enum flo_field field)
{
    const struct flo_digest *digest = value_of(row, field)->digest;

    return digest != NULL ? *digest : (struct flo_digest){0};
}
