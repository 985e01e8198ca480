/* The contract of the store, over every engine: rollouts, releases, tokens,
 * settings and the audit. */
#include <flotilla/errors/enrol.h>
#include <flotilla/errors/release.h>

#include "unit/server/store/store.h"

static void a_token_has_as_many_uses_as_it_was_made_for(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    struct flo_fleet_token token = {
        .id = "t1", .kind = "enroll", .name = "", .role = "", .group = "all", .uses_left = 2};

    assert_int_equal(flo_fleet_token_add(store, &token, &err), 0);
    assert_int_equal(flo_fleet_token_use(store, "t1", &err), 0);
    assert_int_equal(flo_fleet_token_use(store, "t1", &err), 0);
    assert_int_equal(flo_fleet_token_use(store, "t1", &err), FLO_E_ENROL_TOKEN);
    assert_int_equal(flo_fleet_token_delete(store, "t1", &err), 0);
    assert_int_equal(flo_fleet_token_delete(store, "t1", &err), FLO_E_ABSENT);
}

static void add_token(struct flo_fleet_store *store, const char *id, const char *kind,
                      uint64_t uses_left, uint64_t created_at_ms, uint64_t expires_at_ms)
{
    struct flo_err err = {0};
    struct flo_fleet_token token = {.id = id,
                                    .kind = kind,
                                    .name = "",
                                    .role = "",
                                    .group = "all",
                                    .uses_left = uses_left,
                                    .created_at_ms = created_at_ms,
                                    .expires_at_ms = expires_at_ms};

    flo_sha256(id, strlen(id), &token.secret);
    assert_int_equal(flo_fleet_token_add(store, &token, &err), 0);
}

static int take_token_id(void *context, const struct flo_fleet_token *token)
{
    flo_buf_printf(context, "%s ", token->id);
    return 0;
}

static struct flo_buf tokens_of(struct flo_fleet_store *store)
{
    struct flo_buf ids = {0};
    struct flo_err err = {0};

    flo_buf_text(&ids, " ");
    assert_int_equal(
        flo_fleet_token_list(store, FLO_FLEET_ALL, "", 1000, take_token_id, &ids, &err), 0);
    return ids;
}

static void the_newest_token_is_listed_whatever_their_number(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf ids;
    char id[16];

    begin(store);
    for (unsigned i = 0; i < 1001; i++) {
        snprintf(id, sizeof(id), "e%u", i);
        add_token(store, id, "enroll", 1, i, 0);
    }
    add_token(store, "access", "access", 0, 1001, 0);
    commit(store);

    ids = tokens_of(store);
    assert_int_equal(strncmp(ids.data, " access ", 8), 0);
    flo_buf_deinit(&ids);
}

static int take_person(void *context, const struct flo_fleet_person *person)
{
    flo_buf_printf(context, "%s %s%s %llu; ", person->name, person->role,
                   person->is_disabled ? " disabled" : "",
                   (unsigned long long)person->created_at_ms);
    return 0;
}

static void put_person(struct flo_fleet_store *store, const char *name, const char *role,
                       bool is_disabled, uint64_t at_ms)
{
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_person_put(store,
                                          &(struct flo_fleet_person){.name = name,
                                                                     .role = role,
                                                                     .is_disabled = is_disabled,
                                                                     .created_at_ms = at_ms},
                                          &err),
                     0);
}

static void a_person_changes_and_takes_its_tokens_along(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) people = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) tokens = {0};
    struct flo_err err = {0};
    struct flo_fleet_token token = {.id = "t1",
                                    .kind = "access",
                                    .name = "laptop",
                                    .role = "viewer",
                                    .group = "",
                                    .person = "mira"};

    put_person(store, "mira", "operator", false, 5);
    put_person(store, "anna", "admin", false, 6);
    put_person(store, "mira", "viewer", true, 9);
    assert_int_equal(flo_fleet_token_add(store, &token, &err), 0);
    add_token(store, "t2", "access", 0, 1, 1);
    assert_int_equal(flo_fleet_token_used(store, "t1", 77, &err), 0);
    assert_int_equal(flo_fleet_person_list(store, "", 9, take_person, &people, &err), 0);
    assert_string_equal(people.data, "anna admin 6; mira viewer disabled 5; ");
    assert_int_equal(flo_fleet_person_tokens(store, "mira", take_token_id, &tokens, &err), 0);
    assert_string_equal(tokens.data, "t1 ");

    assert_int_equal(flo_fleet_person_delete(store, "mira", &err), 0);
    assert_int_equal(flo_fleet_person_delete(store, "mira", &err), FLO_E_ABSENT);
    struct flo_buf left = tokens_of(store);
    assert_string_equal(left.data, " t2 ");
    flo_buf_deinit(&left);
}

