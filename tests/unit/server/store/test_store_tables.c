/* The seam below the store's calls: engines keep tables alike.
 *
 * Each test runs over each engine; the last one gives both the same random
 * changes and questions. */
#include "unit/server/store/store.h"

/* ---- rows of each table ---- */

static struct flo_digest digests[FLO_FIELDS];

static void changes_of(enum flo_table table, unsigned seed, struct flo_field_change *changes,
                       size_t *count, char (*texts)[32])
{
    *count = 0;
    for (int field = flo_tables[table].first; field < flo_tables[table].end; field++) {
        struct flo_field_change *change = &changes[*count];
        *change = (struct flo_field_change){.field = (enum flo_field)field};
        if (flo_fields[field].type == FLO_TYPE_SERIAL) {
            continue;
        }
        snprintf(texts[*count], 32, "it's %s %u", flo_fields[field].word, seed);
        change->value.text = texts[*count];
        change->value.number = seed * 100 + (unsigned)field;
        digests[field] = (struct flo_digest){{(uint8_t)field, (uint8_t)seed}};
        change->value.digest = &digests[field];
        (*count)++;
    }
}

static void insert(struct flo_fleet_store *store, enum flo_table table, unsigned seed,
                   bool expect_new)
{
    struct flo_field_change changes[FLO_TABLE_FIELDS_MAX];
    char texts[FLO_TABLE_FIELDS_MAX][32];
    struct flo_err err = {0};
    bool is_new = !expect_new;
    size_t count;

    changes_of(table, seed, changes, &count, texts);
    if (flo_fleet_insert(store, table, changes, count, &is_new, &err) < 0) {
        fail_msg("%s: %s", flo_tables[table].word, err.what);
    }
    assert_int_equal(is_new, expect_new);
}

struct expected {
    const struct flo_field_change *changes;
    size_t count;
    int rows;
};

static int compare_row(void *context, const struct flo_row *row)
{
    struct expected *expected = context;

    expected->rows++;
    for (size_t i = 0; i < expected->count; i++) {
        const struct flo_field_change *change = &expected->changes[i];
        struct flo_digest digest = flo_row_digest(row, change->field);
        if (flo_field_is_text(change->field)) {
            assert_string_equal(flo_row_text(row, change->field), change->value.text);
        } else if (flo_fields[change->field].type == FLO_TYPE_DIGEST) {
            assert_true(flo_digest_equal(&digest, change->value.digest));
        } else {
            assert_int_equal(flo_row_number(row, change->field), change->value.number);
        }
    }
    return 0;
}

static void each_field_of_each_table_is_read_as_it_was_written(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    begin(store);
    for (int table = 0; table < FLO_TABLES; table++) {
        struct flo_field_change changes[FLO_TABLE_FIELDS_MAX];
        char texts[FLO_TABLE_FIELDS_MAX][32];
        struct expected expected = {.changes = changes};
        struct flo_query query = {.table = (enum flo_table)table};
        insert(store, query.table, 1, true);
        insert(store, query.table, 2, true);
        insert(store, query.table, 2, false); /* keys or unique fields */
        changes_of(query.table, 2, changes, &expected.count, texts);
        query.matches[query.match_count++] =
            (struct flo_match){.field = changes[0].field, .value = changes[0].value};
        assert_int_equal(flo_fleet_find(store, &query, compare_row, &expected, &err), 0);
        assert_int_equal(expected.rows, 1);
    }
    commit(store);
}

static void what_was_not_given_is_empty(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_put(store, FLO_TABLE_OUTCOME,
                                   CHANGES(set_text(FLO_FIELD_OUTCOME_ORDER, "o-1"),
                                           set_text(FLO_FIELD_OUTCOME_DEVICE, "d-1"),
                                           set_number(FLO_FIELD_OUTCOME_OUTCOME, 2),
                                           set_number(FLO_FIELD_OUTCOME_TOOK, 3)),
                                   &err),
                     0);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) all = dump(store);
    assert_non_null(strstr(all.data, "outcome o-1 d-1 2 3 0  \n"));
}

/* ---- transactions ---- */

