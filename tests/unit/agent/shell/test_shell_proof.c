/* Proofs of the agent: whose they are, and numbers that only grow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/report/proof.h"
#include "tests/shell_rooms.h"
#include "unit/remove_tree.h"

#define TOPIC "flotilla/v1/demo/d/x/event"
#define HOUR_MS UINT64_C(3600000)
#define NOW_MS UINT64_C(1800000000000)

static char folder[64];
static struct flo_shell *shell;
static struct flo_key *order;
static uint64_t now_ms;

uint64_t flo_shell_clock_ms(const struct flo_shell *unused)
{
    (void)unused;
    return now_ms;
}

/* The agent starts with what is on the disk. */
static void start(void)
{
    flo_outbox_db_close(shell->db);
    memset(&shell->report->proof, 0, sizeof(shell->report->proof));
    assert_int_equal(flo_outbox_db_open(folder, 1 << 20, &shell->db, NULL), 0);
}

static void lose_outbox(void)
{
    char path[100];

    flo_outbox_db_close(shell->db);
    shell->db = NULL;
    snprintf(path, sizeof(path), "%s/outbox.db", folder);
    assert_int_equal(unlink(path), 0);
}

/* Another pair of key and certificate. */
static void renew(size_t place)
{
    struct flo_identity *identity = &shell->identity;
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;

    snprintf(identity->key_file, sizeof(identity->key_file), "%s/%zu.key", folder, place);
    assert_int_equal(flo_key_generate(&key, NULL), 0);
    assert_int_equal(flo_key_save(key, identity->key_file, NULL), 0);
    identity->pair = place;
    identity->pairs.list[place].facts.key = *flo_key_public(key);
}

static void trust(void)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    json_t *json;

    flo_key_free(order);
    assert_int_equal(flo_key_generate(&order, NULL), 0);
    flo_public_key_pem(flo_key_public(order), pem);
    json = json_pack("{s:i,s:s,s:[{s:s,s:[s]}]}", "v", 1, "fleet", "demo", "keys", "pem", pem,
                     "roles", "order");
    flo_json_dump(json, &text);
    json_decref(json);
    flo_trust_free(shell->identity.trust);
    assert_int_equal(flo_trust_parse(text.data, text.bytes, &shell->identity.trust, NULL), 0);
}

static int set_up(void **state)
{
    (void)state;
    flo_log_level_set(FLO_LOG_ERROR);
    snprintf(folder, sizeof(folder), "/tmp/flo-proof-XXXXXX");
    shell = calloc(1, sizeof(*shell));
    if (mkdtemp(folder) == NULL || shell == NULL) {
        return 1;
    }
    shell_empty(shell);
    now_ms = NOW_MS;
    renew(0);
    trust();
    start();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    flo_outbox_db_close(shell->db);
    flo_trust_free(shell->identity.trust);
    flo_key_free(order);
    order = NULL;
    free(shell);
    return remove_tree(folder);
}

/* The number of the next message, which the controller would believe. */
static uint64_t next(void)
{
    static const char message[] = "{\"v\":1}";
    const struct flo_identity *identity = &shell->identity;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_proof_key key;
    struct flo_proof proof;

    assert_true(flo_shell_prove(shell, TOPIC, message, strlen(message), &text));
    assert_int_equal(flo_proof_key_controller(
                         order, &identity->pairs.list[identity->pair].facts.key, &key, NULL),
                     0);
    assert_true(flo_proof_find(text.data, text.bytes, &proof));
    assert_true(flo_proof_holds(&proof, &key, TOPIC, text.data));
    return proof.number;
}

static void numbers_grow_from_start_to_start(void **state)
{
    uint64_t last = next();
    (void)state;

    for (size_t i = 0; i < 5; i++) {
        uint64_t one = next();
        assert_true(one > last);
        start();
        last = next();
        assert_true(last > one);
    }
}

static void they_grow_without_a_clock(void **state)
{
    uint64_t last = 0;
    (void)state;

    lose_outbox(); /* it never had a clock */
    for (size_t i = 0; i < 10; i++) {
        now_ms = i < 5 ? 0 : 10000; /* 1970, after each start */
        start();
        uint64_t one = next();
        assert_true(one > last);
        last = one;
    }
}

static void they_grow_whatever_the_clock_does(void **state)
{
    uint64_t last = next();
    (void)state;

    for (uint64_t ms = NOW_MS; ms > NOW_MS - 5 * HOUR_MS; ms -= HOUR_MS) {
        now_ms = ms;
        assert_true(next() > last);
        last = next();
        start();
    }
    now_ms = UINT64_MAX; /* no number for that time */
    assert_true(next() > last);
}

static void they_grow_though_the_outbox_was_lost(void **state)
{
    uint64_t last = next();
    (void)state;

    lose_outbox();
    now_ms += 1000;
    start();
    assert_true(next() > last);
}

static void each_pair_and_each_order_key_has_a_secret_of_its_own(void **state)
{
    (void)state;
    next();
    renew(1);
    next();
    trust();
    next();
}

static void nobody_proves_for_a_controller_without_an_order_key(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    (void)state;

    flo_trust_free(shell->identity.trust);
    shell->identity.trust = flo_trust_new("demo");
    assert_false(flo_shell_prove(shell, TOPIC, "{\"v\":1}", 7, &text));
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(numbers_grow_from_start_to_start),
        STORY(they_grow_without_a_clock),
        STORY(they_grow_whatever_the_clock_does),
        STORY(they_grow_though_the_outbox_was_lost),
        STORY(each_pair_and_each_order_key_has_a_secret_of_its_own),
        STORY(nobody_proves_for_a_controller_without_an_order_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
