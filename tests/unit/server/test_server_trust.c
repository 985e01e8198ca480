/* Trust statements at the controller: which it publishes, and whose emergency
 * orders it believes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/errors/meta.h>
#include <flotilla/errors/mqtt.h>
#include <flotilla/errors/sig.h>
#include <flotilla/errors/trust.h>

#include "base/host/crypto.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/trust/newest.h"
#include "server-stub/state/trust/trust.h"
#include "tests/unit/held_clock.h"
#include "tests/unit/remove_tree.h"
#include "tests/unit/server/store_faults.h"
#include "tests/unit/waits.h"

struct world {
    char dir[64]; /* "": in memory */
    struct flo_controller *controller;
    struct flo_key *root;
    struct flo_err err;
};

static int open_world(struct world *world)
{
    const struct flo_controller_options options = {.dir = world->dir[0] ? world->dir : ":memory:",
                                                   .listen = "127.0.0.1:0",
                                                   .fleet = "demo",
                                                   .newest_ms = 60000};

    return flo_controller_open(&options, &world->controller, &world->err);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    flo_log_level_set(FLO_LOG_ERROR);
    assert_int_equal(open_world(world), 0);
    assert_int_equal(flo_key_generate(&world->root, &world->err), 0);
    *state = world;
    return 0;
}

static int set_up_dir(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    flo_log_level_set(FLO_LOG_ERROR);
    snprintf(world->dir, sizeof(world->dir), "/tmp/flotilla-trust-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    if (open_world(world) < 0) {
        fail_msg("%s", world->err.what);
    }
    assert_int_equal(flo_key_generate(&world->root, &world->err), 0);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    flo_controller_close(world->controller);
    flo_key_free(world->root);
    int rv = world->dir[0] != '\0' ? remove_tree(world->dir) : 0;
    free(world);
    return rv;
}

static void add(struct world *world, struct flo_trust *draft, const struct flo_key *key,
                unsigned role)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    flo_public_key_pem(flo_key_public(key), pem);
    assert_int_equal(flo_trust_add(draft, pem, role, NULL, &world->err), 0);
}

/* The next statement, of this world's root; number 1 is the unsigned list. */
static struct flo_trust *next(struct world *world)
{
    const struct flo_trust *held = world->controller->trust;
    struct flo_trust *draft = NULL;

    assert_int_equal(flo_trust_next(held, 5, &draft, &world->err), 0);
    if (!flo_trust_is_signed(held)) {
        add(world, draft, world->root, FLO_ROLE_ROOT);
        flo_trust_set_threshold(draft, 1);
    }
    return draft;
}

/* Signed, as text; takes the draft. */
static struct flo_buf finish(struct world *world, struct flo_trust *draft)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *out = NULL;
    struct flo_buf envelope = {0};

    assert_int_equal(flo_trust_draft(draft, world->controller->trust, &text, &world->err), 0);
    assert_int_equal(flo_trust_draft_parse(text.data, text.bytes, &out, &world->err), 0);
    assert_int_equal(flo_trust_sign(out, world->root, &world->err), 0);
    flo_trust_text(out, &envelope);
    flo_trust_free(draft);
    return envelope;
}

static int publish(struct world *world, const struct flo_buf *text)
{
    bool is_news = true;

    FLO_TRY(flo_controller_begin(world->controller, &world->err));
    int rv = flo_trust_publish(world->controller, text->data, text->bytes, &is_news, &world->err);
    rv = flo_controller_end(world->controller, rv, &world->err);
    return rv < 0 ? rv : is_news;
}

static uint64_t number(const struct world *world)
{
    return flo_trust_number(world->controller->trust);
}

static void a_list_that_nobody_signed_is_not_published(void **state)
{
    struct world *world = *state;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    flo_trust_text(world->controller->trust, &text);
    assert_int_equal(publish(world, &text), FLO_E_META_WRONG_TYPE);
    flo_buf_text(&text, "}");
    assert_int_equal(publish(world, &text), FLO_E_META_JSON);
    assert_int_equal(number(world), 1);
}