static void enrolment_tokens_of_no_use_go(void **state)
{
    const uint64_t day_ms = 86400000;
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    struct flo_buf ids;

    add_token(store, "good", "enroll", 1, 5, 101 * day_ms);
    add_token(store, "expired", "enroll", 1, 4, 71 * day_ms);
    add_token(store, "long-expired", "enroll", 1, 3, 69 * day_ms);
    add_token(store, "used-up", "enroll", 0, 2, 101 * day_ms);
    add_token(store, "used-up-expired", "enroll", 0, 1, 99 * day_ms);
    add_token(store, "access", "access", 0, 0, 0);
    assert_int_equal(flo_fleet_token_prune(store, 100 * day_ms, &err), 0);

    ids = tokens_of(store);
    assert_string_equal(ids.data, " good expired used-up access ");
    flo_buf_deinit(&ids);
}

static void put_rollout(struct flo_fleet_store *store, unsigned number,
                        enum flo_rollout_state state)
{
    struct flo_err err = {0};
    char id[16];
    struct flo_fleet_rollout rollout = {
        .id = id, .spec = "{}", .state = flo_rollout_state_word(state), .core = "{}", .digest = ""};

    snprintf(id, sizeof(id), "r-%u", number);
    assert_int_equal(flo_fleet_rollout_put(store, &rollout, &err), 0);
}

static int take_rollout_id(void *context, const struct flo_fleet_rollout *rollout)
{
    flo_buf_printf(context, "%s ", rollout->id);
    return 0;
}

static void what_is_under_way_is_listed_before_all_that_ended(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf ids = {0};
    struct flo_err err = {0};

    begin(store);
    put_rollout(store, 1, FLO_ROLLOUT_RUNNING);
    put_rollout(store, 2, FLO_ROLLOUT_HALTED);
    put_rollout(store, 3, FLO_ROLLOUT_PAUSED);
    put_rollout(store, 4, FLO_ROLLOUT_ROLLING_BACK);
    for (unsigned i = 5; i < 105; i++) {
        put_rollout(store, i, FLO_ROLLOUT_COMPLETED);
    }
    commit(store);
    assert_int_equal(flo_fleet_rollout_list(store, 5, take_rollout_id, &ids, &err), 0);

    assert_string_equal(ids.data, "r-4 r-3 r-1 r-104 r-103 ");
    flo_buf_deinit(&ids);
}

static void a_counter_gives_each_number_once_and_none_that_was_skipped(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    uint64_t number;

    assert_int_equal(flo_fleet_newest(store, "order", &number, &err), 0);
    assert_int_equal(number, 0);
    assert_int_equal(flo_fleet_next(store, "order", &number, &err), 0);
    assert_int_equal(number, 1);
    assert_int_equal(flo_fleet_skip(store, "order", 10, &err), 0);
    assert_int_equal(flo_fleet_next(store, "order", &number, &err), 0);
    assert_int_equal(number, 12);
    assert_int_equal(flo_fleet_newest(store, "order", &number, &err), 0);
    assert_int_equal(number, 12);
    assert_int_equal(flo_fleet_next(store, "rollout", &number, &err), 0);
    assert_int_equal(number, 1);
}

static void a_setting_is_the_last_one_that_was_set(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    char text[32] = "x";

    assert_int_equal(flo_fleet_setting_get(store, "a", text, sizeof(text), &err), 0);
    assert_string_equal(text, "");
    assert_int_equal(flo_fleet_setting_set(store, "a", "one", &err), 0);
    assert_int_equal(flo_fleet_setting_set(store, "a", "it's two", &err), 0);
    assert_int_equal(flo_fleet_setting_get(store, "a", text, sizeof(text), &err), 0);
    assert_string_equal(text, "it's two");
}

static int add_release(struct flo_fleet_store *store, const char *version, const char *digest)
{
    struct flo_err err = {0};
    struct flo_fleet_release release = {
        .model = "tiny", .version = version, .digest = digest, .state = "published", .body = "{}"};

    return flo_fleet_release_add(store, &release, &err);
}

