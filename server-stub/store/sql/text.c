/* SQL: queries and changes as text.
 *
 * Values are parameters, except flags and words of a match.  These are in the
 * text, so that partial indexes are used. */
#include <assert.h>
#include <string.h>

#include "server-stub/store/sql/sql.h"

const struct flo_sql_dialect flo_sql_sqlite = {.has_unary = true,
                                               .quote = "",
                                               .natural = "",
                                               .natural_end = " COLLATE by_name",
                                               .first = "",
                                               .last = ""};
const struct flo_sql_dialect flo_sql_postgresql = {.is_numbered = true,
                                                   .has_no_order = true,
                                                   .quote = "\"",
                                                   .natural = "flo_natural(",
                                                   .natural_end = ")",
                                                   .first = " NULLS FIRST",
                                                   .last = " NULLS LAST"};

/* ---- small parts ---- */

static void begin(struct flo_sql *sql, bool has_two)
{
    sql->text.bytes = 0;
    sql->count = 0;
    sql->put_count = 0;
    sql->has_two = has_two;
}

static void add(struct flo_sql *sql, const char *text)
{
    flo_buf_text(&sql->text, text);
}

/* Appends a quoted name, because some names are reserved words. */
static void add_word(struct flo_sql *sql, const char *word)
{
    const char *quote = sql->dialect->quote;

    add(sql, quote);
    add(sql, word);
    add(sql, quote);
}

static void add_table(struct flo_sql *sql, enum flo_table table)
{
    add_word(sql, flo_tables[table].word);
}

static void add_whole_name(struct flo_sql *sql, enum flo_field field)
{
    add_table(sql, flo_fields[field].table);
    add(sql, ".");
    add_word(sql, flo_fields[field].word);
}

/* Appends a field's name.  With a single table, the table's name is left out,
 * because it costs time. */
static void add_name(struct flo_sql *sql, enum flo_field field)
{
    if (sql->has_two) {
        add_whole_name(sql, field);
    } else {
        add_word(sql, flo_fields[field].word);
    }
}

static void add_number(struct flo_sql *sql, uint64_t number)
{
    assert(sql->count < FLO_SQL_VALUES_MAX);
    sql->values[sql->count++] = flo_db_number((int64_t)number);
    if (sql->dialect->is_numbered) {
        flo_buf_printf(&sql->text, "$%zu", sql->count);
    } else {
        add(sql, "?");
    }
}

static struct flo_db_value value_of(enum flo_field field, const struct flo_value *value)
{
    static const struct flo_digest zero = {0};
    const struct flo_digest *digest = value->digest != NULL ? value->digest : &zero;

    if (flo_field_is_text(field)) {
        return flo_db_text(value->text != NULL ? value->text : "");
    }
    return flo_fields[field].type == FLO_TYPE_DIGEST ? flo_db_blob(digest->bytes, FLO_DIGEST_BYTES)
                                                     : flo_db_number((int64_t)value->number);
}

static void add_parameter(struct flo_sql *sql, enum flo_field field, const struct flo_value *value)
{
    add_number(sql, value->number);
    sql->values[sql->count - 1] = value_of(field, value);
}

static bool is_word(const char *text)
{
    return text != NULL && strlen(text) <= 32 &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyz-")] == '\0';
}

static void add_value(struct flo_sql *sql, enum flo_field field, const struct flo_value *value)
{
    static const char *const small[] = {"0", "1", "2",  "3",  "4",  "5",  "6",  "7",
                                        "8", "9", "10", "11", "12", "13", "14", "15"};
    enum flo_field_type type = flo_fields[field].type;

    if (type == FLO_TYPE_FLAG && value->number < FLO_COUNT(small)) {
        add(sql, small[value->number]);
    } else if (type == FLO_TYPE_WORD && is_word(value->text)) {
        add(sql, "'");
        add(sql, value->text);
        add(sql, "'");
    } else {
        add_parameter(sql, field, value);
    }
}

/* ---- where ---- */

static void add_list(struct flo_sql *sql, const struct flo_match *match)
{
    add(sql, " IN (");
    for (size_t i = 0; i < match->count; i++) {
        add(sql, i > 0 ? ", " : "");
        add_value(sql, match->field, &match->list[i]);
    }
    add(sql, ")");
}

static void add_among(struct flo_sql *sql, const struct flo_match *match)
{
    add(sql, match->how == FLO_MATCH_AMONG ? " IN (SELECT " : " NOT IN (SELECT ");
    add_whole_name(sql, match->among);
    add(sql, " FROM ");
    add_table(sql, flo_fields[match->among].table);
    if (match->where != 0) {
        add(sql, " WHERE ");
        add_whole_name(sql, match->where);
        add(sql, " = ");
        add_value(sql, match->where, &match->value);
    }
    add(sql, ")");
}