static void a_statement_is_published_once_and_none_of_before(void **state)
{
    struct world *world = *state;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) first = finish(world, next(world));

    FAULTS_SWEEP_WHOLE(world->controller->store, publish(world, &first), 1);
    assert_int_equal(publish(world, &first), 0);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) second = finish(world, next(world));
    struct flo_trust *draft = next(world);
    flo_trust_clear_ca(draft);
    assert_int_equal(
        flo_trust_add_ca(draft, flo_pki_oldest(world->controller->pki)->pem, &world->err), 0);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) other = finish(world, draft);
    assert_int_equal(publish(world, &second), 1);
    assert_int_equal(publish(world, &other), FLO_E_META_EQUIVOCATION);
    assert_int_equal(publish(world, &first), FLO_E_TRUST_NUMBER);
    assert_int_equal(number(world), 3);
}

static void a_stored_statement_is_read_or_nobody_starts(void **state)
{
    struct world *world = *state;
    struct flo_fleet_store *store = world->controller->store;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) first = finish(world, next(world));

    assert_int_equal(publish(world, &first), 1);
    FAULTS_SWEEP_WHOLE(store, flo_trust_open(world->controller, &world->err), 0);
    assert_int_equal(number(world), 2);
    assert_int_equal(flo_fleet_statement_add(store, 3, "{}", &world->err), 0);
    assert_int_equal(flo_trust_open(world->controller, &world->err), FLO_E_META_SCHEMA);
    assert_int_equal(number(world), 2);
}

static void a_statement_of_another_root_is_not_published(void **state)
{
    struct world *world = *state;
    struct flo_key *own = world->root;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) first = finish(world, next(world));

    assert_int_equal(publish(world, &first), 1);
    assert_int_equal(flo_key_generate(&world->root, &world->err), 0);
    struct flo_trust *draft = next(world);
    add(world, draft, world->root, FLO_ROLE_ROOT);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) stolen = finish(world, draft);
    assert_true(publish(world, &stolen) < 0);
    assert_int_equal(number(world), 2);
    flo_key_free(own);
}

static void a_statement_names_an_order_key_that_is_here(void **state)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *other = NULL;
    struct world *world = *state;
    struct flo_trust *draft = next(world);
    char keyid[FLO_KEYID_TEXT];

    assert_int_equal(flo_key_generate(&other, &world->err), 0);
    add(world, draft, other, FLO_ROLE_ORDER);
    memcpy(keyid, flo_key_public(flo_pki_order_key(world->controller->pki))->keyid, sizeof(keyid));
    assert_int_equal(flo_trust_drop(draft, keyid, &world->err), 0);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = finish(world, draft);
    assert_int_equal(publish(world, &text), FLO_E_STATE);
    assert_non_null(strstr(world->err.what, "names no order key"));
}

/* Devices would believe no certificate of this controller any more. */
static void a_statement_lists_the_authority_of_the_controller(void **state)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *other = NULL;
    struct world *world = *state;
    const struct flo_certificate_spec spec = {
        .common_name = "other", .life_ms = 86400000, .now_ms = waits_wall_ms()};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) pem = {0};
    struct flo_trust *draft = next(world);

    assert_int_equal(flo_key_generate(&other, &world->err), 0);
    assert_int_equal(flo_authority_make(other, &spec, &pem, &world->err), 0);
    flo_trust_clear_ca(draft);
    assert_int_equal(flo_trust_add_ca(draft, pem.data, &world->err), 0);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = finish(world, draft);
    assert_int_equal(publish(world, &text), FLO_E_TRUST_AUTHORITY);

    draft = next(world);
    flo_trust_clear_ca(draft);
    assert_int_equal(flo_trust_add_ca(draft, pem.data, &world->err), 0);
    assert_int_equal(
        flo_trust_add_ca(draft, flo_pki_oldest(world->controller->pki)->pem, &world->err), 0);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) both = finish(world, draft);
    assert_int_equal(publish(world, &both), 1);
}

static void a_statement_that_is_taken_back_was_never_there(void **state)
{
    struct world *world = *state;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = finish(world, next(world));
    bool is_news;

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_trust_publish(world->controller, text.data, text.bytes, &is_news, &world->err), 0);
    flo_controller_cancel(world->controller);
    assert_int_equal(number(world), 1);
    assert_int_equal(flo_trust_is_stated(world->controller, &world->err), FLO_E_TRUST_NONE);
    assert_int_equal(publish(world, &text), 1);
}

