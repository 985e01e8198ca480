/* Shared things: each row of agent/parties.def has a function here, and is
 * played by each kind of party.  A row without its function does not build.
 *
 * In each cell `one` takes all that it can get.  Then it has no more than its
 * share, and `other` finds room and sees nothing of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/rest.h>

#include "agent/serve/batch/store.h"
#include "agent/serve/fallback/endpoint.h"
#include "agent/serve/requests/apps.h"
#include "agent/serve/requests/judged.h"
#include "agent/serve/requests/turns.h"
#include "agent/serve/responses/store.h"
#include "unit/remove_tree.h"
#include "unit/serve/serve_world.h"

static struct flo_serve *serve;
static struct flo_party one, other, owner;
static struct flo_err err;

/* The names under which parties are stored; the second of each kind is the
 * other one. */
static const char *const names[][2] = {
    [FLO_PARTY_APP] = {"shop", "kiosk"},
    [FLO_PARTY_USER] = {"user:4711", "user:4712"},
    [FLO_PARTY_DEVICE] = {"device:4711", "device:4712"},
    [FLO_PARTY_ADDRESS] = {"address:4711", "address:4712"},
};

static void open_parties(enum flo_party_kind kind)
{
    serve = calloc(1, sizeof(*serve));
    serve->n_tokens = 2;
    for (int i = 0; i < 2; i++) {
        strcpy(serve->tokens[i].name, names[FLO_PARTY_APP][i]);
        serve->tokens[i].number = flo_party_number(FLO_PARTY_APP, serve->tokens[i].name);
    }
    assert_true(flo_party_read(serve, names[kind][0], &one));
    assert_true(flo_party_read(serve, names[kind][1], &other));
    assert_true(flo_party_read(serve, "", &owner));
    assert_int_equal(one.number >> 56, kind);
    assert_int_equal(one.token, kind == FLO_PARTY_APP ? 0 : -1);
    assert_int_not_equal(one.number, other.number);
    assert_true(flo_party_is_owner(owner.number));
    assert_false(flo_party_is_owner(one.number));
    err = (struct flo_err){0};
}

static const char *name_of(const struct flo_party *party)
{
    static char name[FLO_NAME_MAX + 1];
    flo_party_name(serve, party, name);
    return name;
}

/* ---- rows ---- */

static void PREFIXES(enum flo_party_kind kind)
{
    struct flo_party again;
    assert_true(flo_party_read(serve, names[kind][0], &again));
    assert_int_equal(again.number, one.number);
    /* The engine compares these alone (test_worker_sharing.c). */
    assert_int_not_equal(one.prefixes, other.prefixes);
    assert_true((again.prefixes == one.prefixes) == (kind != FLO_PARTY_ADDRESS));
    assert_true(flo_party_is_told(one.number) == (kind != FLO_PARTY_ADDRESS));
    assert_string_equal(name_of(&one), names[kind][0]);
}

enum { PLACES_MAX = 64 };
static struct serve_request requests[PLACES_MAX + 1];

/* `one` has as many requests as there are places; the last one is newest. */
static void fill_places(struct serve_engine *engine)
{
    memset(requests, 0, sizeof(requests));
    for (int i = 0; i <= PLACES_MAX; i++) {
        requests[i].serve = serve;
        requests[i].place = &serve->places[0];
        requests[i].party = one;
        requests[i].is_waiting = true;
        requests[i].kind = REQUEST_CHAT;
        requests[i].params.message.type = FLO_WIRE_GENERATE;
        requests[i].next = i + 1 < PLACES_MAX ? &requests[i + 1] : NULL;
    }
    serve->running = &requests[0];
    engine->serve = serve;
    engine->place = &serve->places[0];
    engine->sessions = 4;
}

static void run(struct serve_request *request, struct serve_engine *engine)
{
    request->is_waiting = false;
    request->call.engine = engine;
    request->call.kind = flo_serve_call_kind(&request->params.message);
}

static void TURNS(enum flo_party_kind kind)
{
    struct serve_engine *engine = calloc(1, sizeof(*engine));
    (void)kind;
    fill_places(engine);
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(flo_turns_choose(engine), &requests[i]);
        run(&requests[i], engine);
    }
    /* The other one came last, and is next. */
    requests[PLACES_MAX - 1].party = other;
    assert_ptr_equal(flo_turns_choose(engine), &requests[PLACES_MAX - 1]);
    free(engine);
}