static void add_matches(struct flo_sql *sql, const struct flo_match *matches, size_t count)
{
    static const char *const signs[] = {" = ", " <> ", " < ", " <= ", " > ", " >= "};

    for (size_t i = 0; i < count; i++) {
        const struct flo_match *match = &matches[i];
        add(sql, i == 0 ? " WHERE " : " AND ");
        add(sql, match->is_common && sql->dialect->has_unary ? "+" : "");
        add_name(sql, match->field);
        if (match->how == FLO_MATCH_ONE_OF) {
            add_list(sql, match);
        } else if (match->how > FLO_MATCH_ONE_OF) {
            add_among(sql, match);
        } else {
            add(sql, signs[match->how]);
            add_value(sql, match->field, &match->value);
        }
    }
}

/* ---- reading ---- */

static void add_fields(struct flo_sql *sql, enum flo_table table)
{
    for (int field = flo_tables[table].first; field < flo_tables[table].end; field++) {
        add(sql, field > flo_tables[table].first ? ", " : "");
        add_name(sql, (enum flo_field)field);
    }
}

static void add_from(struct flo_sql *sql, const struct flo_query *query)
{
    add(sql, " FROM ");
    add_table(sql, query->table);
    if (query->join != 0) {
        add(sql, query->needs_joined ? " JOIN " : " LEFT JOIN ");
        add_table(sql, flo_fields[query->join].table);
        add(sql, " ON ");
        add_name(sql, query->join);
        add(sql, " = ");
        add_name(sql, query->by);
    }
    add_matches(sql, query->matches, query->match_count);
}

static void add_limit(struct flo_sql *sql, const struct flo_query *query)
{
    if (query->limit != 0 || query->offset != 0) {
        add(sql, " LIMIT ");
        add_number(sql, query->limit != 0 ? query->limit : INT64_MAX);
    }
    if (query->offset != 0) {
        add(sql, " OFFSET ");
        add_number(sql, query->offset);
    }
}

static void add_sort(struct flo_sql *sql, const struct flo_query *query,
                     const struct flo_sort *sort)
{
    const struct flo_sql_dialect *dialect = sql->dialect;
    bool may_lack = flo_fields[sort->field].table != query->table;

    add(sql, sort->is_natural ? dialect->natural : "");
    add_name(sql, sort->field);
    add(sql, sort->is_natural ? dialect->natural_end : "");
    add(sql, sort->is_down ? " DESC" : "");
    if (may_lack) {
        add(sql, sort->is_down ? dialect->last : dialect->first);
    }
    if (sort->is_natural && dialect->has_no_order) { /* 01 and 1 */
        add(sql, ", ");
        add_name(sql, sort->field);
        add(sql, sort->is_down ? " DESC" : "");
    }
}

/* Appends the keys to the order of every query, so that rows that are equal
 * otherwise have an order. */
static void add_keys(struct flo_sql *sql, const struct flo_query *query)
{
    const struct flo_table_facts *facts = &flo_tables[query->table];

    for (int key = 0; key < facts->keys; key++) {
        add(sql, key + query->sort_count == 0 ? " ORDER BY " : ", ");
        add_name(sql, (enum flo_field)(facts->first + key));
    }
}

void flo_sql_select(struct flo_sql *sql, const struct flo_query *query)
{
    begin(sql, query->join != 0);
    add(sql, "SELECT ");
    add_fields(sql, query->table);
    if (query->join != 0) {
        add(sql, ", ");
        add_fields(sql, flo_fields[query->join].table);
    }
    add_from(sql, query);
    for (size_t i = 0; i < query->sort_count; i++) {
        const struct flo_sort *sort = &query->sorts[i];
        add(sql, i == 0 ? " ORDER BY " : ", ");
        add_sort(sql, query, sort);
    }
    if (sql->dialect->has_no_order) {
        add_keys(sql, query);
    }
    add_limit(sql, query);
}

void flo_sql_count(struct flo_sql *sql, const struct flo_query *query, const enum flo_field *by,
                   size_t by_count)
{
    begin(sql, query->join != 0);
    add(sql, "SELECT ");
    for (size_t i = 0; i < by_count; i++) {
        add_name(sql, by[i]);
        add(sql, ", ");
    }
    add(sql, "count(*)");
    add_from(sql, query);
    for (size_t i = 0; i < by_count; i++) {
        add(sql, i == 0 ? " GROUP BY " : ", ");
        /* The unary + makes SQLite choose its index by the conditions and the
         * join, not by GROUP BY. */
        add(sql, query->join != 0 && sql->dialect->has_unary ? "+" : "");
        add_name(sql, by[i]);
    }
}