static int seen(struct world *world, const struct flo_buf *envelope)
{
    json_t *json = json_loads(envelope->data, 0, NULL);
    bool is_news;

    int rv = flo_controller_begin(world->controller, &world->err);
    if (rv == 0) {
        rv = flo_emergency_seen(world->controller, json, &is_news, &world->err);
        rv = flo_controller_end(world->controller, rv, &world->err);
    }
    json_decref(json);
    return rv < 0 ? rv : is_news;
}

/* A freeze, signed by an emergency key that the controller learns of; `alone`: by the
 * order key. */
static struct flo_buf emergency_freeze(struct world *world, struct flo_buf *body,
                                       struct flo_buf *alone)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    struct flo_order order = {.op = FLO_ORDER_FREEZE};
    struct flo_trust *draft = next(world);
    struct flo_buf envelope = {0};

    assert_int_equal(flo_key_generate(&key, &world->err), 0);
    add(world, draft, key, FLO_ROLE_EMERGENCY);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = finish(world, draft);
    assert_int_equal(publish(world, &text), 1);
    snprintf(order.scope.group, sizeof(order.scope.group), "all");
    snprintf(order.by, sizeof(order.by), "ops");
    assert_int_equal(flo_orders_sign_alone(world->controller, &order, alone, &world->err), 0);
    order.seq = order.issued_at_ms; /* they have no counter */
    snprintf(order.id, sizeof(order.id), "e-%llu", (unsigned long long)order.seq);
    assert_int_equal(flo_order_write(&order, body, &world->err), 0);
    assert_int_equal(flo_order_sign(body->data, body->bytes, key, &envelope, &world->err), 0);
    return envelope;
}

/* Whoever may write the topic of emergencies brings an order of another key. */
static uint64_t records(struct world *world)
{
    uint64_t count = 0;

    assert_int_equal(flo_fleet_count_all(world->controller->store,
                                         &(struct flo_query){.table = FLO_TABLE_AUDIT}, &count,
                                         &world->err),
                     0);
    return count;
}

static int answers(struct world *world, const char *order, const char *outcome)
{
    FLO_TRY(flo_controller_begin(world->controller, &world->err));
    int rv = flo_emergency_answered(world->controller, order, "gw-1", outcome, 1, &world->err);
    return flo_controller_end(world->controller, rv, &world->err);
}

static void an_emergency_is_one_of_an_emergency_key(void **state)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *stranger = NULL;
    struct world *world = *state;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) ours = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) strange = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) theirs = emergency_freeze(world, &body, &ours);

    assert_int_equal(seen(world, &ours), FLO_E_SIG_UNKNOWN_KEY);
    uint64_t before = records(world);
    FAULTS_SWEEP_WHOLE(world->controller->store, seen(world, &theirs), 1);
    assert_int_equal(seen(world, &theirs), 0);
    assert_int_equal(records(world), before + 1);
    assert_int_equal(flo_key_generate(&stranger, &world->err), 0);
    assert_int_equal(flo_order_sign(body.data, body.bytes, stranger, &strange, &world->err), 0);
    assert_int_equal(seen(world, &strange), FLO_E_SIG_UNKNOWN_KEY);
}

static void an_answer_to_an_emergency_is_an_outcome(void **state)
{
    struct world *world = *state;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) large = {0};

    assert_int_equal(answers(world, "e-1", "gone"), FLO_E_MQTT_SCHEMA);
    FAULTS_SWEEP_WHOLE(world->controller->store, answers(world, "e-1", "done"), 0);

    flo_buf_printf(&large, "{\"payload\":\"%*s\"}", FLO_DESIRED_ORDER_BYTES_MAX, "");
    assert_int_equal(seen(world, &large), FLO_E_META_TOO_LARGE);
}

static int text_of(struct world *world, size_t *count, struct flo_buf *text)
{
    flo_buf_deinit(text);
    return flo_emergency_text(world->controller, text, count, &world->err);
}