static void PLACES(enum flo_party_kind kind)
{
    struct serve_engine *engine = calloc(1, sizeof(*engine));
    struct serve_request *newcomer = &requests[PLACES_MAX];
    uint32_t most;
    (void)kind;
    fill_places(engine);
    assert_null(flo_turns_give_up(serve, newcomer, &most));
    newcomer->party = other;
    assert_ptr_equal(flo_turns_give_up(serve, newcomer, &most), &requests[PLACES_MAX - 1]);
    assert_int_equal(most, PLACES_MAX);
    free(engine);
}

/* Makes all held requests one party's. */
static bool held_by(const struct flo_party *party)
{
    for (struct serve_request *r = world.serve->held; r != NULL; r = r->next) {
        r->party = *party;
    }
    return true;
}

static bool is_held(uint64_t kind)
{
    struct serve_request *r = world.serve->held;
    while (r != NULL && r->party.number >> 56 != kind) {
        r = r->next;
    }
    return r != NULL;
}

/* One that opens more connections than there are, and asks on each, keeps none
 * from the other one.  Devices come by a listener with TLS, to the same server. */
static void CONNECTIONS(enum flo_party_kind kind)
{
    enum { MOST = 100 };
    static struct client client;
    int fds[MOST];
    world_open();
    for (int i = 0; i < MOST; i++) {
        fds[i] = kind == FLO_PARTY_ADDRESS ? say_as_other("/v1/chat/completions", CHAT)
                                           : say("/v1/chat/completions", CHAT);
        assert_true(fds[i] >= 0);
    }
    RUN_UNTIL(status_now().held == PLACES_MAX);
    if (kind == FLO_PARTY_APP || kind == FLO_PARTY_DEVICE) {
        (void)LOOK_INSIDE(held_by(&one)); /* whoever they are, they are one party */
    }
    client.is_other = kind != FLO_PARTY_ADDRESS;
    client_start(&client, "/v1/chat/completions", CHAT, false);
    uint64_t number = client.is_other ? FLO_PARTY_ADDRESS : FLO_PARTY_USER;
    RUN_UNTIL(LOOK_INSIDE(is_held(number)));
    open_current(V2, "2.0.0");
    client_end(&client);
    assert_int_equal(client.status, 200);
    for (int i = 0; i < MOST; i++) {
        close(fds[i]);
    }
    world_close();
}

static void keep_response(const struct flo_party *party, int number)
{
    struct flo_buf object = {0}, items = {0};
    char id[32];
    snprintf(id, sizeof(id), "resp_%d", number);
    flo_buf_text(&object, "{}");
    flo_buf_text(&items, "[]");
    flo_responses_keep(serve, party->number, id, &object, &items, 0);
}

static void RESPONSES(enum flo_party_kind kind)
{
    (void)kind;
    keep_response(&other, 0);
    for (int i = 1; i <= 2 * RESPONSES_STORED_MAX; i++) {
        keep_response(&one, i);
    }
    assert_non_null(flo_responses_find(serve, other.number, "resp_0", &err));
    assert_null(flo_responses_find(serve, one.number, "resp_0", &err));
    assert_false(flo_responses_delete(serve, one.number, "resp_0"));
    assert_null(flo_responses_find_item(serve, other.number, "resp_1"));
    /* The device's owner sees and ends it. */
    assert_non_null(flo_responses_find(serve, owner.number, "resp_0", &err));
    assert_true(flo_responses_delete(serve, owner.number, "resp_0"));
    assert_null(flo_responses_find(serve, other.number, "resp_0", &err));
    flo_responses_close(serve);
}

static struct flo_batch_store *store;

static void open_store(void)
{
    store = calloc(1, sizeof(*store));
    strcpy(store->folder, "/tmp/flo-parties-XXXXXX");
    assert_non_null(mkdtemp(store->folder));
    store->bytes_max = 1000;
    store->keep_s = 1000;
    assert_int_equal(flo_batch_store_open(store, &err), 0);
}

static void close_store(void)
{
    flo_batch_store_close(store);
    remove_tree(store->folder);
    free(store);
}

/* Returns whether it got a file. */
static bool add_file(const struct flo_party *party, uint64_t bytes, char id[FLO_OBJECT_ID])
{
    struct flo_batch_file file = {.bytes = bytes, .created_s = 1, .name = "f"};
    strcpy(file.app, name_of(party));
    flo_object_id_make("file-", file.id);
    strcpy(id, file.id);
    return flo_batch_store_room(store, file.app, bytes, &err) == 0 &&
           flo_batch_store_places(store, file.app, 1, &err) == 0 &&
           flo_batch_store_add(store, &file, &err) == 0;
}

