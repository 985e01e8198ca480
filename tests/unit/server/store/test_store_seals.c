/* Rows that give rights, over every engine: one that the controller did not
 * write is none. */
#include <flotilla/errors/keys.h>

#include "unit/server/store/store.h"

static const uint8_t key[FLO_DIGEST_BYTES] = {1};
static const struct flo_fleet_token token = {.id = "t1",
                                             .kind = "access",
                                             .name = "ab",
                                             .role = "c",
                                             .group = "",
                                             .person = "mira",
                                             .secret = {.bytes = {7}},
                                             .created_at_ms = 5,
                                             .expires_at_ms = 9};

static int ignore_token(void *context, const struct flo_fleet_token *one)
{
    (void)context, (void)one;
    return 0;
}

static int ignore_person(void *context, const struct flo_fleet_person *one)
{
    (void)context, (void)one;
    return 0;
}

static void add_both(struct flo_fleet_store *store)
{
    const struct flo_fleet_person person = {.name = "mira", .role = "viewer", .created_at_ms = 5};
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_token_add(store, &token, &err), 0);
    assert_int_equal(flo_fleet_person_put(store, &person, &err), 0);
}

static bool has_token(struct flo_fleet_store *store)
{
    struct flo_err err = {0};
    int rv = flo_fleet_token_get(store, NULL, &token.secret, ignore_token, NULL, &err);

    assert_true(rv == 0 || rv == FLO_E_ABSENT);
    return rv == 0;
}

static bool has_person(struct flo_fleet_store *store)
{
    struct flo_err err = {0};
    int rv = flo_fleet_person_get(store, "mira", ignore_person, NULL, &err);

    assert_true(rv == 0 || rv == FLO_E_ABSENT);
    return rv == 0;
}

/* As whoever writes to the database does it, and back. */
static void change(struct flo_fleet_store *store, struct flo_field_change to)
{
    enum flo_table table = flo_fields[to.field].table;
    enum flo_field name = (enum flo_field)flo_tables[table].first;
    const char *is = table == FLO_TABLE_TOKEN ? "t1" : "mira";
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_update(store, table, &to, 1, MATCHES(text_is(name, is)), NULL, &err),
                     0);
}

static void a_row_with_another_field_is_not_there(void **state)
{
    static const struct flo_digest secret = {.bytes = {7}};
    const struct flo_field_change changes[][2] = {
        {set_text(FLO_FIELD_TOKEN_KIND, "enroll"), set_text(FLO_FIELD_TOKEN_KIND, "access")},
        {set_text(FLO_FIELD_TOKEN_NAME, "a"), set_text(FLO_FIELD_TOKEN_NAME, "ab")},
        {set_text(FLO_FIELD_TOKEN_ROLE, "admin"), set_text(FLO_FIELD_TOKEN_ROLE, "c")},
        {set_text(FLO_FIELD_TOKEN_GROUP, "all"), set_text(FLO_FIELD_TOKEN_GROUP, "")},
        {set_text(FLO_FIELD_TOKEN_PERSON, ""), set_text(FLO_FIELD_TOKEN_PERSON, "mira")},
        {set_number(FLO_FIELD_TOKEN_CREATED_AT, 6), set_number(FLO_FIELD_TOKEN_CREATED_AT, 5)},
        {set_number(FLO_FIELD_TOKEN_EXPIRES_AT, 0), set_number(FLO_FIELD_TOKEN_EXPIRES_AT, 9)},
        {set_text(FLO_FIELD_PERSON_ROLE, "admin"), set_text(FLO_FIELD_PERSON_ROLE, "viewer")},
        {set_number(FLO_FIELD_PERSON_DISABLED, 1), set_number(FLO_FIELD_PERSON_DISABLED, 0)},
        {set_number(FLO_FIELD_PERSON_CREATED_AT, 6), set_number(FLO_FIELD_PERSON_CREATED_AT, 5)},
    };
    struct flo_fleet_store *store = store_of(state);
    char what[FLO_FLEET_UNSEALED_TEXT];
    uint64_t right, wrong;
    struct flo_err err = {0};

    add_both(store);
    for (size_t i = 0; i < FLO_COUNT(changes); i++) {
        bool is_token = flo_fields[changes[i][0].field].table == FLO_TABLE_TOKEN;
        assert_true(has_token(store) && has_person(store));
        change(store, changes[i][0]);
        assert_int_equal(has_token(store), !is_token);
        assert_int_equal(has_person(store), is_token);
        assert_int_equal(flo_fleet_seals_count(store, &right, &wrong, &err), 0);
        assert_true(right == 1 && wrong == 1);
        assert_true(flo_fleet_unsealed(store, what)); /* met twice, told once */
        assert_string_equal(what, is_token ? "token t1" : "user mira");
        assert_false(flo_fleet_unsealed(store, what));
        change(store, changes[i][1]);
    }
    /* A byte that goes from one field to the next is seen. */
    change(store, set_text(FLO_FIELD_TOKEN_NAME, "a"));
    change(store, set_text(FLO_FIELD_TOKEN_ROLE, "bc"));
    assert_false(has_token(store));
    change(store, set_text(FLO_FIELD_TOKEN_NAME, "ab"));
    change(store, set_text(FLO_FIELD_TOKEN_ROLE, "c"));
    change(store, set_number(FLO_FIELD_TOKEN_USED_AT, 77));
    change(store, set_number(FLO_FIELD_TOKEN_USES, 77));
    assert_true(has_token(store));
    change(store, set_digest(FLO_FIELD_TOKEN_SECRET, &(struct flo_digest){.bytes = {8}}));
    assert_int_equal(flo_fleet_token_get(store, "t1", NULL, ignore_token, NULL, &err),
                     FLO_E_ABSENT);
    change(store, set_digest(FLO_FIELD_TOKEN_SECRET, &secret));
    assert_true(has_token(store));
}