static void change_everything(struct flo_fleet_store *store)
{
    struct flo_err err = {0};

    for (int table = 0; table < FLO_TABLES; table++) {
        const struct flo_table_facts *facts = &flo_tables[table];
        enum flo_field last = (enum flo_field)(facts->end - 1);
        static const struct flo_digest digest = {{9}};
        struct flo_field_change change = {
            .field = last, .value = {.text = "changed", .number = 9, .digest = &digest}};
        /* rows of a form differ in their last field, as in a key */
        bool is_key = facts->end - facts->first == facts->keys || table == FLO_TABLE_EVENT_FORM;
        insert(store, (enum flo_table)table, 3, true);
        assert_true(is_key || flo_fleet_update(store, (enum flo_table)table, &change, 1, NULL, 0,
                                               NULL, &err) == 0);
        insert(store, (enum flo_table)table, 4, true);
        struct flo_match first = {.field = (enum flo_field)facts->first,
                                  .how = FLO_MATCH_FROM,
                                  .value = {.text = "", .number = 3}};
        assert_int_equal(flo_fleet_remove(store, (enum flo_table)table, &first, 1, NULL, &err), 0);
        insert(store, (enum flo_table)table, 5, true);
    }
}

static void what_is_cancelled_never_was(void **state)
{
    struct flo_fleet_store *store = store_of(state);

    store->seals.has_key = false; /* a commit would write the sums of seals */
    begin(store);
    for (int table = 0; table < FLO_TABLES; table++) {
        insert(store, (enum flo_table)table, 1, true);
        insert(store, (enum flo_table)table, 2, true);
    }
    commit(store);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) before = dump(store);
    for (int turn = 0; turn < 2; turn++) {
        begin(store);
        change_everything(store);
        struct flo_buf FLO_CLEANUP(flo_buf_deinit) within = dump(store);
        assert_string_not_equal(within.data, before.data);
        flo_fleet_roll_back(store);
        struct flo_buf FLO_CLEANUP(flo_buf_deinit) after = dump(store);
        assert_string_equal(after.data, before.data);
    }
    begin(store);
    change_everything(store);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) within = dump(store);
    commit(store);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) kept = dump(store);
    assert_string_equal(kept.data, within.data);
}

/* Behind the end of a transaction, whichever it was. */
static void a_change_outside_a_transaction_is_never_cancelled(void **state)
{
    struct flo_fleet_store *store = store_of(state);

    for (unsigned turn = 0; turn < 2; turn++) {
        begin(store);
        if (turn == 0) {
            commit(store);
        } else {
            flo_fleet_roll_back(store);
        }
        insert(store, FLO_TABLE_SETTING, 1 + turn, true);
        struct flo_buf FLO_CLEANUP(flo_buf_deinit) before = dump(store);
        begin(store);
        flo_fleet_roll_back(store);
        struct flo_buf FLO_CLEANUP(flo_buf_deinit) after = dump(store);
        assert_string_equal(after.data, before.data);
    }
}

static int remove_all(void *context, const struct flo_row *row)
{
    struct flo_fleet_store *store = context;
    struct flo_err err = {0};
    char before[32];

    snprintf(before, sizeof(before), "%s", flo_row_text(row, FLO_FIELD_SETTING_NAME));
    assert_int_equal(flo_fleet_remove(store, FLO_TABLE_SETTING, NULL, 0, NULL, &err), 0);
    for (unsigned i = 10; i < 20; i++) { /* some get the room of a row */
        insert(store, FLO_TABLE_SETTING, i, true);
    }
    assert_string_equal(flo_row_text(row, FLO_FIELD_SETTING_NAME), before);
    return FLO_E_ABSENT; /* enough was seen */
}

static void a_row_that_is_shown_stays_until_the_listing_ends(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_query query = {.table = FLO_TABLE_SETTING};
    struct flo_err err = {0};

    begin(store);
    insert(store, FLO_TABLE_SETTING, 1, true);
    commit(store);
    assert_int_equal(flo_fleet_find(store, &query, remove_all, store, &err), FLO_E_ABSENT);
}

/* ---- both alike ---- */

static uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525u + 1013904223u;
    return *random >> 8;
}

static const char *text_of(uint32_t random)
{
    static const char *const texts[] = {"", "a", "a2", "a10", "b", "it's", "z"};

    return texts[random % FLO_COUNT(texts)];
}

static struct flo_value random_value(enum flo_field field, uint32_t *random)
{
    static const char *const words[] = {"running", "paused", "completed"};
    uint32_t number = next_random(random);