static int take_version(void *context, const struct flo_fleet_release *release)
{
    snprintf(context, 16, "%s", release->version);
    return 0;
}

static void a_release_is_alone_with_its_version_and_its_digest(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    char version[16];

    assert_int_equal(add_release(store, "1.0.0", "sha256:a"), 0);
    assert_int_equal(add_release(store, "1.0.0", "sha256:b"), FLO_E_STATE);
    assert_int_equal(add_release(store, "2.0.0", "sha256:a"), FLO_E_STATE);
    assert_int_equal(flo_fleet_release_get(store, NULL, "sha256:a", take_version, version, &err),
                     0);
    assert_string_equal(version, "1.0.0");
    assert_int_equal(flo_fleet_release_get(store, NULL, "sha256:b", NULL, NULL, &err),
                     FLO_E_RELEASE_ABSENT);
}

static void a_token_is_found_by_its_secret_and_alone_with_it(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) ids = {0};
    struct flo_fleet_token token = {
        .id = "t2", .kind = "access", .name = "", .role = "", .group = ""};

    add_token(store, "t1", "access", 0, 1, 0);
    flo_sha256("t1", 2, &token.secret);
    assert_int_equal(flo_fleet_token_add(store, &token, &err), FLO_E_STATE);
    assert_int_equal(flo_fleet_token_get(store, NULL, &token.secret, take_token_id, &ids, &err), 0);
    assert_string_equal(ids.data, "t1 ");
}

static int take_member(void *context, const struct flo_rollout_member *member,
                       const char *error_json, const char *detail_json)
{
    flo_buf_printf(context, "%.1s %s %s %s\n", member->device,
                   flo_execution_word((enum flo_execution)member->state), error_json, detail_json);
    return 0;
}

static void put_member(struct flo_fleet_store *store, const char *device, enum flo_execution state,
                       const char *error_json, const char *detail_json)
{
    struct flo_rollout_member member = {.state = (uint8_t)state, .bucket = 7};
    struct flo_err err = {0};

    snprintf(member.device, sizeof(member.device), "%s", device);
    assert_int_equal(flo_fleet_member_put(store, "r-1", &member, error_json, detail_json, &err), 0);
}

static void members_are_read_in_the_order_of_their_ids_and_by_them(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) shown = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) some = {0};
    const char *asked[40] = {[38] = "nobody", [39] = BOOT};
    struct flo_err err = {0};

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add_device(store, OTHER, "gw-2", "lab"), 0);
    put_member(store, DEVICE, FLO_EXECUTION_PROBING, NULL, NULL);
    put_member(store, OTHER, FLO_EXECUTION_PROBING, "{}", NULL);
    put_member(store, BOOT, FLO_EXECUTION_FAILED, NULL, NULL);
    put_member(store, OTHER, FLO_EXECUTION_SOAKING, NULL, "[]");
    assert_int_equal(flo_fleet_member_detail(store, "r-1", BOOT, "why", NULL, &err), 0);

    assert_int_equal(flo_fleet_member_list(store, "r-1", FLO_FLEET_ALL, take_member, &shown, &err),
                     0);
    assert_string_equal(shown.data, "1 probing  \n"
                                    "2 soaking {} []\n"
                                    "3 failed why \n");
    assert_int_equal(flo_fleet_member_list(store, "r-1", 0, take_member, NULL, &err), 0);
    for (size_t i = 0; i + 2 < FLO_COUNT(asked); i++) {
        asked[i] = "nobody";
    }
    assert_int_equal(
        flo_fleet_member_some(store, "r-1", asked, FLO_COUNT(asked), take_member, &some, &err), 0);
    assert_string_equal(some.data, "3 failed why \n");
    assert_int_equal(flo_fleet_member_some(store, "r-1", asked, 0, take_member, NULL, &err), 0);
}

static void put_joined(struct flo_fleet_store *store, const char *id, const char *state,
                       const char *group, const char *digest)
{
    struct flo_err err = {0};
    struct flo_fleet_rollout rollout = {
        .id = id, .group = group, .spec = "{}", .state = state, .core = "{}", .digest = digest};

    assert_int_equal(flo_fleet_rollout_put(store, &rollout, &err), 0);
}

static int take_text(void *context, const char *text)
{
    flo_buf_printf(context, "%s ", text);
    return 0;
}