static void devices_get_eight_emergencies_that_did_not_expire(void **state)
{
    struct world *world = *state;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char id[16];
    bool is_news;
    size_t count;

    held_clock_hold();
    for (unsigned i = 0; i <= 1 + FLO_EMERGENCIES_SENT_MAX; i++) {
        snprintf(id, sizeof(id), "e-%u", 100 - i);
        const struct flo_fleet_emergency emergency = {.id = id,
                                                      .op = "freeze",
                                                      .envelope = i == 0 ? "{\"past\":1}" : "{}",
                                                      .seq = 100 - i,
                                                      .expires_at_ms = held_wall_ms + (i > 0)};
        assert_int_equal(
            flo_fleet_emergency_put(world->controller->store, &emergency, &is_news, &world->err),
            0);
    }
    FAULTS_SWEEP_WHOLE(world->controller->store, text_of(world, &count, &text), 0);
    held_clock_release();
    assert_int_equal(count, FLO_EMERGENCIES_SENT_MAX);
    assert_string_equal(text.data, "{\"v\":1,\"orders\":[{},{},{},{},{},{},{},{}]}");
}

/* ---- statements for devices ---- */

static int statements(struct world *world, bool is_newest, size_t bytes, struct flo_buf *text)
{
    flo_buf_deinit(text);
    return flo_trust_statements_text(world->controller, 0, is_newest, bytes, text, &world->err);
}

static void as_many_statements_are_sent_as_have_room(void **state)
{
    struct world *world = *state;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) first = finish(world, next(world));
    assert_int_equal(publish(world, &first), 1);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) second = finish(world, next(world));
    assert_int_equal(publish(world, &second), 1);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) third = finish(world, next(world));
    assert_int_equal(publish(world, &third), 1);
    const struct {
        bool is_newest;
        size_t bytes;
        const char *has[4];
    } rows[] = {
        {false, 96 + first.bytes, {NULL}},
        {false, 96 + first.bytes + 1, {first.data}},
        {false, 96 + first.bytes + second.bytes, {first.data}},
        {false, 96 + first.bytes + second.bytes + 1, {first.data, ",", second.data}},
        {true, 96 + third.bytes + second.bytes, {third.data}},
        {true, 96 + third.bytes + second.bytes + 1, {second.data, ",", third.data}},
    };

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_buf FLO_CLEANUP(flo_buf_deinit) expected = {0};
        flo_buf_text(&expected, "{\"v\":1,\"number\":4,\"order_number\":0,\"statements\":[");
        for (size_t k = 0; k < 4 && rows[i].has[k] != NULL; k++) {
            flo_buf_text(&expected, rows[i].has[k]);
        }
        flo_buf_text(&expected, rows[i].is_newest ? "]}" : "],\"at_ms\":");
        FAULTS_SWEEP_WHOLE(world->controller->store,
                           statements(world, rows[i].is_newest, rows[i].bytes, &text), 0);
        assert_memory_equal(text.data, expected.data, expected.bytes);
        assert_true(rows[i].is_newest ? text.bytes == expected.bytes : text.bytes > expected.bytes);
    }
}

static void a_release_is_checked_as_devices_do(void **state)
{
    struct world *world = *state;
    struct flo_fleet_store *store = world->controller->store;

    assert_int_equal(flo_fleet_envelope_put(store, "sha256:1", "{}", &world->err), 0);
    FAULTS_SWEEP_WHOLE(store, flo_trust_check_release(world->controller, "sha256:1", &world->err),
                       FLO_E_META_SCHEMA);
}

/* ---- the order key ---- */

static const char *key_in_use(const struct world *world)
{
    return flo_key_public(flo_pki_order_key(world->controller->pki))->keyid;
}

static bool is_file(const struct world *world, const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", world->dir, name);
    return access(path, F_OK) == 0;
}

static void rename_in(const struct world *world, const char *from, const char *to)
{
    char paths[2][128];

    snprintf(paths[0], sizeof(paths[0]), "%s/%s", world->dir, from);
    snprintf(paths[1], sizeof(paths[1]), "%s/%s", world->dir, to);
    assert_int_equal(rename(paths[0], paths[1]), 0);
}

static void write_in(const struct world *world, const char *name, const char *text)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", world->dir, name);
    assert_int_equal(flo_file_write(path, text, strlen(text), 0600, &(struct flo_err){0}), 0);
}

static int again(struct world *world)
{
    flo_controller_close(world->controller);
    world->controller = NULL;
    return open_world(world);
}

