/* The store's contract: what each engine does with orders and their outcomes.
 */
#include "unit/server/store/store.h"

static void add_order(struct flo_fleet_store *store, const char *id, struct flo_fleet_order order)
{
    struct flo_err err = {0};

    order.id = id;
    order.seq = strtoull(id + 2, NULL, 10);
    order.group = order.group != NULL ? order.group : "all";
    order.envelope = "{}";
    order.body = order.body != NULL ? order.body : "{}";
    order.rollout = order.rollout != NULL ? order.rollout : "";
    order.model = order.model != NULL ? order.model : "tiny";
    order.release = order.release != NULL ? order.release : "";
    assert_int_equal(flo_fleet_order_add(store, &order, &err), 0);
}

static int ignore_order(void *context, const struct flo_fleet_order *order)
{
    (void)context;
    (void)order;
    return 0;
}

static int take_words(void *context, const struct flo_fleet_order *order)
{
    snprintf(context, 64, "%s", order->reason);
    return 0;
}

static void an_order_keeps_the_words_of_who_gave_it(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    char said[64];

    add_order(store, "o-1", (struct flo_fleet_order){.op = "freeze"});
    add_order(store, "o-2", (struct flo_fleet_order){.op = "config", .reason = "cheaper"});
    assert_int_equal(flo_fleet_order_get(store, "o-1", take_words, said, &err), 0);
    assert_string_equal(said, "");
    assert_int_equal(flo_fleet_order_reason(store, "o-1", "storm", &err), 0);
    assert_int_equal(flo_fleet_order_get(store, "o-1", take_words, said, &err), 0);
    assert_string_equal(said, "storm");
    assert_int_equal(flo_fleet_order_get(store, "o-2", take_words, said, &err), 0);
    assert_string_equal(said, "cheaper");
}

static bool has_order(struct flo_fleet_store *store, const char *id)
{
    return flo_fleet_order_get(store, id, ignore_order, NULL, NULL) == 0;
}

static void orders_go_a_month_behind_their_end_when_a_newer_one_says_the_same(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    const uint64_t now = 2 * FLO_ORDER_KEPT_MS;
    const uint64_t old = FLO_ORDER_KEPT_MS - 1;
    const char *kept[] = {"o-2", "o-4", "o-5", "o-6", "o-8", "o-9", "o-11", "o-12", "o-14", "o-15"};
    const char *gone[] = {"o-1", "o-3", "o-7", "o-10", "o-13"};
    uint64_t from = 0;

    add_order(store, "o-1", (struct flo_fleet_order){.op = "unfreeze"});
    add_order(store, "o-2", (struct flo_fleet_order){.op = "unfreeze"});
    /* of a rollout: by phase; also while it is paused for a month */
    add_order(store, "o-3", (struct flo_fleet_order){.op = "deploy", .rollout = "r-1"});
    add_order(store, "o-4", (struct flo_fleet_order){.op = "deploy", .rollout = "r-1"});
    add_order(store, "o-5", (struct flo_fleet_order){.op = "deploy", .rollout = "r-1", .phase = 1});
    add_order(store, "o-6", (struct flo_fleet_order){.op = "pause", .rollout = "r-1"});
    /* asked for by itself, then signed again and again */
    add_order(store, "o-7", (struct flo_fleet_order){.op = "rollback", .release = "x"});
    add_order(store, "o-8",
              (struct flo_fleet_order){.op = "rollback", .release = "x", .is_tracked = true});
    add_order(store, "o-9", (struct flo_fleet_order){.op = "rollback", .release = "y"});
    add_order(store, "o-10", (struct flo_fleet_order){.op = "rollback", .release = "x"});
    add_order(store, "o-11", (struct flo_fleet_order){.op = "rollback", .release = "x"});
    /* a desired holds it; not so long ago */
    add_order(store, "o-12", (struct flo_fleet_order){.op = "deploy", .rollout = "r-2"});
    add_order(store, "o-13", (struct flo_fleet_order){.op = "deploy", .rollout = "r-2"});
    add_order(store, "o-14",
              (struct flo_fleet_order){.op = "deploy", .rollout = "r-2", .expires_at_ms = old + 1});
    add_order(store, "o-15", (struct flo_fleet_order){.op = "deploy", .rollout = "r-2"});
    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(flo_fleet_desired_set(store, DEVICE, "tiny", "o-12", &err), 0);

    assert_int_equal(flo_fleet_order_prune(store, now, &from, &err), 0);

    assert_int_equal(from, FLO_FLEET_ALL);
    for (size_t i = 0; i < FLO_COUNT(kept); i++) {
        assert_true(has_order(store, kept[i]));
    }
    for (size_t i = 0; i < FLO_COUNT(gone); i++) {
        assert_false(has_order(store, gone[i]));
    }
}

