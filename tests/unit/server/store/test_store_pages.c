/* The contract of the store, over every engine: lists in pages.  Rows that
 * come and go between two pages neither repeat nor hide others. */
#include "server-stub/store/watch.h"
#include "unit/server/store/store.h"

/* ---- tokens ---- */

struct token_page {
    struct flo_buf ids;
    uint64_t at_ms;
    char id[FLO_NAME_MAX + 1];
};

static int take_token(void *context, const struct flo_fleet_token *token)
{
    struct token_page *page = context;

    flo_buf_printf(&page->ids, "%s ", token->id);
    page->at_ms = token->created_at_ms;
    snprintf(page->id, sizeof(page->id), "%s", token->id);
    return 0;
}

static void add_token(struct flo_fleet_store *store, const char *id, uint64_t created_at_ms)
{
    struct flo_err err = {0};
    struct flo_fleet_token token = {.id = id,
                                    .kind = "enroll",
                                    .name = "",
                                    .role = "",
                                    .group = "all",
                                    .created_at_ms = created_at_ms};

    flo_sha256(id, strlen(id), &token.secret);
    assert_int_equal(flo_fleet_token_add(store, &token, &err), 0);
}

static void next_tokens(struct flo_fleet_store *store, struct token_page *page)
{
    struct flo_err err = {0};
    char id[FLO_NAME_MAX + 1];

    snprintf(id, sizeof(id), "%s", page->id);
    assert_int_equal(flo_fleet_token_list(store, page->at_ms, id, 2, take_token, page, &err), 0);
}

static void tokens_made_at_once_are_each_on_one_page(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct token_page page = {.at_ms = FLO_FLEET_ALL};
    struct flo_err err = {0};

    add_token(store, "old", 5);
    for (char id[] = "a"; id[0] <= 'e'; id[0]++) {
        add_token(store, id, 9);
    }
    next_tokens(store, &page);
    add_token(store, "new", 10);
    assert_int_equal(flo_fleet_token_delete(store, "b", &err), 0);
    next_tokens(store, &page);
    next_tokens(store, &page);
    next_tokens(store, &page);

    assert_string_equal(page.ids.data, "a b c d e old ");
    flo_buf_deinit(&page.ids);
}

/* ---- releases ---- */

struct release_page {
    struct flo_buf names;
    char model[FLO_NAME_MAX + 1];
    uint64_t number;
};

static int take_release(void *context, const struct flo_fleet_release *release)
{
    struct release_page *page = context;

    flo_buf_printf(&page->names, "%s@%s ", release->model, release->version);
    snprintf(page->model, sizeof(page->model), "%s", release->model);
    page->number = release->number;
    return 0;
}

static void add_release(struct flo_fleet_store *store, const char *model, uint64_t number)
{
    struct flo_err err = {0};
    char version[32];
    char digest[64];
    struct flo_fleet_release release = {.model = model,
                                        .version = version,
                                        .number = number,
                                        .digest = digest,
                                        .state = "published",
                                        .body = "{}"};

    snprintf(version, sizeof(version), "%llu", (unsigned long long)number);
    snprintf(digest, sizeof(digest), "%.20s %.20s", model, version);
    assert_int_equal(flo_fleet_release_add(store, &release, &err), 0);
}

static void releases_come_by_model_and_number(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct release_page page = {0};
    struct flo_err err = {0};

    add_release(store, "tiny", 10);
    add_release(store, "help", 2);
    add_release(store, "tiny", 9);
    add_release(store, "help", 11);
    for (int i = 0; i < 3; i++) {
        char model[FLO_NAME_MAX + 1];
        snprintf(model, sizeof(model), "%s", page.model);
        assert_int_equal(flo_fleet_release_page(store, NULL, model[0] != '\0' ? model : NULL,
                                                page.number, 3, take_release, &page, &err),
                         0);
    }
    assert_string_equal(page.names.data, "help@2 help@11 tiny@9 tiny@10 ");
    flo_buf_deinit(&page.names);

    page = (struct release_page){0};
    assert_int_equal(flo_fleet_release_page(store, "tiny", NULL, 9, 0, take_release, &page, &err),
                     0);
    assert_string_equal(page.names.data, "tiny@10 ");
    flo_buf_deinit(&page.names);
}