    return (struct flo_value){.text = flo_fields[field].type == FLO_TYPE_WORD
                                          ? words[number % FLO_COUNT(words)]
                                          : text_of(number),
                              .number = number % 6};
}

static enum flo_field random_field(enum flo_table table, int from, uint32_t *random)
{
    int first = flo_tables[table].first + from;

    return (enum flo_field)(first +
                            (int)(next_random(random) % (uint32_t)(flo_tables[table].end - first)));
}

static struct flo_match random_match(enum flo_table table, uint32_t *random)
{
    static struct flo_value list[3];
    enum flo_field field = random_field(table, 0, random);
    struct flo_match match = {
        .field = field,
        .how = (enum flo_match_how)(next_random(random) % (FLO_MATCH_ONE_OF + 1)),
        .value = random_value(field, random)};

    if (match.how == FLO_MATCH_ONE_OF) {
        match.list = list;
        match.count = FLO_COUNT(list);
        for (size_t i = 0; i < FLO_COUNT(list); i++) {
            list[i] = random_value(field, random);
        }
    }
    return match;
}

/* Changes by the same random numbers, on either engine. */
static void change_at_random(struct flo_fleet_store *store, uint32_t random, struct flo_buf *out)
{
    static const enum flo_table tables[] = {FLO_TABLE_MEMBER, FLO_TABLE_ORDER, FLO_TABLE_OUTCOME};
    enum flo_table table = tables[next_random(&random) % FLO_COUNT(tables)];
    struct flo_field_change changes[FLO_TABLE_FIELDS_MAX];
    struct flo_match matches[2];
    struct flo_err err = {0};
    uint64_t changed = 0;
    bool is_new = false;
    size_t count = 0;
    int rv;

    for (int field = flo_tables[table].first; field < flo_tables[table].end; field++) {
        changes[count++] = (struct flo_field_change){
            .field = (enum flo_field)field, .value = random_value((enum flo_field)field, &random)};
    }
    enum flo_field some = random_field(table, flo_tables[table].keys, &random);
    struct flo_field_change one = {.field = some, .value = random_value(some, &random)};
    if (!flo_field_is_text(some)) {
        one.how = (enum flo_change_how)(next_random(&random) % FLO_CHANGE_SET_FIRST);
    }
    matches[0] = random_match(table, &random);
    matches[1] = number_is(FLO_FIELD_COUNTER_VALUE, 0);
    switch (next_random(&random) % 6) {
    case 0:
    case 1:
        rv = flo_fleet_insert(store, table, changes, count, &is_new, &err);
        break;
    case 2:
        changes[count - 1].how = (enum flo_change_how)(
            flo_field_is_text(changes[count - 1].field) ? FLO_CHANGE_SET_FIRST : FLO_CHANGE_ADD);
        rv = flo_fleet_put(store, table, changes, count, &err);
        break;
    case 3:
    case 4:
        rv = flo_fleet_update(store, table, &one, 1, matches, 1, &changed, &err);
        break;
    default:
        matches[1] = random_match(table, &random);
        rv = flo_fleet_remove(store, table, matches, 2, &changed, &err);
        break;
    }
    if (rv < 0) {
        fail_msg("%s", err.what);
    }
    flo_buf_printf(out, "%d %d\n", is_new, (int)changed);
}

static int count_row(void *context, const struct flo_row *row, uint64_t count)
{
    flo_buf_printf(context, "%s %d: %d\n", flo_row_text(row, FLO_FIELD_MEMBER_STATE),
                   (int)flo_row_number(row, FLO_FIELD_ORDER_PHASE), (int)count);
    return 0;
}

static int ask_row(void *context, const struct flo_row *row)
{
    dump_row(context, row);
    flo_buf_printf(context, "+ %s %d\n", flo_row_text(row, FLO_FIELD_ORDER_ROLLOUT),
                   (int)flo_row_number(row, FLO_FIELD_ORDER_PHASE));
    return 0;
}