static void orders_go_in_pieces(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    uint64_t from = 0;
    char id[16];

    begin(store);
    for (int i = 1; i <= FLO_FLEET_PRUNE_ORDERS + 3; i++) {
        snprintf(id, sizeof(id), "o-%d", i);
        add_order(store, id, (struct flo_fleet_order){.op = "config"});
    }
    commit(store);
    const uint64_t now = FLO_ORDER_KEPT_MS + 1;

    assert_int_equal(flo_fleet_order_prune(store, now, &from, &err), 0);
    assert_int_equal(from, FLO_FLEET_PRUNE_ORDERS);
    assert_false(has_order(store, "o-500"));
    assert_true(has_order(store, "o-501"));

    assert_int_equal(flo_fleet_order_prune(store, now, &from, &err), 0);
    assert_int_equal(from, FLO_FLEET_ALL);
    assert_false(has_order(store, "o-502"));
    assert_true(has_order(store, "o-503"));
}

static int take_order(void *context, const struct flo_fleet_order *order)
{
    flo_buf_printf(context, "%s ", order->id);
    return 0;
}

static int take_text(void *context, const char *text)
{
    flo_buf_printf(context, "%s ", text);
    return 0;
}

static void an_order_is_alone_with_its_id(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    struct flo_fleet_order again = {.id = "o-1",
                                    .op = "pause",
                                    .group = "",
                                    .envelope = "",
                                    .body = "",
                                    .rollout = "",
                                    .release = "",
                                    .seq = 2};

    add_order(store, "o-1", (struct flo_fleet_order){.op = "freeze"});
    assert_int_equal(flo_fleet_order_add(store, &again, &err), FLO_E_STATE);
    assert_non_null(strstr(err.what, "ord"));
}

static void the_lists_of_groups_hold_what_did_not_expire(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) all = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) groups = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) tracked = {0};
    struct flo_err err = {0};

    add_order(store, "o-1", (struct flo_fleet_order){.op = "pause", .expires_at_ms = 100});
    add_order(store, "o-2",
              (struct flo_fleet_order){.op = "freeze", .expires_at_ms = 200, .is_tracked = true});
    add_order(
        store, "o-3",
        (struct flo_fleet_order){.op = "rollback", .expires_at_ms = 200, .is_desired_only = true});
    add_order(store, "o-4",
              (struct flo_fleet_order){
                  .op = "freeze", .group = "lab", .expires_at_ms = 200, .is_tracked = true});
    assert_int_equal(flo_fleet_order_list(store, "all", 100, take_order, &all, &err), 0);
    assert_string_equal(all.data, "o-2 ");
    assert_int_equal(flo_fleet_order_groups(store, 100, take_text, &groups, &err), 0);
    assert_non_null(strstr(groups.data, "all "));
    assert_non_null(strstr(groups.data, "lab "));
    assert_int_equal(groups.bytes, 8);
    assert_int_equal(flo_fleet_order_tracked(store, FLO_FLEET_ALL, 1, take_order, &tracked, &err),
                     0);
    assert_string_equal(tracked.data, "o-4 ");
}