static void an_order_key_that_a_statement_names_is_used_from_then_on(void **state)
{
    struct world *world = *state;
    char pem[FLO_PUBLIC_KEY_PEM_MAX], old[FLO_KEYID_TEXT], keyid[FLO_KEYID_TEXT];
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) first = finish(world, next(world));
    bool is_news;

    assert_int_equal(publish(world, &first), 1);
    snprintf(old, sizeof(old), "%s", key_in_use(world));
    for (int i = 0; i < 2; i++) { /* the second time it is read */
        assert_int_equal(flo_trust_order_key(world->controller, pem, keyid, &world->err), 0);
        assert_true(is_file(world, "keys/order-next.key"));
    }
    struct flo_trust *draft = next(world);
    assert_int_equal(flo_trust_add(draft, pem, FLO_ROLE_ORDER, NULL, &world->err), 0);
    assert_int_equal(flo_trust_drop(draft, old, &world->err), 0);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = finish(world, draft);

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_trust_publish(world->controller, text.data, text.bytes, &is_news, &world->err), 0);
    assert_string_equal(key_in_use(world), keyid);
    flo_controller_cancel(world->controller);
    assert_string_equal(key_in_use(world), old);

    FAULTS_SWEEP_WHOLE(world->controller->store, publish(world, &text), 1);
    assert_string_equal(key_in_use(world), keyid);
    assert_false(is_file(world, "keys/order-next.key"));
    assert_true(is_file(world, "keys/order-before.key"));
    assert_int_equal(again(world), 0);
    assert_string_equal(key_in_use(world), keyid);
    assert_int_equal(number(world), 3);

    /* The power failed between the commit and the names of the files. */
    rename_in(world, "keys/order.key", "keys/order-next.key");
    rename_in(world, "keys/order-before.key", "keys/order.key");
    assert_int_equal(again(world), 0);
    assert_string_equal(key_in_use(world), keyid);
    assert_false(is_file(world, "keys/order-next.key"));

    /* People can still publish a statement when the key is lost. */
    rename_in(world, "keys/order-before.key", "keys/order.key");
    assert_int_equal(again(world), 0);
    assert_string_equal(key_in_use(world), old);
    assert_int_equal(number(world), 3);

    /* A key that cannot be read is no key that is not there. */
    write_in(world, "keys/order-next.key", "no key");
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *other = NULL;
    assert_int_equal(flo_key_generate(&other, &world->err), 0);
    draft = next(world);
    add(world, draft, other, FLO_ROLE_ORDER);
    assert_int_equal(flo_trust_drop(draft, keyid, &world->err), 0);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) nobody = finish(world, draft);
    int rv = publish(world, &nobody);
    assert_true(rv < 0 && rv != FLO_E_STATE);
    rename_in(world, "keys/order-next.key", "keys/order-before.key");
    world->err = (struct flo_err){0};
    assert_true(again(world) < 0);
    assert_non_null(strstr(world->err.what, "order-before.key"));
}

static void release_keys_are_the_files_of_a_folder(void **state)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    struct world *world = *state;
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    assert_int_equal(flo_key_generate(&key, &world->err), 0);
    flo_public_key_pem(flo_key_public(key), pem);
    size_t before = flo_trust_count(world->controller->trust);
    write_in(world, "trust/release-.pem", "no key");
    write_in(world, "trust/release-1.txt", "no key");
    write_in(world, "trust/release-1.pem", pem);
    assert_int_equal(again(world), 0);
    assert_int_equal(flo_trust_count(world->controller->trust), before + 1);

    write_in(world, "trust/release-2.pem", "no key");
    assert_true(again(world) < 0);
    assert_non_null(strstr(world->err.what, "trust/release-2.pem"));
    flo_controller_close(world->controller);
    world->controller = NULL;
    rename_in(world, "trust/release-2.pem", "trust/2");

    rename_in(world, "trust", "trusted");
    write_in(world, "trust", "no folder");
    assert_int_equal(open_world(world), FLO_E_IO_OPEN);
}

/* ---- what is newest ---- */

static bool tells(struct world *world, const char *device, const char *text)
{
    return flo_newests_told(world->controller->newests, device, text, strlen(text));
}