static void a_row_of_another_fleet_or_key_is_not_there(void **state)
{
    static const uint8_t other[FLO_DIGEST_BYTES] = {2};
    struct flo_fleet_store *store = store_of(state);

    add_both(store);
    flo_fleet_seal_with(store, other, "test");
    assert_false(has_token(store) || has_person(store));
    flo_fleet_seal_with(store, key, "tes");
    assert_false(has_token(store) || has_person(store));
    flo_fleet_seal_with(store, key, "test");
    assert_true(has_token(store) && has_person(store));
}

static void without_the_key_nobody_has_a_right_and_nobody_gets_one(void **state)
{
    static const struct flo_fleet_person person = {.name = "noor", .role = "admin"};
    struct flo_fleet_store *store = store_of(state);
    struct flo_fleet_token more = token;
    struct flo_err err = {0};

    add_both(store);
    more.id = "t2";
    store->seals.has_key = false;
    assert_int_equal(flo_fleet_token_add(store, &more, &err), FLO_E_KEYS_ABSENT);
    assert_int_equal(flo_fleet_person_put(store, &person, &err), FLO_E_KEYS_ABSENT);
    assert_false(has_token(store) || has_person(store));
    change(store, set_text(FLO_FIELD_TOKEN_SEAL, ""));
    assert_false(has_token(store)); /* nor is no seal the right one */
}

static void rows_are_sealed_as_they_stand_there(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    uint64_t right, wrong, count;

    add_both(store);
    change(store, set_text(FLO_FIELD_TOKEN_SEAL, ""));
    change(store, set_text(FLO_FIELD_PERSON_SEAL, "x"));
    begin(store);
    assert_int_equal(flo_fleet_seal_all(store, &count, &err), 0);
    commit(store);
    assert_int_equal(count, 2);
    assert_true(has_token(store) && has_person(store));
    assert_int_equal(flo_fleet_seals_count(store, &right, &wrong, &err), 0);
    assert_true(right == 2 && wrong == 0);
}

static int take_mark(void *context, const struct flo_fleet_person *person)
{
    *(struct flo_fleet_person *)context = *person;
    return 0;
}

static void a_changed_person_is_right_and_as_old_as_before(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_fleet_person person = {.name = "mira", .role = "operator"};
    struct flo_err err = {0};

    add_both(store);
    assert_int_equal(flo_fleet_person_put(store, &person, &err), 0);
    assert_int_equal(flo_fleet_person_get(store, "mira", take_mark, &person, &err), 0);
    assert_true(person.is_sealed);
    assert_int_equal(person.created_at_ms, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_ALL(a_row_with_another_field_is_not_there),
        OVER_ALL(a_row_of_another_fleet_or_key_is_not_there),
        OVER_ALL(without_the_key_nobody_has_a_right_and_nobody_gets_one),
        OVER_ALL(rows_are_sealed_as_they_stand_there),
        OVER_ALL(a_changed_person_is_right_and_as_old_as_before),
    };
    return run_over_all("store", tests, FLO_COUNT(tests));
}