/* The other one sees no file, and the device's owner may end it. */
static void expect_owned(const char *id)
{
    assert_null(flo_batch_store_find(store, name_of(&other), id));
    struct flo_batch_file *file = flo_batch_store_find(store, name_of(&owner), id);
    assert_non_null(file);
    assert_ptr_equal(flo_batch_store_find(store, name_of(&one), id), file);
    flo_batch_store_remove(store, file);
    assert_null(flo_batch_store_find(store, name_of(&one), id));
}

static void FILES(enum flo_party_kind kind)
{
    char id[FLO_OBJECT_ID], last[FLO_OBJECT_ID];
    unsigned taken = 0, others = 0;
    (void)kind;
    open_store();
    while (add_file(&one, 0, id)) {
        strcpy(last, id);
        taken++;
    }
    assert_int_equal(err.code, FLO_E_REST_LIMIT);
    assert_int_equal(taken, FLO_BATCH_FILES_MAX / 2);
    while (add_file(&other, 0, id)) {
        others++;
    }
    assert_int_equal(others, FLO_BATCH_FILES_MAX / 4);
    assert_true(add_file(&owner, 0, id));
    expect_owned(last);
    close_store();
}

static void BYTES(enum flo_party_kind kind)
{
    char id[FLO_OBJECT_ID], last[FLO_OBJECT_ID];
    uint64_t taken = 0;
    (void)kind;
    open_store();
    /* An upload that has not ended counts as well. */
    struct flo_batch_coming coming = {.bytes = 100};
    strcpy(coming.app, name_of(&one));
    store->coming = &coming;
    while (add_file(&one, 100, id)) {
        strcpy(last, id);
        taken += 100;
    }
    assert_int_equal(err.code, FLO_E_DISK_FULL);
    assert_int_equal(taken, 400);
    assert_true(add_file(&other, 250, id));
    assert_false(add_file(&other, 1, id));
    assert_true(add_file(&owner, 250, id));
    assert_false(add_file(&owner, 1, id)); /* all of it */
    expect_owned(last);
    close_store();
}

/* Returns whether it may begin a batch, which is then under way. */
static bool add_batch(const struct flo_party *party, char id[FLO_OBJECT_ID])
{
    struct flo_batch batch = {.status = FLO_BATCH_IN_PROGRESS, .at_s = {1}};
    strcpy(batch.app, name_of(party));
    flo_object_id_make("batch-", batch.id);
    flo_object_id_make("file-", batch.input);
    strcpy(id, batch.id);
    return flo_batch_store_places(store, batch.app, 2, &err) == 0 &&
           flo_batch_store_begin(store, &batch, &err) == 0;
}

static void BATCHES(enum flo_party_kind kind)
{
    char id[FLO_OBJECT_ID], last[FLO_OBJECT_ID];
    unsigned taken = 0;
    (void)kind;
    open_store();
    while (add_batch(&one, id)) {
        strcpy(last, id);
        taken++;
    }
    /* Each of them may write two files. */
    assert_int_equal(taken, FLO_BATCH_FILES_MAX / 4);
    assert_true(add_batch(&other, id));
    assert_null(flo_batch_store_batch(store, name_of(&other), last));
    assert_non_null(flo_batch_store_batch(store, name_of(&owner), last));
    assert_true(add_file(&other, 1, id));
    close_store();
}

static void note(const struct flo_party *party, const char *id)
{
    struct serve_request request = {.serve = serve, .party = *party, .kind = REQUEST_CHAT};
    strcpy(request.id, id);
    flo_judged_note(&request);
}

static void FEEDBACK(enum flo_party_kind kind)
{
    const struct serve_place *place = &serve->places[0];
    unsigned taken = 0;
    (void)kind;
    note(&other, "other");
    for (size_t i = 0; i < 2 * FLO_COUNT(serve->answers); i++) {
        note(&one, "one");
    }
    /* It judges what it got, and nothing else. */
    assert_int_equal(flo_judged_take(serve, one.number, place, "other", &err),
                     FLO_E_REST_NOT_FOUND);
    while (taken < 1000 && flo_judged_take(serve, one.number, place, NULL, &err) == 0) {
        taken++;
    }
    assert_int_equal(taken, FLO_COUNT(serve->answers) - 1);
    assert_int_equal(flo_judged_take(serve, other.number, place, "other", &err), 0);
    assert_int_equal(flo_judged_take(serve, other.number, place, "other", &err),
                     FLO_E_REST_NOT_FOUND);
}