static void a_statement_of_what_is_newest_has_a_path_for_each_device(void **state)
{
    struct world *world = *state;
    struct flo_newests *newests = world->controller->newests;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    flo_newests_free(NULL);
    held_clock_hold();
    assert_false(tells(world, "gw-1", "{\"v\":1}"));
    assert_false(tells(world, "gw-2", "no json"));
    assert_false(flo_newests_add(newests, true, "gw-1", &text));
    assert_int_equal(text.bytes, 0);
    assert_true(flo_newests_are_due(world->controller));
    FAULTS_SWEEP_WHOLE(world->controller->store, flo_newests_sign(world->controller, &world->err),
                       0);
    assert_true(tells(world, "gw-1", "{\"v\":1}"));
    assert_true(flo_newests_owes(newests, "gw-1"));
    assert_false(flo_newests_owes(newests, "gw-2"));
    assert_false(flo_newests_add(newests, false, "gw-2", &text));
    assert_int_equal(text.bytes, 0);
    assert_true(flo_newests_add(newests, true, "gw-1", &text));
    assert_int_equal(strncmp(text.data, ",\"newest\":{", 11), 0);
    assert_non_null(strstr(text.data, ",\"path\":{"));

    assert_string_equal(flo_newests_next(world->controller), "gw-1");
    assert_null(flo_newests_next(world->controller));
    held_clock_pass_ms(59999);
    assert_string_equal(flo_newests_next(world->controller), "gw-2");
    assert_null(flo_newests_next(world->controller));
    assert_false(flo_newests_owes(newests, "gw-1"));
    assert_false(flo_newests_are_due(world->controller));
    held_clock_pass_ms(1);
    assert_true(flo_newests_are_due(world->controller));

    /* Nothing changed: nobody has to hear of it. */
    assert_int_equal(flo_newests_sign(world->controller, &world->err), 0);
    assert_null(flo_newests_next(world->controller));
    assert_false(tells(world, "gw-1", "{\"groups\":{\"payload\":\"e30=\"}}"));
    assert_int_equal(flo_newests_sign(world->controller, &world->err), 0);
    assert_string_equal(flo_newests_next(world->controller), "gw-1");
    held_clock_release();
}

static int bundle(struct world *world, const char *releases)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) envelope = {0};
    struct flo_newest newest;
    json_t *json = json_loads(releases, 0, NULL);
    int rv = flo_newests_bundle(world->controller, json, 1, &newest, &envelope, &world->err);

    json_decref(json);
    return rv;
}

static void a_bundle_states_what_is_newest_in_it(void **state)
{
    struct world *world = *state;

    assert_int_equal(bundle(world, "[1]"), FLO_E_META_SCHEMA);
    FAULTS_SWEEP(world->controller->store, bundle(world, "[]"), 0);
}

/* A device that makes up names answers to orders of later times. */
static void made_up_answers_keep_no_emergency_from_devices(void **state)
{
    struct world *world = *state;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) alone = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) freeze = emergency_freeze(world, &body, &alone);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char id[FLO_NAME_MAX + 1];
    size_t count;

    assert_int_equal(seen(world, &freeze), 1);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(id, sizeof(id), "e-9999999999%03u", i);
        assert_int_equal(
            flo_emergency_answered(world->controller, id, "gw-1", "done", 1, &world->err), 0);
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(flo_emergency_text(world->controller, &text, &count, &world->err), 0);
    assert_int_equal(count, 1);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define STORY_IN_DIR(name) cmocka_unit_test_setup_teardown(name, set_up_dir, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_list_that_nobody_signed_is_not_published),
        STORY(a_statement_is_published_once_and_none_of_before),
        STORY(a_stored_statement_is_read_or_nobody_starts),
        STORY(a_statement_of_another_root_is_not_published),
        STORY(a_statement_names_an_order_key_that_is_here),
        STORY(a_statement_lists_the_authority_of_the_controller),
        STORY(a_statement_that_is_taken_back_was_never_there),
        STORY(an_emergency_is_one_of_an_emergency_key),
        STORY(an_answer_to_an_emergency_is_an_outcome),
        STORY(devices_get_eight_emergencies_that_did_not_expire),
        STORY(made_up_answers_keep_no_emergency_from_devices),
        STORY(as_many_statements_are_sent_as_have_room),
        STORY(a_release_is_checked_as_devices_do),
        STORY_IN_DIR(an_order_key_that_a_statement_names_is_used_from_then_on),
        STORY_IN_DIR(release_keys_are_the_files_of_a_folder),
        STORY(a_statement_of_what_is_newest_has_a_path_for_each_device),
        STORY(a_bundle_states_what_is_newest_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
