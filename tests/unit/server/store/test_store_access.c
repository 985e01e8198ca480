/* Tokens, users and stored answers, over every engine. */
#include <flotilla/errors/enrol.h>

#include "unit/server/store/store.h"

static int ignore_token(void *context, const struct flo_fleet_token *one)
{
    (void)context, (void)one;
    return 0;
}

static void add_token(struct flo_fleet_store *store, const char *id, const char *person,
                      uint64_t uses)
{
    const struct flo_fleet_token token = {.id = id,
                                          .kind = "enroll",
                                          .name = "ops",
                                          .role = "",
                                          .group = "all",
                                          .person = person,
                                          .uses_left = uses,
                                          .secret.bytes = {(uint8_t)id[1]},
                                          .expires_at_ms = 9};
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_token_add(store, &token, &err), 0);
}

static bool is_there(struct flo_fleet_store *store, const char *id)
{
    struct flo_err err = {0};
    int rv = flo_fleet_token_get(store, id, NULL, ignore_token, NULL, &err);

    assert_true(rv == 0 || rv == FLO_E_ABSENT);
    return rv == 0;
}

static void an_enrolment_token_is_used_so_often_and_no_more(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    add_token(store, "t1", "", 2);
    add_token(store, "t2", "", 1);
    assert_int_equal(flo_fleet_token_use(store, "t1", &err), 0);
    assert_int_equal(flo_fleet_token_use(store, "t1", &err), 0);
    assert_int_equal(flo_fleet_token_use(store, "t1", &err), FLO_E_ENROL_TOKEN);
    assert_int_equal(flo_fleet_token_use(store, "t1", &err), FLO_E_ENROL_TOKEN);
    assert_int_equal(flo_fleet_token_use(store, "t2", &err), 0);
}

static void a_user_s_tokens_go_with_the_user(void **state)
{
    static const struct flo_fleet_person mira = {.name = "mira", .role = "admin"};
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_person_put(store, &mira, &err), 0);
    add_token(store, "t1", "mira", 0);
    add_token(store, "t2", "noor", 0);
    assert_int_equal(flo_fleet_person_delete(store, "mira", &err), 0);
    assert_false(is_there(store, "t1"));
    assert_true(is_there(store, "t2"));
}

static void a_deleted_token_is_not_there(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    add_token(store, "t1", "", 1);
    add_token(store, "t2", "", 1);
    assert_int_equal(flo_fleet_token_delete(store, "t1", &err), 0);
    assert_int_equal(flo_fleet_token_delete(store, "t1", &err), FLO_E_ABSENT);
    assert_false(is_there(store, "t1"));
    assert_true(is_there(store, "t2"));
}

static int stored_status(struct flo_fleet_store *store, const char *token, const char *key)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};
    struct flo_digest request;
    struct flo_err err = {0};
    int status;

    assert_int_equal(flo_fleet_replay_get(store, token, key, &request, &status, &body, &err), 0);
    return status;
}

static void an_answer_is_repeated_for_its_token_and_key_for_a_day(void **state)
{
    static const uint64_t day_ms = UINT64_C(24) * 3600 * 1000;
    static const struct flo_digest request = {.bytes = {1}};
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_replay_put(store, "t1", "k", &request, 201, "{}", 5, &err), 0);
    assert_int_equal(stored_status(store, "t1", "k"), 201);
    assert_int_equal(stored_status(store, "t2", "k"), 0);
    assert_int_equal(stored_status(store, "t1", "j"), 0);
    assert_int_equal(flo_fleet_replay_put(store, "t2", "k", &request, 200, "{}", 6 + day_ms, &err),
                     0);
    assert_int_equal(stored_status(store, "t1", "k"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_ALL(an_enrolment_token_is_used_so_often_and_no_more),
        OVER_ALL(a_user_s_tokens_go_with_the_user),
        OVER_ALL(a_deleted_token_is_not_there),
        OVER_ALL(an_answer_is_repeated_for_its_token_and_key_for_a_day),
    };
    return run_over_all("store", tests, FLO_COUNT(tests));
}