static void the_fleet_is_frozen_until_the_newest_order_thaws_it(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    bool frozen = true;
    uint64_t seq;

    assert_int_equal(flo_fleet_is_frozen(store, &frozen, &err), 0);
    assert_false(frozen);
    add_order(store, "o-1", (struct flo_fleet_order){.op = "freeze"});
    assert_int_equal(flo_fleet_is_frozen(store, &frozen, &err), 0);
    assert_true(frozen);
    add_order(store, "o-2", (struct flo_fleet_order){.op = "unfreeze"});
    assert_int_equal(flo_fleet_is_frozen(store, &frozen, &err), 0);
    assert_false(frozen);

    add_order(store, "o-3", (struct flo_fleet_order){.op = "rollback", .release = "x"});
    add_order(store, "o-4",
              (struct flo_fleet_order){.op = "rollback", .release = "y", .is_desired_only = true});
    assert_int_equal(flo_fleet_order_newest(store, "rollback", "tiny", "", &seq, &err), 0);
    assert_int_equal(seq, 3);
    assert_int_equal(flo_fleet_order_newest(store, "rollback", "tiny", "y", &seq, &err), 0);
    assert_int_equal(seq, 4);
    assert_int_equal(flo_fleet_orders_only_held(store, "x", &err), 0);
    assert_int_equal(flo_fleet_order_newest(store, "rollback", "tiny", "", &seq, &err), 0);
    assert_int_equal(seq, 0);
}

/* Writes the document of an order about prompts. */
static void write_prompts(bool stay, struct flo_buf *out)
{
    struct flo_order order = {.op = FLO_ORDER_PROMPTS,
                              .stay = stay,
                              .fleet = "demo",
                              .id = "o-1",
                              .seq = 1,
                              .expires_at_ms = 1,
                              .scope = {.group = "all"}};

    assert_int_equal(flo_order_write(&order, out, NULL), 0);
}

static void prompts_stay_until_the_newest_order_lets_them_go(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) stay = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) go = {0};
    struct flo_err err = {0};
    bool stays = true, found = true;

    write_prompts(true, &stay);
    write_prompts(false, &go);
    assert_int_equal(flo_fleet_prompts_stay(store, &stays, &found, &err), 0);
    assert_false(stays || found);
    add_order(store, "o-1", (struct flo_fleet_order){.op = "prompts", .body = stay.data});
    assert_int_equal(flo_fleet_prompts_stay(store, &stays, &found, &err), 0);
    assert_true(stays && found);
    add_order(store, "o-2", (struct flo_fleet_order){.op = "freeze"});
    add_order(store, "o-3", (struct flo_fleet_order){.op = "prompts", .body = go.data});
    assert_int_equal(flo_fleet_prompts_stay(store, &stays, &found, &err), 0);
    assert_true(!stays && found);
    /* bytes of a damaged row */
    add_order(store, "o-4", (struct flo_fleet_order){.op = "prompts"});
    assert_int_equal(flo_fleet_prompts_stay(store, &stays, &found, &err), 0);
    assert_true(stays && found);
}

static void the_order_of_a_rollout_is_the_newest_for_more_than_one(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) id = {0};
    struct flo_err err = {0};
    struct flo_fleet_order deploy = {.op = "deploy", .rollout = "r-1"};

    add_order(store, "o-1", deploy);
    add_order(store, "o-2", deploy);
    deploy.group = "";
    add_order(store, "o-3", deploy);
    deploy.phase = 1;
    deploy.group = "all";
    add_order(store, "o-4", deploy);
    assert_int_equal(flo_fleet_order_of(store, "r-1", "deploy", 0, take_order, &id, &err), 0);
    assert_string_equal(id.data, "o-2 ");
}

static void put_rollout(struct flo_fleet_store *store, const char *id, const char *state,
                        enum flo_execution member_state)
{
    struct flo_err err = {0};
    struct flo_fleet_rollout rollout = {
        .id = id, .spec = "{}", .state = state, .core = "{}", .digest = ""};
    struct flo_rollout_member member = {.device = DEVICE, .state = (uint8_t)member_state};

    assert_int_equal(flo_fleet_rollout_put(store, &rollout, &err), 0);
    assert_int_equal(flo_fleet_member_put(store, id, &member, NULL, NULL, &err), 0);
}