/* Nothing in an endpoint's health tells who asked: a request's own error does
 * not count, whoever sent it. */
static void ENDPOINTS(enum flo_party_kind kind)
{
    static const char *const errors[] = {"infer.param", "infer.schema", "infer.form",
                                         "infer.prompt_too_long", "infer.cancelled"};
    struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
    (void)kind;
    for (size_t i = 0; i < 8 * FLO_COUNT(errors); i++) {
        flo_endpoint_ended(endpoint, flo_error_code(errors[i % FLO_COUNT(errors)]));
        assert_int_equal(endpoint->next_ms, 0);
    }
    flo_endpoint_ended(endpoint, flo_error_code("infer.busy"));
    assert_true(endpoint->next_ms > 0);
    /* Nor does it make a failed one well. */
    flo_endpoint_ended(endpoint, flo_error_code("infer.cancelled"));
    assert_true(endpoint->next_ms > 0);
    flo_endpoint_ended(endpoint, 0);
    assert_int_equal(endpoint->next_ms, 0);
    free(endpoint);
}

static void LINES(enum flo_party_kind kind)
{
    unsigned lines = 0, others = 0;
    (void)kind;
    for (int i = 0; i < 100; i++) {
        lines += flo_party_log(serve, &one, 50, FLO_LOG_DEBUG, "test", &err);
    }
    assert_int_equal(lines, FLO_PARTY_LINES_MAX);
    for (int i = 0; i < 100; i++) {
        others += flo_party_log(serve, &other, 50, FLO_LOG_DEBUG, "test", &err);
    }
    assert_int_equal(others, FLO_PARTY_LINES_MAX);
    assert_true(flo_party_log(serve, &one, 50 + FLO_PARTY_LINES_MS, FLO_LOG_DEBUG, "test", &err));
}

static void LIMITS(enum flo_party_kind kind)
{
    struct serve_request request = {.serve = serve, .party = one};
    struct flo_quota_state state;
    for (int i = 0; i < 2; i++) {
        serve->tokens[i].quota.limits[FLO_QUOTA_TOKENS_DAY] = 10;
    }
    flo_app_spend(&request, 8, 8);
    assert_int_equal(serve->tokens[0].tokens_in, kind == FLO_PARTY_APP ? 8 : 0);
    assert_int_equal(serve->tokens[1].tokens_in + serve->tokens[1].tokens_out, 0);
    assert_true(flo_quota_take(&serve->tokens[0].quota, waits_now_ms(), 1, &state) ==
                (kind != FLO_PARTY_APP));
    assert_true(flo_quota_take(&serve->tokens[1].quota, waits_now_ms(), 1, &state));
}

/* ---- the table ---- */

static const struct row {
    const char *thing;
    void (*play)(enum flo_party_kind kind);
} rows[FLO_SHARED_COUNT] = {
#define FLO_SHARED(name, thing, share, sees) [FLO_SHARED_##name] = {thing, name},
#include "agent/parties.def"
#undef FLO_SHARED
};

static void a_cell(void **state)
{
    size_t cell = *(const size_t *)*state;
    static const enum flo_party_kind kinds[] = {
#define FLO_PARTY(name, number, word, known) FLO_PARTY_##name,
#include "agent/parties.def"
#undef FLO_PARTY
    };
    open_parties(kinds[cell % FLO_COUNT(kinds)]);
    rows[cell / FLO_COUNT(kinds)].play(kinds[cell % FLO_COUNT(kinds)]);
    free(serve);
}

int main(void)
{
    enum {
#define FLO_PARTY(name, number, word, known) KIND_##name,
#include "agent/parties.def"
#undef FLO_PARTY
        KINDS
    };
    static const char *const words[] = {
#define FLO_PARTY(name, number, word, known) word,
#include "agent/parties.def"
#undef FLO_PARTY
    };
    static size_t cells[FLO_SHARED_COUNT * KINDS];
    static char titles[FLO_SHARED_COUNT * KINDS][120];
    static struct CMUnitTest tests[FLO_SHARED_COUNT * KINDS];

    for (size_t i = 0; i < FLO_COUNT(tests); i++) {
        cells[i] = i;
        snprintf(titles[i], sizeof(titles[i]), "%s of one %s", rows[i / KINDS].thing,
                 words[i % KINDS]);
        tests[i] = (struct CMUnitTest){titles[i], a_cell, NULL, NULL, &cells[i]};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
