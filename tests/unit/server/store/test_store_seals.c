/* Rows that give rights, over every engine: one that the controller did not
 * write is none. */
#include <flotilla/errors/keys.h>

#include "server-stub/store/fleet.h"
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

    assert_int_equal(store->engine->ops->update(store->engine, table, &to, 1,
                                                MATCHES(text_is(name, is)), NULL, &err),
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
    assert_int_equal(flo_fleet_seal_all(store, true, &count, &err), 0);
    commit(store);
    assert_int_equal(count, 2);
    assert_true(has_token(store) && has_person(store));
    struct flo_fleet_token more = token;
    more.id = "t2";
    more.secret.bytes[0] = 8;
    assert_int_equal(flo_fleet_token_add(store, &more, &err), 0);
    assert_int_equal(flo_fleet_seals_count(store, &right, &wrong, &err), 0);
    assert_true(right == 3 && wrong == 0);
    assert_int_equal(store->seals.count, 0); /* nothing is gone or old */
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

/* ---- each kind, in each way ---- */

/* Ways to change a row by hand while the controller is stopped. */
enum act { CHANGED, DELETED, OLDER, OTHERS, ACTS };
static const char *const acts[] = {"changed", "deleted", "older", "another fleet's"};

/* A kind: a row of it, and how the controller changes the row. */
static const struct kind {
    const char *word, *key;
    enum flo_sealed_kind kind;
    enum flo_table table;
    struct flo_field_change made[6]; /* the key first; ends with the field 0 */
    struct flo_field_change later, forged;
} table[] = {
    {"token",
     "t1",
     FLO_SEALED_TOKEN,
     FLO_TABLE_TOKEN,
     {{.field = FLO_FIELD_TOKEN_ID, .value.text = "t1"},
      {.field = FLO_FIELD_TOKEN_ROLE, .value.text = "admin"}},
     {.field = FLO_FIELD_TOKEN_ROLE, .value.text = "viewer"},
     {.field = FLO_FIELD_TOKEN_ROLE, .value.text = "admin"}},
    {"user",
     "mira",
     FLO_SEALED_PERSON,
     FLO_TABLE_PERSON,
     {{.field = FLO_FIELD_PERSON_NAME, .value.text = "mira"},
      {.field = FLO_FIELD_PERSON_ROLE, .value.text = "admin"}},
     {.field = FLO_FIELD_PERSON_DISABLED, .value.number = 1},
     {.field = FLO_FIELD_PERSON_DISABLED, .value.number = 0}},
    {"group",
     "prod",
     FLO_SEALED_GROUP,
     FLO_TABLE_GROUP,
     {{.field = FLO_FIELD_GROUP_NAME, .value.text = "prod"},
      {.field = FLO_FIELD_GROUP_SELECTOR, .value.text = "site=lab"}},
     {.field = FLO_FIELD_GROUP_SELECTOR, .value.text = "site=shop"},
     {.field = FLO_FIELD_GROUP_PRIORITY, .value.number = 900}},
    {"device",
     DEVICE,
     FLO_SEALED_DEVICE,
     FLO_TABLE_DEVICE,
     {{.field = FLO_FIELD_DEVICE_ID, .value.text = DEVICE},
      {.field = FLO_FIELD_DEVICE_NAME, .value.text = "a"},
      {.field = FLO_FIELD_DEVICE_GROUPS, .value.text = "[\"all\"]"}},
     {.field = FLO_FIELD_DEVICE_GROUPS, .value.text = "[\"all\",\"prod\"]"},
     {.field = FLO_FIELD_DEVICE_PINS, .value.text = "{\"m\":\"m@1\"}"}},
    {"certificate",
     "0a",
     FLO_SEALED_CERTIFICATE,
     FLO_TABLE_CERTIFICATE,
     {{.field = FLO_FIELD_CERTIFICATE_SERIAL, .value.text = "0a"},
      {.field = FLO_FIELD_CERTIFICATE_KEY, .value.text = "theirs"},
      {.field = FLO_FIELD_CERTIFICATE_STATE, .value.text = "held"},
      {.field = FLO_FIELD_CERTIFICATE_UNTIL, .value.number = 9}},
     {.field = FLO_FIELD_CERTIFICATE_STATE, .value.text = "issued"},
     {.field = FLO_FIELD_CERTIFICATE_KEY, .value.text = "mine"}},
#define SETTING_ROW(kind, name, later, forged)                                                     \
    {                                                                                              \
        "setting", name, FLO_SEALED_##kind, FLO_TABLE_SETTING,                                     \
            {{.field = FLO_FIELD_SETTING_NAME, .value.text = name},                                \
             {.field = FLO_FIELD_SETTING_VALUE, .value.text = "{}"}},                              \
            {.field = FLO_FIELD_SETTING_VALUE, .value.text = later},                               \
        {                                                                                          \
            .field = FLO_FIELD_SETTING_VALUE, .value.text = forged                                 \
        }                                                                                          \
    }
    SETTING_ROW(RULES, "rules", "{\"approvals\":[]}", "{ }"),
    SETTING_ROW(CLAIMS, "claims", "refuse", "open"),
    SETTING_ROW(UNPROVED, "unproved", "refuse", "take"),
};
/* Each kind of sealed.def has a row above. */
_Static_assert(FLO_COUNT(table) == FLO_SEALED_KINDS, "a kind without a test");

/* A copy of a row, to be put back. */
struct copy {
    struct flo_field_change fields[FLO_TABLE_FIELDS_MAX];
    struct flo_digest digest;
    size_t count;
};

static int take_copy(void *context, const struct flo_row *row)
{
    struct copy *copy = context;
    int first = flo_tables[row->table].first;

    copy->count = 0;
    for (int field = first; field < flo_tables[row->table].end; field++) {
        struct flo_field_change *one = &copy->fields[copy->count++];
        *one = (struct flo_field_change){.field = (enum flo_field)field,
                                         .value = row->values[field - first]};
        if (flo_field_is_text(one->field)) {
            one->value.text = strdup(flo_row_text(row, one->field));
        } else if (flo_fields[field].type == FLO_TYPE_DIGEST) {
            copy->digest = flo_row_digest(row, one->field);
            one->value.digest = &copy->digest;
        }
    }
    return 0;
}

static void copy_free(struct copy *copy)
{
    for (size_t i = 0; i < copy->count; i++) {
        if (flo_field_is_text(copy->fields[i].field)) {
            free((void *)(uintptr_t)copy->fields[i].value.text);
        }
    }
}

static struct flo_match key_is(const struct kind *kind)
{
    return text_is(kind->made[0].field, kind->key);
}

static void copy_row(struct flo_fleet_store *store, const struct kind *kind, struct copy *out)
{
    struct flo_err err = {0};
    bool found;

    assert_int_equal(
        flo_fleet_find_one(store, (struct flo_query){.table = kind->table, WHERE(key_is(kind))},
                           take_copy, out, &found, &err),
        0);
    assert_true(found);
}

/* Puts the whole row: fields that the kind does not name are empty. */
static int put_made(struct flo_fleet_store *store, const struct kind *kind, struct flo_err *err)
{
    static const struct flo_digest none;
    struct flo_field_change all[FLO_TABLE_FIELDS_MAX];
    int first = flo_tables[kind->table].first;
    size_t count = 0;

    for (int field = first; field < flo_tables[kind->table].end; field++) {
        if (strcmp(flo_fields[field].word, "seal") != 0) {
            all[count++] = (struct flo_field_change){.field = (enum flo_field)field,
                                                     .value = {.text = "", .digest = &none}};
        }
    }
    for (size_t i = 0; i < FLO_COUNT(kind->made) && (i == 0 || kind->made[i].field != 0); i++) {
        all[(int)kind->made[i].field - first] = kind->made[i];
    }
    return flo_fleet_put(store, kind->table, all, count, err);
}

static void make(struct flo_fleet_store *store, const struct kind *kind, bool is_later)
{
    struct flo_field_change changes[] = {kind->made[0], kind->later};
    struct flo_err err = {0};

    begin(store);
    if (!is_later) {
        assert_int_equal(put_made(store, kind, &err), 0);
    } else if (kind->table == FLO_TABLE_SETTING) {
        assert_int_equal(flo_fleet_put(store, kind->table, changes, 2, &err), 0);
    } else {
        assert_int_equal(flo_fleet_update(store, kind->table, &kind->later, 1,
                                          MATCHES(key_is(kind)), NULL, &err),
                         0);
    }
    commit(store);
}

static int ignore_certificate(void *context, const struct flo_fleet_certificate *one)
{
    (void)context, (void)one;
    return 0;
}

/* As a controller does it at its start. */
static void start_again(struct flo_fleet_store *store, const uint8_t *with, const char *fleet)
{
    static const enum flo_certificate_state states[] = {FLO_CERTIFICATE_HELD,
                                                        FLO_CERTIFICATE_ISSUED};
    uint64_t right, wrong;
    struct flo_err err = {0};

    memset(&store->seals, 0, sizeof(store->seals));
    flo_fleet_seal_with(store, with, fleet);
    assert_int_equal(flo_fleet_seals_open(store, &right, &wrong, &err), 0);
    assert_int_equal(flo_fleet_certificate_each(store, states, FLO_COUNT(states), 0,
                                                ignore_certificate, NULL, &err),
                     0);
    assert_int_equal(flo_fleet_device_index_load(store, &err), 0);
}

static bool is_told(struct flo_fleet_store *store, const char *wanted)
{
    char what[FLO_FLEET_UNSEALED_TEXT];
    bool is_there = false;

    while (flo_fleet_unsealed(store, what)) {
        is_there = is_there || strcmp(what, wanted) == 0;
    }
    return is_there;
}

static void play(struct flo_fleet_store *store, const struct kind *kind, enum act act)
{
    const struct flo_match match = key_is(kind);
    const struct flo_store_ops *ops = store->engine->ops;
    char row[FLO_FLEET_UNSEALED_TEXT], gone[FLO_FLEET_UNSEALED_TEXT];
    struct copy old = {.count = 0};
    struct flo_err err = {0};
    uint64_t changed;

    start_again(store, key, "other");
    make(store, kind, false);
    if (act == OTHERS) {
        copy_row(store, kind, &old);
        begin(store); /* the other fleet's rows are elsewhere */
        assert_int_equal(ops->remove(store->engine, kind->table, &match, 1, &changed, &err), 0);
        assert_int_equal(ops->remove(store->engine, FLO_TABLE_SETTING,
                                     MATCHES(text_is(FLO_FIELD_SETTING_NAME, "seals")), &changed,
                                     &err),
                         0);
        commit(store);
        start_again(store, key, "test");
        make(store, kind, false);
    } else {
        begin(store);
        uint64_t count;
        flo_fleet_seal_with(store, key, "test");
        assert_int_equal(flo_fleet_seal_all(store, true, &count, &err), 0);
        commit(store);
        copy_row(store, kind, &old);
    }
    make(store, kind, true);
    start_again(store, key, "test");
    assert_false(flo_fleet_doubts(store, kind->kind));
    assert_int_equal(store->seals.count, 0);
    begin(store);
    switch (act) {
    case CHANGED:
        assert_int_equal(
            ops->update(store->engine, kind->table, &kind->forged, 1, &match, 1, &changed, &err),
            0);
        break;
    case DELETED:
        assert_int_equal(ops->remove(store->engine, kind->table, &match, 1, &changed, &err), 0);
        break;
    default:
        assert_int_equal(ops->put(store->engine, kind->table, old.fields, old.count, &err), 0);
    }
    commit(store);
    start_again(store, key, "test");
    /* then */
    snprintf(row, sizeof(row), "%s %s", kind->word, kind->key);
    snprintf(gone, sizeof(gone), "%s %s", kind->word,
             kind->table == FLO_TABLE_SETTING ? "" : "rows (some are gone or old)");
    if (kind->table == FLO_TABLE_SETTING) {
        snprintf(gone, sizeof(gone), "setting %s (the row is gone or old)", kind->key);
    }
    bool is_row = act == CHANGED || act == OTHERS;
    bool doubts = flo_fleet_doubts(store, kind->kind);
    if (!is_told(store, is_row ? row : gone) || !doubts) {
        fail_msg("%s %s: not told, or doubts %d", kind->word, acts[act], doubts);
    }
    /* A later commit of the controller takes no doubt away. */
    begin(store);
    assert_int_equal(flo_fleet_setting_set(store, "claims", "wait", &err), 0);
    commit(store);
    start_again(store, key, "test");
    if (kind->kind != FLO_SEALED_CLAIMS) {
        assert_int_equal(flo_fleet_doubts(store, kind->kind), doubts);
    }
    /* But somebody who has looked does. */
    begin(store);
    uint64_t count;
    assert_int_equal(flo_fleet_seal_all(store, true, &count, &err), 0);
    commit(store);
    start_again(store, key, "test");
    assert_false(flo_fleet_doubts(store, kind->kind));
    begin(store);
    for (int one = 0; one < FLO_TABLES; one++) {
        assert_int_equal(ops->remove(store->engine, (enum flo_table)one, NULL, 0, &changed, &err),
                         0);
    }
    commit(store);
    copy_free(&old);
}

static void every_kind_of_row_that_was_changed_by_hand_is_told(void **state)
{
    struct flo_fleet_store *store = store_of(state);

    for (size_t i = 0; i < FLO_COUNT(table); i++) {
        for (int act = 0; act < ACTS; act++) {
            play(store, &table[i], (enum act)act);
        }
    }
}

static void older_sums_are_no_way_around(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    const struct kind *rules = &table[FLO_SEALED_RULES];
    struct copy row, sums;
    struct kind sums_kind = *rules;
    struct flo_err err = {0};

    start_again(store, key, "test");
    sums_kind.key = "seals";
    make(store, rules, false);
    copy_row(store, rules, &row);
    copy_row(store, &sums_kind, &sums);
    make(store, rules, true);
    uint64_t number = flo_fleet_seals_number(store); /* as the audit's head says */
    begin(store);
    assert_int_equal(
        store->engine->ops->put(store->engine, FLO_TABLE_SETTING, row.fields, row.count, &err), 0);
    assert_int_equal(
        store->engine->ops->put(store->engine, FLO_TABLE_SETTING, sums.fields, sums.count, &err),
        0);
    commit(store);
    start_again(store, key, "test");
    assert_false(flo_fleet_doubts(store, FLO_SEALED_RULES));
    assert_true(flo_fleet_seals_were(store, number));
    assert_true(flo_fleet_doubts(store, FLO_SEALED_RULES));
    /* A commit and a start later too. */
    begin(store);
    assert_int_equal(flo_fleet_setting_set(store, "claims", "wait", &err), 0);
    commit(store);
    start_again(store, key, "test");
    assert_true(flo_fleet_doubts(store, FLO_SEALED_RULES));
    assert_false(flo_fleet_seals_were(store, number));
    copy_free(&row);
    copy_free(&sums);
}

static void a_roll_back_takes_no_sum_along(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    start_again(store, key, "test");
    make(store, &table[FLO_SEALED_GROUP], false);
    begin(store);
    assert_int_equal(flo_fleet_setting_set(store, "rules", "{}", &err), 0);
    flo_fleet_roll_back(store);
    make(store, &table[FLO_SEALED_GROUP], true);
    start_again(store, key, "test");
    assert_int_equal(store->seals.count, 0);
}

static void an_update_seals_no_row_that_somebody_else_wrote(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    const struct kind *device = &table[FLO_SEALED_DEVICE];
    struct flo_err err = {0};

    start_again(store, key, "test");
    make(store, device, false);
    assert_int_equal(store->engine->ops->update(store->engine, device->table, &device->forged, 1,
                                                MATCHES(key_is(device)), NULL, &err),
                     0);
    make(store, device, true);
    start_again(store, key, "test");
    assert_true(is_told(store, "device " DEVICE));
}

/* So a forged row holds more than its own device: what else is old shows nowhere. */
static void a_forged_device_hides_that_another_one_is_old(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    const struct flo_store_ops *ops = store->engine->ops;
    const struct kind *device = &table[FLO_SEALED_DEVICE];
    struct kind other = *device;
    struct flo_err err = {0};
    struct copy old;

    other.key = other.made[0].value.text = "22222222-2222-4222-8222-222222222222";
    other.made[1].value.text = "b";
    start_again(store, key, "test");
    make(store, device, false);
    make(store, &other, false);
    copy_row(store, &other, &old);
    make(store, &other, true);
    for (int is_old = 0; is_old < 2; is_old++) {
        begin(store);
        assert_int_equal(ops->update(store->engine, device->table, &device->forged, 1,
                                     MATCHES(key_is(device)), NULL, &err),
                         0);
        if (is_old) {
            assert_int_equal(ops->put(store->engine, other.table, old.fields, old.count, &err), 0);
        }
        commit(store);
        start_again(store, key, "test");
        assert_int_equal(store->seals.count, 2);
        assert_string_equal(store->seals.met[0], "device " DEVICE);
        assert_string_equal(store->seals.met[1], "device rows (some are gone or old)");
        assert_true(flo_fleet_doubts_rules(store));
    }
    copy_free(&old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_ALL(a_row_with_another_field_is_not_there),
        OVER_ALL(a_row_of_another_fleet_or_key_is_not_there),
        OVER_ALL(without_the_key_nobody_has_a_right_and_nobody_gets_one),
        OVER_ALL(rows_are_sealed_as_they_stand_there),
        OVER_ALL(a_changed_person_is_right_and_as_old_as_before),
        OVER_ALL(every_kind_of_row_that_was_changed_by_hand_is_told),
        OVER_ALL(older_sums_are_no_way_around),
        OVER_ALL(a_roll_back_takes_no_sum_along),
        OVER_ALL(an_update_seals_no_row_that_somebody_else_wrote),
        OVER_ALL(a_forged_device_hides_that_another_one_is_old),
    };
    return run_over_all("store", tests, FLO_COUNT(tests));
}