static void what_holds_longer_than_an_order_lives_stands_until_it_is_answered(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) before = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) after = {0};
    struct flo_err err = {0};
    bool is_news;
    struct flo_fleet_order resume = {.op = "resume", .rollout = "r-1"};
    struct flo_fleet_order rollback = {.op = "rollback", .release = "x", .is_tracked = true};

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add_device(store, OTHER, "gw-2", "lab"), 0);
    put_rollout(store, "r-1", "running", FLO_EXECUTION_ACCEPTED);
    put_rollout(store, "r-2", "running", FLO_EXECUTION_SUCCEEDED);
    add_order(store, "o-1", (struct flo_fleet_order){.op = "freeze"});
    add_order(store, "o-2", (struct flo_fleet_order){.op = "unfreeze"});
    add_order(store, "o-3", resume);
    add_order(store, "o-4", resume);
    resume.rollout = "r-2";
    add_order(store, "o-5", resume);
    add_order(store, "o-6", rollback);
    rollback.is_tracked = false; /* signed again */
    add_order(store, "o-7", rollback);
    rollback.release = "y";
    add_order(store, "o-8", rollback);
    add_order(store, "o-9", (struct flo_fleet_order){.op = "prompts"});
    add_order(store, "o-10", (struct flo_fleet_order){.op = "prompts"});
    assert_int_equal(flo_fleet_outcome_put(store, "o-6", DEVICE, FLO_OUTCOME_PENDING, 0, &err), 0);
    assert_int_equal(flo_fleet_outcome_put(store, "o-8", OTHER, FLO_OUTCOME_PENDING, 0, &err), 0);
    assert_int_equal(flo_fleet_device_retire(store, OTHER, &err), 0);

    assert_int_equal(flo_fleet_order_standing(store, take_order, &before, &err), 0);
    assert_string_equal(before.data, "o-2 o-4 o-7 o-10 ");
    assert_int_equal(
        flo_fleet_outcome_advance(store, "o-6", DEVICE, FLO_OUTCOME_DONE, 1, 2, "", &is_news, &err),
        0);
    put_rollout(store, "r-1", "running", FLO_EXECUTION_SUCCEEDED);
    assert_int_equal(flo_fleet_order_standing(store, take_order, &after, &err), 0);
    assert_string_equal(after.data, "o-2 o-10 ");
}

static void orders_that_a_desired_holds_are_listed_once(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) held = {0};
    struct flo_err err = {0};

    add_order(store, "o-1", (struct flo_fleet_order){.op = "deploy"});
    add_order(store, "o-2", (struct flo_fleet_order){.op = "deploy"});
    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add_device(store, OTHER, "gw-2", "lab"), 0);
    assert_int_equal(flo_fleet_desired_set(store, DEVICE, "tiny", "o-2", &err), 0);
    assert_int_equal(flo_fleet_desired_set(store, OTHER, "tiny", "o-2", &err), 0);
    assert_int_equal(flo_fleet_order_held(store, take_order, &held, &err), 0);
    assert_string_equal(held.data, "o-2 ");
}

/* ---- outcomes ---- */

static int take_outcome(void *context, const struct flo_fleet_outcome *outcome)
{
    flo_buf_printf(context, "%s %s %d\n", outcome->name, flo_outcome_word(outcome->outcome),
                   outcome->is_online);
    return 0;
}

static int take_reason(void *context, const char *word, uint64_t count)
{
    flo_buf_printf(context, "%s %d ", word, (int)count);
    return 0;
}

static bool advance(struct flo_fleet_store *store, const char *device,
                    enum flo_order_outcome outcome, uint64_t heard_ms, const char *error)
{
    struct flo_err err = {0};
    bool is_news = false;

    assert_int_equal(flo_fleet_outcome_advance(store, "o-1", device, outcome, 1, heard_ms, error,
                                               &is_news, &err),
                     0);
    return is_news;
}