/* ---- changing ---- */

static void add_insert(struct flo_sql *sql, enum flo_table table,
                       const struct flo_field_change *changes, size_t count)
{
    begin(sql, false);
    add(sql, "INSERT INTO ");
    add_table(sql, table);
    for (size_t i = 0; i < count; i++) {
        add(sql, i == 0 ? " (" : ", ");
        add_word(sql, flo_fields[changes[i].field].word);
    }
    add(sql, ") VALUES ");
    for (size_t i = 0; i < count; i++) {
        add(sql, i == 0 ? "(" : ", ");
        add_parameter(sql, changes[i].field, &changes[i].value);
    }
    add(sql, ") ON CONFLICT");
}

void flo_sql_insert(struct flo_sql *sql, enum flo_table table,
                    const struct flo_field_change *changes, size_t count)
{
    add_insert(sql, table, changes, count);
    add(sql, " DO NOTHING");
}

/* Tells whether the put needs the same text as the one before, because only its
 * values differ. */
static bool is_same_put(struct flo_sql *sql, enum flo_table table,
                        const struct flo_field_change *changes, size_t count)
{
    bool is_same = sql->put_count == count && sql->table == table && count > 0;

    for (size_t i = 0; i < count && is_same; i++) {
        is_same = sql->put[i].field == changes[i].field && sql->put[i].how == changes[i].how;
    }
    for (size_t i = 0; i < count && is_same; i++) {
        sql->values[i] = value_of(changes[i].field, &changes[i].value);
    }
    return is_same;
}

static void keep_put(struct flo_sql *sql, enum flo_table table,
                     const struct flo_field_change *changes, size_t count)
{
    bool fits = count <= FLO_TABLE_FIELDS_MAX && !sql->text.failed;

    for (size_t i = 0; i < count && fits; i++) {
        sql->put[i].field = changes[i].field;
        sql->put[i].how = changes[i].how;
    }
    sql->table = table;
    sql->put_count = fits ? count : 0;
}

void flo_sql_put(struct flo_sql *sql, enum flo_table table, const struct flo_field_change *changes,
                 size_t count)
{
    const struct flo_table_facts *facts = &flo_tables[table];
    const char *before = ") DO UPDATE SET ";

    if (is_same_put(sql, table, changes, count)) {
        return;
    }
    add_insert(sql, table, changes, count);
    for (int key = 0; key < facts->keys; key++) {
        add(sql, key == 0 ? " (" : ", ");
        add_word(sql, flo_fields[facts->first + key].word);
    }
    for (size_t i = 0; i < count; i++) {
        enum flo_change_how how = changes[i].how;
        const char *word = flo_fields[changes[i].field].word;
        if ((int)changes[i].field < facts->first + facts->keys || how == FLO_CHANGE_SET_FIRST) {
            continue;
        }
        add(sql, before);
        before = ", ";
        add_word(sql, word);
        add(sql, " = ");
        if (how == FLO_CHANGE_ADD) {
            add_whole_name(sql, changes[i].field);
            add(sql, " + ");
        }
        add(sql, "excluded.");
        add_word(sql, word);
    }
    add(sql, before[0] == ')' ? ") DO NOTHING" : ""); /* a key alone */
    keep_put(sql, table, changes, count);
}

void flo_sql_update(struct flo_sql *sql, enum flo_table table,
                    const struct flo_field_change *changes, size_t count,
                    const struct flo_match *matches, size_t match_count)
{
    begin(sql, false);
    add(sql, "UPDATE ");
    add_table(sql, table);
    for (size_t i = 0; i < count; i++) {
        const char *word = flo_fields[changes[i].field].word;
        add(sql, i == 0 ? " SET " : ", ");
        add_word(sql, word);
        add(sql, " = ");
        if (changes[i].how == FLO_CHANGE_ADD) {
            add_word(sql, word);
            add(sql, " + ");
        }
        add_parameter(sql, changes[i].field, &changes[i].value);
    }
    add_matches(sql, matches, match_count);
}

void flo_sql_remove(struct flo_sql *sql, enum flo_table table, const struct flo_match *matches,
                    size_t match_count)
{
    begin(sql, false);
    add(sql, "DELETE FROM ");
    add_table(sql, table);
    add_matches(sql, matches, match_count);
}