static void a_device_joins_what_goes_on_and_the_newest_that_completed(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) ids = {0};
    struct flo_err err = {0};

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add_release(store, "1.0.0", "sha256:a"), 0);
    assert_int_equal(add_release(store, "2.0.0", "sha256:b"), 0);
    put_joined(store, "r-9", "completed", NULL, "sha256:a");
    put_joined(store, "r-10", "completed", NULL, "sha256:a");
    put_joined(store, "r-11", "running", "lab", "sha256:a");
    put_joined(store, "r-12", "paused", "shop", "sha256:a");
    put_joined(store, "r-13", "halted", "lab", "sha256:a");
    put_joined(store, "r-14", "completed", NULL, "sha256:b");
    assert_int_equal(flo_fleet_release_state(store, "sha256:b", "yanked", &err), 0);
    put_joined(store, "r-15", "running", "lab", "sha256:a");
    assert_int_equal(flo_fleet_rollout_joined(store, DEVICE, take_text, &ids, &err), 0);
    assert_string_equal(ids.data, "r-10 r-11 r-15 ");
}

static void an_answer_is_kept_for_a_day(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    const uint64_t day_ms = 86400000;
    struct flo_digest request = {{7}};
    struct flo_digest found = {{0}};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};
    struct flo_err err = {0};
    int status;

    assert_int_equal(flo_fleet_replay_put(store, "t", "k", &request, 201, "{}", 5, &err), 0);
    assert_int_equal(flo_fleet_replay_get(store, "t", "k", &found, &status, &body, &err), 0);
    assert_int_equal(status, 201);
    assert_true(flo_digest_equal(&request, &found));
    assert_string_equal(body.data, "{}");
    assert_int_equal(flo_fleet_replay_put(store, "t", "l", &request, 201, "{}", day_ms + 6, &err),
                     0);
    assert_int_equal(flo_fleet_replay_get(store, "t", "k", &found, &status, &body, &err), 0);
    assert_int_equal(status, 0);
}

static int take_record(void *context, const struct flo_audit_record *record,
                       const struct flo_digest *hash)
{
    (void)hash;
    flo_buf_printf(context, "%llu ", (unsigned long long)record->number);
    return 0;
}

static int walk_record(void *context, const struct flo_audit_record *record,
                       const struct flo_digest *hash)
{
    return flo_audit_walk_next(context, record, hash, NULL);
}

static void the_audit_is_a_chain_that_is_read_from_both_ends(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) up = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) down = {0};
    struct flo_audit_walk walk = {0};
    struct flo_err err = {0};

    for (int i = 0; i < 6; i++) {
        struct flo_audit_record record = {
            .who = "ops", .what = "x", .object = "y", .result = "ok", .detail = ""};
        assert_int_equal(flo_fleet_audit_add(store, &record, &err), 0);
    }
    assert_int_equal(flo_fleet_audit_list(store, 3, 2, take_record, &up, &err), 0);
    assert_string_equal(up.data, "3 4 ");
    assert_int_equal(flo_fleet_audit_newest(store, INT64_MAX, 2, take_record, &down, &err), 0);
    assert_string_equal(down.data, "6 5 ");
    assert_int_equal(flo_fleet_audit_list(store, 0, 0, walk_record, &walk, &err), 0);
    assert_int_equal(walk.number, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_ALL(a_token_has_as_many_uses_as_it_was_made_for),
        OVER_ALL(the_newest_token_is_listed_whatever_their_number),
        OVER_ALL(a_person_changes_and_takes_its_tokens_along),
        OVER_ALL(enrolment_tokens_of_no_use_go),
        OVER_ALL(what_is_under_way_is_listed_before_all_that_ended),
        OVER_ALL(a_counter_gives_each_number_once_and_none_that_was_skipped),
        OVER_ALL(a_setting_is_the_last_one_that_was_set),
        OVER_ALL(a_release_is_alone_with_its_version_and_its_digest),
        OVER_ALL(a_token_is_found_by_its_secret_and_alone_with_it),
        OVER_ALL(members_are_read_in_the_order_of_their_ids_and_by_them),
        OVER_ALL(a_device_joins_what_goes_on_and_the_newest_that_completed),
        OVER_ALL(an_answer_is_kept_for_a_day),
        OVER_ALL(the_audit_is_a_chain_that_is_read_from_both_ends),
    };
    return run_over_all("store", tests, FLO_COUNT(tests));
}