static const char *const devices[] = {DEVICE, OTHER, "44444444-4444-4444-8444-444444444444", BOOT};

static void scope_of_four(struct flo_fleet_store *store)
{
    struct flo_err err = {0};

    add_order(store, "o-1", (struct flo_fleet_order){.op = "rollback", .is_tracked = true});
    for (size_t i = 0; i < FLO_COUNT(devices); i++) {
        char name[16];
        snprintf(name, sizeof(name), "gw-%zu", i + 1);
        assert_int_equal(add_device(store, devices[i], name, "lab"), 0);
        assert_int_equal(
            flo_fleet_outcome_put(store, "o-1", devices[i], FLO_OUTCOME_PENDING, 0, &err), 0);
    }
}

static void an_answer_is_news_once_and_an_end_stays(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    enum flo_order_outcome outcome;
    struct flo_err err = {0};
    bool known;

    scope_of_four(store);
    assert_true(advance(store, DEVICE, FLO_OUTCOME_RUNNING, 5, ""));
    assert_true(advance(store, DEVICE, FLO_OUTCOME_REFUSED, 6, "{\"id\":\"disk.full\"}"));
    assert_true(advance(store, DEVICE, FLO_OUTCOME_DONE, 7, ""));
    assert_false(advance(store, DEVICE, FLO_OUTCOME_DONE, 8, ""));
    assert_false(advance(store, DEVICE, FLO_OUTCOME_RUNNING, 9, ""));
    assert_false(advance(store, "nobody", FLO_OUTCOME_DONE, 9, ""));
    assert_int_equal(flo_fleet_outcome_get(store, "o-1", DEVICE, &known, &outcome, &err), 0);
    assert_true(known);
    assert_int_equal(outcome, FLO_OUTCOME_DONE);
    assert_int_equal(flo_fleet_outcome_get(store, "o-1", "nobody", &known, &outcome, &err), 0);
    assert_false(known);
}

static uint32_t done(struct flo_fleet_store *store)
{
    struct flo_order_progress progress;
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_outcome_progress(store, "o-1", &progress, &err), 0);
    assert_int_equal(progress.devices, FLO_COUNT(devices));
    return progress.done;
}

/* Progress is asked for while thousands answer, and some of them again. */
static void answers_to_an_order_that_is_looked_at_are_in_memory(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    scope_of_four(store);
    assert_int_equal(done(store), 0);
    assert_true(advance(store, DEVICE, FLO_OUTCOME_DONE, 5, ""));
    assert_int_equal(done(store), 1);
    uint64_t statements = flo_fleet_statements(store);
    assert_false(advance(store, DEVICE, FLO_OUTCOME_DONE, 6, ""));
    assert_false(advance(store, "nobody", FLO_OUTCOME_DONE, 6, ""));
    assert_int_equal(done(store), 1);
    assert_int_equal(flo_fleet_statements(store), statements);

    assert_int_equal(flo_fleet_begin(store, &err), 0);
    assert_true(advance(store, OTHER, FLO_OUTCOME_DONE, 7, ""));
    assert_int_equal(done(store), 2);
    flo_fleet_roll_back(store);
    assert_int_equal(done(store), 1);
    assert_true(advance(store, OTHER, FLO_OUTCOME_DONE, 8, ""));
    assert_int_equal(done(store), 2);
}