/* ---- rollouts ---- */

static int take_rollout(void *context, const struct flo_fleet_rollout *rollout)
{
    flo_buf_printf(context, "%s ", rollout->id);
    return 0;
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

static void rollouts_that_ended_follow_those_under_way(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) active = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) ended = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) none = {0};
    struct flo_err err = {0};

    put_rollout(store, 1, FLO_ROLLOUT_COMPLETED);
    put_rollout(store, 2, FLO_ROLLOUT_RUNNING);
    put_rollout(store, 3, FLO_ROLLOUT_HALTED);
    put_rollout(store, 10, FLO_ROLLOUT_PAUSED);
    put_rollout(store, 11, FLO_ROLLOUT_COMPLETED);
    assert_int_equal(
        flo_fleet_rollout_page(store, true, FLO_FLEET_ALL, 9, take_rollout, &active, &err), 0);
    assert_int_equal(flo_fleet_rollout_page(store, false, 11, 9, take_rollout, &ended, &err), 0);
    assert_int_equal(flo_fleet_rollout_page(store, false, 11, 0, take_rollout, &none, &err), 0);
    assert_string_equal(active.data, "r-10 r-2 ");
    assert_string_equal(ended.data, "r-3 r-1 ");
    assert_int_equal(none.bytes, 0);
}

/* ---- events ---- */

static int take_event(void *context, const char *text)
{
    flo_buf_printf(context, "%s ", text);
    return 0;
}

static void add_events(struct flo_fleet_store *store, uint64_t from, uint64_t to)
{
    struct flo_err err = {0};
    char json[16];
    bool is_new;
    uint64_t mark;

    for (uint64_t seq = from; seq <= to; seq++) {
        snprintf(json, sizeof(json), "%llu", (unsigned long long)seq);
        assert_int_equal(
            flo_fleet_event_add(store, DEVICE, BOOT, seq, 0, 1, 1, json, &is_new, &mark, &err), 0);
    }
}

static void older_events_are_read_page_by_page(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) texts = {0};
    struct flo_err err = {0};
    uint64_t oldest = FLO_FLEET_ALL;
    int pages = 0;

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    add_events(store, 1, 5);
    while (oldest > 0) {
        assert_int_equal(
            flo_fleet_event_list(store, DEVICE, oldest, 2, take_event, &texts, &oldest, &err), 0);
        add_events(store, 6 + pages, 6 + pages); /* comes meanwhile */
        pages++;
    }
    assert_string_equal(texts.data, "4 5 2 3 1 ");
    assert_int_equal(pages, 3);
}

static int add_name(void *context, const char *id, const char *body)
{
    flo_buf_printf(context, "%s=%s; ", id, body);
    return 0;
}

static void documents_come_by_kind_in_pages_of_names_and_one_by_name(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) said = {0};
    struct flo_err err = {0};
    bool known = true;

    static const char *const names[] = {"c", "a", "b"};
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        assert_int_equal(flo_fleet_watch_put(store, FLO_WATCH_site, names[i], "{}", &err), 0);
    }
    assert_int_equal(flo_fleet_watch_put(store, FLO_WATCH_RULE, "b", "[]", &err), 0);
    assert_int_equal(flo_fleet_watch_page(store, FLO_WATCH_site, "a", 1, add_name, &said, &err), 0);
    assert_int_equal(flo_fleet_watch_each(store, FLO_WATCH_site, add_name, &said, &err), 0);
    assert_int_equal(flo_fleet_watch_get(store, FLO_WATCH_RULE, "b", add_name, &said, &known, &err),
                     0);
    assert_true(known);
    assert_string_equal(said.data, "b={}; a={}; b={}; c={}; b=[]; ");
    assert_int_equal(flo_fleet_watch_get(store, FLO_WATCH_RULE, "a", add_name, &said, &known, &err),
                     0);
    assert_false(known);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_ENGINES(tokens_made_at_once_are_each_on_one_page),
        OVER_ALL(releases_come_by_model_and_number),
        OVER_ALL(rollouts_that_ended_follow_those_under_way),
        OVER_ENGINES(older_events_are_read_page_by_page),
        OVER_ALL(documents_come_by_kind_in_pages_of_names_and_one_by_name),
    };
    return run_over_all("store", tests, FLO_COUNT(tests));
}