/* Members with an order of their id: joins, sorts, limits, groups. */
static void ask_at_random(struct flo_fleet_store *store, uint32_t random, struct flo_buf *out)
{
    struct flo_query query = {
        .table = FLO_TABLE_MEMBER, .join = FLO_FIELD_ORDER_ID, .by = FLO_FIELD_MEMBER_DEVICE};
    struct flo_err err = {0};

    query.needs_joined = next_random(&random) % 2;
    query.matches[query.match_count++] = random_match(FLO_TABLE_MEMBER, &random);
    if (next_random(&random) % 2) {
        query.matches[query.match_count++] = random_match(FLO_TABLE_ORDER, &random);
    }
    if (next_random(&random) % 2) {
        query.matches[query.match_count++] = (struct flo_match){
            .field = FLO_FIELD_MEMBER_DEVICE,
            .how = next_random(&random) % 2 ? FLO_MATCH_AMONG : FLO_MATCH_NOT_AMONG,
            .among = FLO_FIELD_OUTCOME_DEVICE,
            .where = next_random(&random) % 2 ? FLO_FIELD_OUTCOME_ORDER : 0,
            .value.text = text_of(next_random(&random))};
    }
    query.sorts[query.sort_count++] = (struct flo_sort){
        .field = random_field(FLO_TABLE_MEMBER, 0, &random), .is_down = next_random(&random) % 2};
    query.sorts[query.sort_count++] = (struct flo_sort){
        .field = next_random(&random) % 2 ? FLO_FIELD_MEMBER_ROLLOUT : FLO_FIELD_ORDER_ROLLOUT,
        .is_natural = true};
    query.sorts[query.sort_count++] = (struct flo_sort)UP(MEMBER_DEVICE);
    query.sorts[query.sort_count++] = (struct flo_sort)UP(MEMBER_ROLLOUT);
    query.limit = next_random(&random) % 5;
    query.offset = next_random(&random) % 3;
    if (flo_fleet_find(store, &query, ask_row, out, &err) < 0) {
        fail_msg("%s", err.what);
    }
    query.sort_count = 0;
    query.limit = query.offset = 0;
    if (flo_fleet_count(store, &query, NULL, 0, count_row, out, &err) < 0) {
        fail_msg("%s", err.what);
    }
}

static void fail_at(const char *memory, const char *other)
{
    size_t line = 0;

    for (size_t i = 0; memory[i] == other[i] && memory[i] != '\0'; i++) {
        line = memory[i] == '\n' ? i + 1 : line;
    }
    fail_msg("memory: %.200s\nother: %.200s", memory + line, other + line);
}

static void engines_answer_alike_whatever_is_changed_and_asked(void **state)
{
    (void)state;
    void *memory;
    void *other;
    uint32_t random = 17;

    in_memory(&memory);
    IN_OTHER(&other);
    struct flo_fleet_store *stores[] = {store_of(&memory), store_of(&other)};
    for (size_t i = 0; i < 2; i++) { /* what an engine noted for itself */
        assert_int_equal(flo_fleet_remove(stores[i], FLO_TABLE_SETTING, NULL, 0, NULL, NULL), 0);
    }
    for (int turn = 0; turn < 60; turn++) {
        struct flo_buf all[2] = {0};
        uint32_t seed = next_random(&random);
        for (size_t i = 0; i < 2; i++) {
            uint32_t step = seed;
            begin(stores[i]);
            for (int change = 0; change < 30; change++) {
                change_at_random(stores[i], next_random(&step), &all[i]);
                ask_at_random(stores[i], next_random(&step), &all[i]);
            }
            if (turn % 4 == 3) {
                flo_fleet_roll_back(stores[i]);
            } else {
                commit(stores[i]);
            }
            struct flo_buf FLO_CLEANUP(flo_buf_deinit) rows = dump(stores[i]);
            flo_buf_text(&all[i], rows.data);
        }
        if (strcmp(all[0].data, all[1].data) != 0) {
            fail_at(all[0].data, all[1].data);
        }
        flo_buf_deinit(&all[0]);
        flo_buf_deinit(&all[1]);
    }
    close_store(&memory);
    close_store(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_ALL(each_field_of_each_table_is_read_as_it_was_written),
        OVER_ALL(what_was_not_given_is_empty),
        OVER_ALL(what_is_cancelled_never_was),
        OVER_ALL(a_change_outside_a_transaction_is_never_cancelled),
        cmocka_unit_test_setup_teardown(a_row_that_is_shown_stays_until_the_listing_ends, in_memory,
                                        close_store),
        cmocka_unit_test(engines_answer_alike_whatever_is_changed_and_asked),
    };
    return run_over_all("store", tests, FLO_COUNT(tests));
}