static void answers_are_counted_and_shown_by_who_did_not_get_there(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) all = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) three = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) reasons = {0};
    struct flo_order_progress progress;
    struct flo_err err = {0};
    uint64_t heard_ms;
    bool is_news;

    scope_of_four(store);
    assert_int_equal(flo_fleet_device_online(store, OTHER, true, &is_news, &err), 0);
    advance(store, devices[0], FLO_OUTCOME_DONE, 10, "");
    advance(store, devices[2], FLO_OUTCOME_DONE, 30, "");
    advance(store, devices[3], FLO_OUTCOME_REFUSED, 20, "{\"id\":\"disk.full\"}");
    assert_int_equal(flo_fleet_outcome_list(store, "o-1", FLO_FLEET_ALL, take_outcome, &all, &err),
                     0);
    assert_string_equal(all.data, "gw-2 pending 1\ngw-4 refused 0\n"
                                  "gw-1 done 0\ngw-3 done 0\n");
    assert_int_equal(flo_fleet_outcome_list(store, "o-1", 3, take_outcome, &three, &err), 0);
    assert_string_equal(three.data, "gw-2 pending 1\ngw-4 refused 0\ngw-1 done 0\n");
    assert_int_equal(flo_fleet_outcome_list(store, "o-1", 0, take_outcome, NULL, &err), 0);

    assert_int_equal(flo_fleet_outcome_progress(store, "o-1", &progress, &err), 0);
    assert_int_equal(progress.devices, 4);
    assert_int_equal(progress.online, 1);
    assert_int_equal(progress.awaited, 1);
    assert_int_equal(progress.done, 2);
    assert_int_equal(progress.failed, 1);
    assert_int_equal(flo_fleet_outcome_quantile(store, "o-1", 500, &heard_ms, &err), 0);
    assert_int_equal(heard_ms, 10);
    assert_int_equal(flo_fleet_outcome_quantile(store, "o-1", 1000, &heard_ms, &err), 0);
    assert_int_equal(heard_ms, 30);
    assert_int_equal(flo_fleet_outcome_quantile(store, "o-2", 1000, &heard_ms, &err), 0);
    assert_int_equal(heard_ms, 0);
    assert_int_equal(flo_fleet_outcome_reasons(store, "o-1", take_reason, &reasons, &err), 0);
    assert_string_equal(reasons.data, "disk.full 1 ");
}

static void reasons_are_listed_by_how_frequent_they_are(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) reasons = {0};
    struct flo_err err = {0};
    bool is_news;

    begin(store);
    for (int reason = 0; reason < 20; reason++) {
        for (int i = 0; i <= reason; i++) {
            char device[16];
            char error[32];
            snprintf(device, sizeof(device), "d-%d-%d", reason, i);
            snprintf(error, sizeof(error), "{\"id\":\"r%d\"}", reason);
            assert_int_equal(
                flo_fleet_outcome_put(store, "o-1", device, FLO_OUTCOME_PENDING, 0, &err), 0);
            assert_int_equal(flo_fleet_outcome_advance(store, "o-1", device, FLO_OUTCOME_REFUSED, 0,
                                                       1, error, &is_news, &err),
                             0);
        }
    }
    commit(store);
    assert_int_equal(flo_fleet_outcome_reasons(store, "o-1", take_reason, &reasons, &err), 0);
    assert_string_equal(reasons.data,
                        "r19 20 r18 19 r17 18 r16 17 r15 16 r14 15 r13 14 r12 13 r11 12 r10 11 "
                        "r9 10 r8 9 r7 8 r6 7 r5 6 r4 5 ");
}

static void a_device_is_awaited_until_it_answered(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) ids = {0};
    struct flo_err err = {0};
    bool awaited;

    scope_of_four(store);
    assert_int_equal(flo_fleet_outcome_awaited(store, DEVICE, take_order, &ids, &err), 0);
    assert_string_equal(ids.data, "o-1 ");
    advance(store, DEVICE, FLO_OUTCOME_DONE, 10, "");
    assert_int_equal(flo_fleet_device_is_awaited(store, DEVICE, &awaited, &err), 0);
    assert_false(awaited);
    assert_int_equal(flo_fleet_device_is_awaited(store, OTHER, &awaited, &err), 0);
    assert_true(awaited);
}

