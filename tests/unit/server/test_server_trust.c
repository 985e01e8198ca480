/* Trust statements at the controller: which it publishes, and whose emergency
 * orders it believes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/meta.h>
#include <flotilla/errors/sig.h>
#include <flotilla/errors/trust.h>

#include "base/host/crypto.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/trust/trust.h"
#include "tests/unit/waits.h"

struct world {
    struct flo_controller *controller;
    struct flo_key *root;
    struct flo_err err;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    const struct flo_controller_options options = {.dir = ":memory:", .fleet = "demo"};

    flo_log_level_set(FLO_LOG_ERROR);
    assert_int_equal(flo_controller_open(&options, &world->controller, &world->err), 0);
    assert_int_equal(flo_key_generate(&world->root, &world->err), 0);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    flo_controller_close(world->controller);
    flo_key_free(world->root);
    free(world);
    return 0;
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
    bool is_news;

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    int rv = flo_trust_publish(world->controller, text->data, text->bytes, &is_news, &world->err);
    if (rv < 0) {
        flo_controller_cancel(world->controller);
        return rv;
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    return is_news;
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
}

static void a_statement_is_published_once_and_none_of_before(void **state)
{
    struct world *world = *state;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) first = finish(world, next(world));

    assert_int_equal(publish(world, &first), 1);
    assert_int_equal(publish(world, &first), 0);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) second = finish(world, next(world));
    assert_int_equal(publish(world, &second), 1);
    assert_int_equal(publish(world, &first), FLO_E_TRUST_NUMBER);
    assert_int_equal(number(world), 3);
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

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    int rv = flo_emergency_seen(world->controller, json, &is_news, &world->err);
    if (rv < 0) {
        flo_controller_cancel(world->controller);
    } else {
        assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
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
static void an_emergency_is_one_of_an_emergency_key(void **state)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *stranger = NULL;
    struct world *world = *state;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) ours = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) strange = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) theirs = emergency_freeze(world, &body, &ours);

    assert_int_equal(seen(world, &ours), FLO_E_SIG_UNKNOWN_KEY);
    if (seen(world, &theirs) != 1) {
        fail_msg("%s", world->err.what);
    }
    assert_int_equal(seen(world, &theirs), 0);
    assert_int_equal(flo_key_generate(&stranger, &world->err), 0);
    assert_int_equal(flo_order_sign(body.data, body.bytes, stranger, &strange, &world->err), 0);
    assert_int_equal(seen(world, &strange), FLO_E_SIG_UNKNOWN_KEY);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_list_that_nobody_signed_is_not_published),
        STORY(a_statement_is_published_once_and_none_of_before),
        STORY(a_statement_of_another_root_is_not_published),
        STORY(a_statement_names_an_order_key_that_is_here),
        STORY(a_statement_lists_the_authority_of_the_controller),
        STORY(a_statement_that_is_taken_back_was_never_there),
        STORY(an_emergency_is_one_of_an_emergency_key),
        STORY(made_up_answers_keep_no_emergency_from_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