/* Each report and each answer asks it. */
static void who_is_awaited_in_one_order_is_known_by_heart(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) ids = {0};
    struct flo_err err = {0};
    bool is_awaited;
    bool is_news;

    add_order(store, "o-1", (struct flo_fleet_order){.op = "freeze"});
    add_order(store, "o-2", (struct flo_fleet_order){.op = "freeze"});
    flo_buf_text(&ids, "");
    assert_int_equal(flo_fleet_device_is_awaited(store, DEVICE, &is_awaited, &err), 0);
    assert_false(is_awaited);
    assert_int_equal(flo_fleet_outcome_put(store, "o-1", DEVICE, FLO_OUTCOME_PENDING, 0, &err), 0);
    uint64_t before = flo_fleet_statements(store);
    assert_int_equal(flo_fleet_device_is_awaited(store, DEVICE, &is_awaited, &err), 0);
    assert_true(is_awaited);
    assert_int_equal(flo_fleet_statements(store), before);
    assert_int_equal(flo_fleet_outcome_awaited(store, DEVICE, take_order, &ids, &err), 0);
    assert_string_equal(ids.data, "o-1 ");

    /* Two of them: both are found, and one stays when one is answered. */
    assert_int_equal(flo_fleet_outcome_put(store, "o-2", DEVICE, FLO_OUTCOME_PENDING, 0, &err), 0);
    assert_int_equal(flo_fleet_outcome_awaited(store, DEVICE, take_order, &ids, &err), 0);
    assert_string_equal(ids.data, "o-1 o-1 o-2 ");
    assert_int_equal(
        flo_fleet_outcome_advance(store, "o-1", DEVICE, FLO_OUTCOME_DONE, 0, 1, "", &is_news, &err),
        0);
    assert_int_equal(flo_fleet_outcome_awaited(store, DEVICE, take_order, &ids, &err), 0);
    assert_string_equal(ids.data, "o-1 o-1 o-2 o-2 ");
    assert_int_equal(
        flo_fleet_outcome_advance(store, "o-2", DEVICE, FLO_OUTCOME_DONE, 0, 1, "", &is_news, &err),
        0);
    assert_int_equal(flo_fleet_device_is_awaited(store, DEVICE, &is_awaited, &err), 0);
    assert_false(is_awaited);

    /* A change that is taken back leaves nothing in memory. */
    begin(store);
    assert_int_equal(flo_fleet_outcome_put(store, "o-1", DEVICE, FLO_OUTCOME_PENDING, 0, &err), 0);
    flo_fleet_roll_back(store);
    assert_int_equal(flo_fleet_device_is_awaited(store, DEVICE, &is_awaited, &err), 0);
    assert_false(is_awaited);
}

/* ---- offers ---- */

static bool offers(struct flo_fleet_store *store, const char *device, const char *digest)
{
    bool artifact = true;
    bool release = true;
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_offers_artifact(store, device, digest, &artifact, &err), 0);
    assert_int_equal(flo_fleet_offers_release(store, device, digest, &release, &err), 0);
    assert_false(artifact && release);
    return artifact || release;
}

static void desire(struct flo_fleet_store *store, const char *device, const char *order)
{
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_desired_set(store, device, "tiny", order, &err), 0);
}

static int take_bringer(void *context, const char *release)
{
    strcat(context, release);
    return 0;
}

/* Releases a and b: each a file of its own, and one that is in both. */
static void a_device_may_fetch_what_a_deploy_of_its_desired_named_once(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    for (const char *release = "ab"; *release != '\0'; release++) {
        char digest[] = {*release, '\0'};
        char own[] = {*release, '1', '\0'};
        for (int again = 0; again < 2; again++) {
            assert_int_equal(flo_fleet_release_brings(store, digest, own, &err), 0);
            assert_int_equal(flo_fleet_release_brings(store, digest, "both", &err), 0);
        }
    }
    const char *const asked[] = {"a1", "both", "c1"};
    for (size_t i = 0; i < FLO_COUNT(asked); i++) {
        char bringers[16] = "";
        assert_int_equal(flo_fleet_bringers(store, asked[i], 16, take_bringer, bringers, &err), 0);
        assert_string_equal(bringers, i == 0 ? "a" : i == 1 ? "ab" : "");
    }
    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add_device(store, OTHER, "gw-2", "lab"), 0);
    add_order(store, "o-1", (struct flo_fleet_order){.op = "deploy", .release = "a"});
    add_order(store, "o-2", (struct flo_fleet_order){.op = "rollback", .release = "b"});
    desire(store, OTHER, "o-2");
    assert_false(offers(store, OTHER, "b")); /* told to leave it */
    assert_false(offers(store, DEVICE, "a"));

    desire(store, DEVICE, "o-1");
    desire(store, DEVICE, "o-1");
    assert_true(offers(store, DEVICE, "a"));
    assert_true(offers(store, DEVICE, "a1"));
    assert_true(offers(store, DEVICE, "both"));
    assert_false(offers(store, DEVICE, "b1"));
    assert_false(offers(store, OTHER, "a1"));
    assert_false(offers(store, OTHER, "both"));

    /* It may be repaired after that. */
    desire(store, DEVICE, "o-2");
    desire(store, DEVICE, "");
    assert_true(offers(store, DEVICE, "a1"));
}

static void a_device_may_fetch_what_it_was_ordered_to_measure(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_release_brings(store, "a", "a1", &err), 0);
    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    add_order(store, "o-1", (struct flo_fleet_order){.op = "benchmark", .release = "a"});
    add_order(store, "o-2", (struct flo_fleet_order){.op = "logs", .release = ""});

    assert_int_equal(flo_fleet_offer_add(store, DEVICE, "o-2", &err), 0);
    assert_false(offers(store, DEVICE, "a1"));
    assert_int_equal(flo_fleet_offer_add(store, DEVICE, "o-1", &err), 0);
    assert_true(offers(store, DEVICE, "a1"));
}

static void an_offer_ends_with_the_identity_that_it_was_made_to(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_release_brings(store, "a", "a1", &err), 0);
    add_order(store, "o-1", (struct flo_fleet_order){.op = "deploy", .release = "a"});
    add_order(store, "o-2", (struct flo_fleet_order){.op = "freeze", .release = ""});
    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    desire(store, DEVICE, "o-1");
    assert_int_equal(flo_fleet_device_retire(store, DEVICE, &err), 0);
    assert_false(offers(store, DEVICE, "a1"));
    desire(store, DEVICE, "o-1"); /* too late */
    assert_false(offers(store, DEVICE, "a1"));

    assert_int_equal(add_device(store, OTHER, "gw-1", "lab"), 0);
    assert_false(offers(store, OTHER, "a1"));
    desire(store, OTHER, "o-1");
    assert_true(offers(store, OTHER, "a1"));
    assert_true(offers(store, OTHER, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_ALL(orders_go_a_month_behind_their_end_when_a_newer_one_says_the_same),
        OVER_ALL(an_order_keeps_the_words_of_who_gave_it),
        OVER_ALL(orders_go_in_pieces),
        OVER_ALL(an_order_is_alone_with_its_id),
        OVER_ALL(the_lists_of_groups_hold_what_did_not_expire),
        OVER_ALL(the_fleet_is_frozen_until_the_newest_order_thaws_it),
        OVER_ALL(prompts_stay_until_the_newest_order_lets_them_go),
        OVER_ALL(the_order_of_a_rollout_is_the_newest_for_more_than_one),
        OVER_ENGINES(what_holds_longer_than_an_order_lives_stands_until_it_is_answered),
        OVER_ALL(orders_that_a_desired_holds_are_listed_once),
        OVER_ALL(an_answer_is_news_once_and_an_end_stays),
        OVER_ALL(answers_to_an_order_that_is_looked_at_are_in_memory),
        OVER_ENGINES(answers_are_counted_and_shown_by_who_did_not_get_there),
        OVER_ALL(reasons_are_listed_by_how_frequent_they_are),
        OVER_ALL(a_device_is_awaited_until_it_answered),
        OVER_ENGINES(who_is_awaited_in_one_order_is_known_by_heart),
        OVER_ALL(a_device_may_fetch_what_a_deploy_of_its_desired_named_once),
        OVER_ALL(a_device_may_fetch_what_it_was_ordered_to_measure),
        OVER_ALL(an_offer_ends_with_the_identity_that_it_was_made_to),
    };
    return run_over_all("store", tests, FLO_COUNT(tests));
}
