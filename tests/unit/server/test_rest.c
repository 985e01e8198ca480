/* REST, from a request to its answer: who may ask, and what is refused before
 * anything happens. */
#include "tests/unit/server/rest_world.h"

#include "base/host/digest.h"
#include "base/host/httpd/connection.h"
#include "server-stub/rest/live.h"
#include "server-stub/state/artifacts/artifacts.h"
#include "server-stub/state/audit/audit.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/trust/trust.h"
#include "server-stub/store/calls/kept.h"
#include "server-stub/store/fleet.h"
#include "tests/unit/updater/publisher.h"
#include "tests/unit/waits.h"

/* ---- tokens ---- */

static void a_call_needs_a_token_that_is_whole_there_and_in_time(void **state)
{
    struct world *world = *state;
    char token[FLO_TOKEN_TEXT], old[FLO_TOKEN_TEXT], id[256];
    char path[300];

    ANSWERS(world, 401, "rest.auth", asks(world, NULL, "GET /v1/me", ""));
    make_token(world, "viewer", NULL, waits_wall_ms() - 1, old);
    ANSWERS(world, 401, "rest.auth", asks(world, old, "GET /v1/me", ""));
    make_token(world, "viewer", NULL, waits_wall_ms() + 3600000, token);
    ANSWERS(world, 200, "\"role\":\"viewer\"", asks(world, token, "GET /v1/me", ""));
    member(world, "token", id);
    char *last = &token[strlen(token) - 1]; /* of its secret */
    *last = *last == '0' ? '1' : '0';
    ANSWERS(world, 401, "rest.auth", asks(world, token, "GET /v1/me", ""));
    *last = *last == '0' ? '1' : '0';
    snprintf(path, sizeof(path), "DELETE /v1/tokens/%s", id);
    ANSWERS(world, 200, id, asks(world, world->admin, path, ""));
    ANSWERS(world, 401, "rest.auth", asks(world, token, "GET /v1/me", ""));
}

static int take_record(void *context, const struct flo_audit_record *record,
                       const struct flo_digest *hash)
{
    (void)hash;
    flo_buf_printf(context, "%s %s %s %s\n", record->what, record->object, record->result,
                   record->detail);
    return 0;
}

/* The newest lines of the audit; the caller frees. */
static struct flo_buf audit(struct world *world, uint64_t count)
{
    struct flo_buf text = {0};

    flo_buf_text(&text, "");
    assert_int_equal(flo_fleet_audit_newest(world->controller->store, INT64_MAX, count, take_record,
                                            &text, &world->err),
                     0);
    return text;
}

static void who_may_not_is_refused_and_written_down(void **state)
{
    struct world *world = *state;
    char viewer[FLO_TOKEN_TEXT], auditor[FLO_TOKEN_TEXT];

    make_token(world, "viewer", NULL, 0, viewer);
    make_token(world, "auditor", NULL, 0, auditor);
    ANSWERS(world, 403, "this needs the role operator",
            asks(world, viewer, "POST /v1/groups", "{\"name\":\"x\"}"));
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = audit(world, 1);
    assert_non_null(strstr(text.data, "group.create /v1/groups rest.role"));
    ANSWERS(world, 403, "rest.role", asks(world, auditor, "POST /v1/groups", "{\"name\":\"x\"}"));
    ANSWERS(world, 403, "rest.role", asks(world, viewer, "GET /v1/tokens", ""));
    ANSWERS(world, 200, "items", asks(world, auditor, "GET /v1/tokens", ""));
    ANSWERS(world, 404, "group.absent", asks(world, viewer, "GET /v1/groups/x", ""));
}

static void an_operator_of_a_group_does_nothing_for_others(void **state)
{
    struct world *world = *state;
    char lab[FLO_TOKEN_TEXT];

    make_token(world, "viewer,operator:lab", NULL, 0, lab);
    ANSWERS(world, 200, "till", asks(world, lab, "PATCH /v1/devices/gw-1", "{\"note\":\"till\"}"));
    ANSWERS(world, 403, "rest.role",
            asks(world, lab, "PATCH /v1/devices/gw-2", "{\"note\":\"till\"}"));
    ANSWERS(world, 403, "rest.role", asks(world, lab, "POST /v1/groups", "{\"name\":\"x\"}"));
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = audit(world, 1);
    assert_non_null(strstr(text.data, "group.create /v1/groups rest.role"));
    ANSWERS(world, 403, "rest.role",
            asks(world, lab, "POST /v1/rollouts", "{\"release\":\"tiny@1\",\"group\":\"hall\"}"));
    ANSWERS(world, 403, "rest.role",
            asks(world, lab, "POST /v1/rollouts", "{\"release\":\"tiny@1\"}"));
    ANSWERS(world, 403, "rest.role",
            asks(world, lab, "POST /v1/orders", "{\"op\":\"logs\",\"device\":\"gw-2\"}"));
    ANSWERS(world, 403, "rest.role", asks(world, lab, "GET /v1/devices/gw-2/reports", ""));
    ANSWERS(world, 403, "rest.role",
            asks(world, lab, "POST /v1/orders",
                 "{\"op\":\"freeze\",\"everywhere\":true,\"confirm\":"
                 "\"demo\"}"));
    /* A yank takes a release from everybody. */
    ANSWERS(world, 403, "rest.role",
            asks(world, lab, "POST /v1/orders",
                 "{\"op\":\"rollback\",\"release\":\"tiny@1\",\"group\":"
                 "\"lab\",\"yank\":true,\"confirm\":\"tiny@1\"}"));
}

/* Which group it decides on may be another one's. */
static void an_operator_of_a_group_labels_nobody_into_another(void **state)
{
    struct world *world = *state;
    char lab[FLO_TOKEN_TEXT];

    make_token(world, "viewer,operator:lab", NULL, 0, lab);
    ANSWERS(world, 201, "vip",
            asks(world, world->admin, "POST /v1/groups",
                 "{\"name\":\"vip\",\"selector\":\"label.tier=vip\"}"));
    ANSWERS(world, 403, "rest.role",
            asks(world, lab, "PATCH /v1/devices/gw-1", "{\"labels\":{\"tier\":\"vip\"}}"));
    ANSWERS(world, 200, "berlin",
            asks(world, lab, "PATCH /v1/devices/gw-1", "{\"labels\":{\"site\":\"berlin\"}}"));
}

static void a_zone_that_is_none_is_refused_wherever_labels_come(void **state)
{
    static const char *const wrong[] = {"Mars/Olympus", "Paris",    "+27:00",
                                        "../UTC",       "zone.tab", ""};
    struct world *world = *state;
    char body[200];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(body, sizeof(body), "{\"labels\":{\"tz\":\"%s\"}}", wrong[i]);
        ANSWERS(world, 422, "is no time zone",
                asks(world, world->admin, "PATCH /v1/devices/gw-1", body));
        snprintf(body, sizeof(body), "{\"where\":\"name=gw-1\",\"labels\":{\"tz\":\"%s\"}}",
                 wrong[i]);
        ANSWERS(world, 422, "is no time zone", asks(world, world->admin, "POST /v1/labels", body));
        snprintf(body, sizeof(body), "{\"items\":[{\"serial\":\"A1\",\"labels\":{\"tz\":\"%s\"}}]}",
                 wrong[i]);
        ANSWERS(world, 422, "is no time zone", asks(world, world->admin, "POST /v1/claims", body));
    }
    ANSWERS(world, 200, "Europe/Paris",
            asks(world, world->admin, "PATCH /v1/devices/gw-1",
                 "{\"labels\":{\"tz\":\"Europe/Paris\"}}"));
    ANSWERS(world, 200, "gw-1",
            asks(world, world->admin, "PATCH /v1/devices/gw-1", "{\"labels\":{\"tz\":null}}"));
}

static void peoples_calls_are_not_on_the_devices_listener(void **state)
{
    struct world *world = *state;

    ANSWERS(world, 200, "gw-1", asks(world, world->admin, "GET /v1/devices", ""));
    ANSWERS(world, 404, "rest.not_found",
            asks_at(world, world->devices, world->admin, "GET /v1/devices", "", ""));
    ANSWERS(world, 404, "rest.not_found",
            asks_at(world, world->devices, world->admin, "GET /v1/events", "", ""));
}

/* ---- users ---- */

static void a_user_s_token_may_no_more_than_the_user(void **state)
{
    struct world *world = *state;
    char token[256], small[256];

    ANSWERS(
        world, 201, "mira",
        asks(world, world->admin, "POST /v1/users", "{\"name\":\"mira\",\"role\":\"operator\"}"));
    ANSWERS(world, 422, "rest.meaning",
            asks(world, world->admin, "POST /v1/tokens",
                 "{\"kind\":\"access\",\"name\":\"a\",\"user\":\"mira\","
                 "\"role\":\"admin\"}"));
    ANSWERS(world, 201, "operator",
            asks(world, world->admin, "POST /v1/tokens",
                 "{\"kind\":\"access\",\"name\":\"a\",\"user\":\"mira\"}"));
    member(world, "token", token);
    ANSWERS(world, 201, "viewer",
            asks(world, world->admin, "POST /v1/tokens",
                 "{\"kind\":\"access\",\"name\":\"b\",\"user\":\"mira\","
                 "\"role\":\"viewer\"}"));
    member(world, "token", small);
    ANSWERS(world, 200, "viewer",
            asks(world, world->admin, "PATCH /v1/users/mira", "{\"role\":\"viewer\"}"));
    ANSWERS(world, 401, "rest.auth", asks(world, token, "GET /v1/me", ""));
    ANSWERS(world, 200, "mira", asks(world, small, "GET /v1/me", ""));
    ANSWERS(world, 200, "\"disabled\":true",
            asks(world, world->admin, "PATCH /v1/users/mira", "{\"disabled\":true}"));
    ANSWERS(world, 401, "rest.auth", asks(world, small, "GET /v1/me", ""));
    ANSWERS(world, 409, "disabled",
            asks(world, world->admin, "POST /v1/tokens",
                 "{\"kind\":\"access\",\"name\":\"c\",\"user\":\"mira\"}"));
    ANSWERS(world, 404, "no user",
            asks(world, world->admin, "POST /v1/tokens",
                 "{\"kind\":\"access\",\"name\":\"c\",\"user\":\"noor\"}"));
}

static void nobody_locks_everybody_out(void **state)
{
    struct world *world = *state;
    char id[256], path[300], own[FLO_TOKEN_TEXT];

    ANSWERS(world, 200, "admin", asks(world, world->admin, "GET /v1/me", ""));
    member(world, "token", id);
    snprintf(path, sizeof(path), "DELETE /v1/tokens/%s", id);
    ANSWERS(world, 409, "the one of this request", asks(world, world->admin, path, ""));
    ANSWERS(world, 201, "root",
            asks(world, world->admin, "POST /v1/users", "{\"name\":\"root\",\"role\":\"admin\"}"));
    make_token(world, "admin", "root", 0, own);
    ANSWERS(world, 409, "makes this request",
            asks(world, own, "PATCH /v1/users/root", "{\"disabled\":true}"));
    ANSWERS(world, 409, "makes this request", asks(world, own, "DELETE /v1/users/root", ""));
}

/* ---- requests ---- */

static void what_is_not_known_does_nothing(void **state)
{
    struct world *world = *state;

    ANSWERS(world, 400, "rest.unknown", asks(world, world->admin, "GET /v1/devices?grup=lab", ""));
    ANSWERS(world, 400, "rest.schema",
            asks(world, world->admin, "GET /v1/devices?group=lab&group=all", ""));
    ANSWERS(world, 400, "rest.unknown",
            asks(world, world->admin, "POST /v1/groups", "{\"name\":\"x\",\"prio\":1}"));
    ANSWERS(world, 404, "group.absent", asks(world, world->admin, "GET /v1/groups/x", ""));
}

static void a_name_is_typed_again_and_a_scope_is_named_once(void **state)
{
    struct world *world = *state;

    ANSWERS(world, 422, "confirm is",
            asks(world, world->admin, "POST /v1/orders",
                 "{\"op\":\"freeze\",\"everywhere\":true,\"confirm\":"
                 "\"demu\"}"));
    ANSWERS(world, 422, "names 2 scopes",
            asks(world, world->admin, "POST /v1/orders",
                 "{\"op\":\"rollback\",\"release\":\"tiny@1\",\"group\":"
                 "\"lab\",\"device\":\"gw-2\",\"confirm\":\"tiny@1\"}"));
    ANSWERS(world, 422, "names 1 scopes",
            asks(world, world->admin, "POST /v1/orders",
                 "{\"op\":\"rollback\",\"release\":\"tiny@1\",\"everywhere\":"
                 "false,\"confirm\":\"tiny@1\"}"));
    ANSWERS(world, 202, "freeze",
            asks(world, world->admin, "POST /v1/orders",
                 "{\"op\":\"freeze\",\"everywhere\":true,\"confirm\":"
                 "\"demo\"}"));
}

static int asks_with(struct world *world, const char *headers, const char *call, const char *body)
{
    return asks_at(world, world->people, world->admin, call, headers, body);
}

static void a_request_with_a_key_happens_once_and_is_no_other(void **state)
{
    static const char key[] = "Idempotency-Key: k1\r\n";
    static const char next[] = "Idempotency-Key: k2\r\n";
    static const char made[] = "{\"kind\":\"access\",\"name\":\"a\",\"role\":\"viewer\"}";
    struct world *world = *state;
    char token[256];

    ANSWERS(world, 201, "\"x\"", asks_with(world, key, "POST /v1/groups", "{\"name\":\"x\"}"));
    ANSWERS(world, 201, "Idempotent-Replayed",
            asks_with(world, key, "POST /v1/groups", "{\"name\":\"x\"}"));
    ANSWERS(world, 422, "rest.key_reused",
            asks_with(world, key, "POST /v1/groups", "{\"name\":\"y\"}"));
    ANSWERS(world, 404, "group.absent", asks(world, world->admin, "GET /v1/groups/y", ""));
    /* A secret is shown once and kept nowhere. */
    ANSWERS(world, 201, "token", asks_with(world, next, "POST /v1/tokens", made));
    member(world, "token", token);
    ANSWERS(world, 409, "shown once", asks_with(world, next, "POST /v1/tokens", made));
    assert_null(strstr(world->answer, token));
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};
    struct flo_digest request;
    char id[256];
    int status;
    ANSWERS(world, 200, "admin", asks(world, world->admin, "GET /v1/me", ""));
    member(world, "token", id);
    assert_int_equal(flo_fleet_replay_get(world->controller->store, id, "k2", &request, &status,
                                          &body, &world->err),
                     0);
    assert_int_equal(status, 201);
    assert_int_equal(body.bytes, 0);
}

static void a_change_of_an_older_state_is_refused(void **state)
{
    struct world *world = *state;

    ANSWERS(world, 201, "ETag", asks(world, world->admin, "POST /v1/groups", "{\"name\":\"x\"}"));
    ANSWERS(world, 412, "rest.stale",
            asks_with(world, "If-Match: \"0123456789abcdef\"\r\n", "PATCH /v1/groups/x",
                      "{\"note\":\"n\"}"));
}

static void a_plan_keeps_nothing(void **state)
{
    struct world *world = *state;
    struct flo_fleet_release release = {.model = "tiny",
                                        .version = "1",
                                        .number = 1,
                                        .digest = "sha256:aaaaaaaaaaaaaaaaaaaa"
                                                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                                  "aaaaaaaaaaaaaaaa",
                                        .state = "published",
                                        .body = "{}"};

    begin(world);
    assert_int_equal(flo_fleet_release_add(world->controller->store, &release, &world->err), 0);
    commit(world);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) before = audit(world, 1);
    ANSWERS(world, 200, "\"devices\":2",
            asks(world, world->admin, "POST /v1/orders?dry_run=true",
                 "{\"op\":\"rollback\",\"release\":\"tiny@1\",\"everywhere\":"
                 "true}"));
    ANSWERS(world, 200, "\"changed\":2",
            asks(world, world->admin, "POST /v1/labels?dry_run=true",
                 "{\"where\":\"state=offline\",\"labels\":{\"hall\":\"x\"}}"));
    ANSWERS(world, 200, "\"total\":0",
            asks(world, world->admin, "GET /v1/devices?where=label.hall%3Dx", ""));
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) after = audit(world, 1);
    assert_string_equal(after.data, before.data);
    ANSWERS(world, 200, "\"items\":[]", asks(world, world->admin, "GET /v1/orders", ""));
}

static void the_audit_has_no_secret(void **state)
{
    struct world *world = *state;
    char token[256];

    ANSWERS(world, 201, "secret",
            asks(world, world->admin, "POST /v1/webhooks",
                 "{\"url\":\"https://127.0.0.1/hooks/T0/SeCrEt\"}"));
    ANSWERS(world, 201, "token",
            asks(world, world->admin, "POST /v1/tokens",
                 "{\"kind\":\"access\",\"name\":\"a\",\"role\":\"viewer\"}"));
    member(world, "token", token);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = audit(world, 100);
    assert_non_null(strstr(text.data, "webhook.create"));
    assert_null(strstr(text.data, "SeCrEt"));
    assert_null(strstr(text.data, token));
}

static void a_webhook_is_https_and_has_no_password(void **state)
{
    static const char *const urls[] = {"http://hooks.example.com/x",
                                       "https://a:b@hooks.example.com/x", "https:///x",
                                       "file:///etc/passwd"};
    struct world *world = *state;
    char body[160];

    for (size_t i = 0; i < FLO_COUNT(urls); i++) {
        snprintf(body, sizeof(body), "{\"url\":\"%s\"}", urls[i]);
        ANSWERS(world, 422, "rest.meaning", asks(world, world->admin, "POST /v1/webhooks", body));
    }
}

/* Both are there before the controller looks. */
static void an_account_has_one_check_of_the_audit_at_a_time(void **state)
{
    struct world *world = *state;
    char text[512];
    int fds[2];

    begin(world);
    for (int i = 0; i < 5000; i++) { /* many slices */
        assert_int_equal(
            flo_controller_audit(world->controller, "ops", "x", "y", "ok", "", &world->err), 0);
    }
    commit(world);
    int chars = snprintf(text, sizeof(text),
                         "GET /v1/audit/verify HTTP/1.1\r\nHost: localhost\r\n"
                         "Authorization: Bearer %s\r\n"
                         "Connection: close\r\n\r\n",
                         world->admin);
    for (size_t i = 0; i < FLO_COUNT(fds); i++) {
        fds[i] = sends(world->people, text, (size_t)chars);
    }
    size_t refused = 0;
    for (size_t i = 0; i < FLO_COUNT(fds); i++) {
        hears(world, fds[i]);
        refused += strstr(world->answer, "a check of the audit is under way") != NULL;
    }
    assert_int_equal(refused, 1);
    ANSWERS(world, 200, "\"ok\":true", asks(world, world->admin, "GET /v1/audit/verify", ""));
}

static void no_token_is_for_a_group_by_a_selector(void **state)
{
    struct world *world = *state;

    ANSWERS(world, 201, "vip",
            asks(world, world->admin, "POST /v1/groups",
                 "{\"name\":\"vip\",\"selector\":\"label.tier=vip\"}"));
    ANSWERS(
        world, 409, "takes no named devices",
        asks(world, world->admin, "POST /v1/tokens", "{\"kind\":\"enroll\",\"group\":\"vip\"}"));
}

static void no_device_gets_the_id_of_another_as_its_name(void **state)
{
    struct world *world = *state;

    ANSWERS(world, 400, "like the id of a device",
            asks(world, world->admin, "PATCH /v1/devices/gw-1", "{\"name\":\"" TWO "\"}"));
}

/* ---- a slow disk ---- */

static struct {
    struct flo_store_ops ops;
    const struct flo_store_ops *real;
    int gate[2];   /* a byte for each sync: 'f' fails it */
    bool is_early; /* an answer was there before */
} disk;

static int slow_sync(struct flo_store_engine *engine, struct flo_err *err)
{
    char byte = 'f';

    if (read(disk.gate[0], &byte, 1) != 1 || byte == 'f') {
        return flo_fail(err, FLO_E_IO_WRITE, "the disk is gone");
    }
    return disk.real->sync != NULL ? disk.real->sync(engine, err) : 0;
}

static void wake(void *context)
{
    (void)context;
}

static void slow_disk(struct world *world)
{
    struct flo_store_engine *engine = world->controller->store->engine;

    assert_int_equal(pipe(disk.gate), 0);
    disk.real = engine->ops;
    disk.ops = *disk.real;
    disk.ops.sync = slow_sync;
    engine->ops = &disk.ops;
    assert_int_equal(flo_fleet_queue_start(world->controller->store, wake, NULL, &world->err), 0);
}

/* A request that commits while the disk is slow. */
static int asks_slowly(struct world *world)
{
    char text[512], byte;
    const char body[] = "{\"name\":\"x\"}";
    uint64_t before = flo_fleet_committed(world->controller->store);
    int chars = snprintf(text, sizeof(text),
                         "POST /v1/groups HTTP/1.1\r\nHost: localhost\r\n"
                         "Authorization: Bearer %s\r\nContent-Length: %zu\r\n"
                         "Connection: close\r\n\r\n%s",
                         world->admin, strlen(body), body);
    int fd = sends(world->people, text, (size_t)chars);

    while (flo_fleet_committed(world->controller->store) == before) {
        event_base_loop(world->base, EVLOOP_NONBLOCK);
    }
    for (int i = 0; i < 100; i++) {
        event_base_loop(world->base, EVLOOP_NONBLOCK);
        flo_outgoing_durable(world->controller);
    }
    disk.is_early = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0;
    return fd;
}

/* The answer to such a request, when the sync went so. */
static void answer_when_the_disk(struct world *world, const char *goes)
{
    slow_disk(world);
    int fd = asks_slowly(world);
    assert_int_equal(write(disk.gate[1], goes, 1), 1);
    hears(world, fd);
    close(disk.gate[1]);
    assert_int_equal(flo_fleet_queue_stop(world->controller->store, &world->err), 0);
    world->controller->store->engine->ops = disk.real;
    close(disk.gate[0]);
    assert_false(disk.is_early);
}

static void an_answer_waits_until_what_it_says_is_on_the_disk(void **state)
{
    struct world *world = *state;

    answer_when_the_disk(world, "s");
    assert_memory_equal(world->answer, "HTTP/1.1 201", 12);
}

static void an_answer_says_when_the_disk_did_not_take_it(void **state)
{
    struct world *world = *state;

    answer_when_the_disk(world, "f");
    assert_memory_equal(world->answer, "HTTP/1.1 5", 10);
    assert_non_null(strstr(world->answer, "not known whether this was stored"));
}

/* ---- enrolment ---- */

static int enrols(struct world *world, const char *token, const char *more)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) csr = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};

    assert_int_equal(flo_key_generate(&key, &world->err), 0);
    assert_int_equal(flo_csr_make(key, "any", &csr, &world->err), 0);
    json_t *json = json_pack("{s:s,s:s}", "token", token, "csr", csr.data);
    json_t *rest = json_loads(more, 0, NULL);
    json_object_update(json, rest);
    flo_json_dump(json, &body);
    json_decref(rest);
    json_decref(json);
    return asks_at(world, world->devices, NULL, "POST /v1/enroll", "", body.data);
}

/* A statement of the fleet's root: from then on devices enrol. */
static void state_root(struct world *world, const struct flo_key *publisher)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *root = NULL;
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *draft = NULL;
    FLO_CLEANUP(flo_trust_cleanup) struct flo_trust *next = NULL;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) envelope = {0};
    const struct flo_trust *held = world->controller->trust;
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    bool is_news;

    assert_int_equal(flo_key_generate(&root, &world->err), 0);
    flo_public_key_pem(flo_key_public(root), pem);
    assert_int_equal(flo_trust_next(held, 5, &draft, &world->err), 0);
    assert_int_equal(flo_trust_add(draft, pem, FLO_ROLE_ROOT, NULL, &world->err), 0);
    if (publisher != NULL) {
        flo_public_key_pem(flo_key_public(publisher), pem);
        assert_int_equal(flo_trust_add(draft, pem, FLO_ROLE_RELEASE, NULL, &world->err), 0);
    }
    flo_trust_set_threshold(draft, 1);
    assert_int_equal(flo_trust_draft(draft, held, &text, &world->err), 0);
    assert_int_equal(flo_trust_draft_parse(text.data, text.bytes, &next, &world->err), 0);
    assert_int_equal(flo_trust_sign(next, root, &world->err), 0);
    flo_trust_text(next, &envelope);
    begin(world);
    if (flo_trust_publish(world->controller, envelope.data, envelope.bytes, &is_news, &world->err) <
        0) {
        fail_msg("%s", world->err.what);
    }
    commit(world);
}

static void enrolment_token(struct world *world, const char *body, char out[256])
{
    ANSWERS(world, 201, "enroll", asks(world, world->admin, "POST /v1/tokens", body));
    member(world, "token", out);
}

static void a_device_enrols_by_a_token_with_uses_left(void **state)
{
    struct world *world = *state;
    char token[256], none[256];

    enrolment_token(world, "{\"kind\":\"enroll\",\"uses\":1}", token);
    ANSWERS(world, 409, "trust.none", enrols(world, token, "{}"));
    state_root(world, NULL);
    ANSWERS(world, 201, "certificate", enrols(world, token, "{}"));
    ANSWERS(world, 401, "no use left", enrols(world, token, "{}"));
    snprintf(none, sizeof(none), "%s", token);
    none[6] = none[6] == 'a' ? 'b' : 'a';
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) before = audit(world, 1);
    ANSWERS(world, 401, "not known here", enrols(world, none, "{}"));
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) after = audit(world, 1);
    ANSWERS(world, 401, "a device's certificate belongs here",
            asks_at(world, world->devices, NULL, "POST /v1/enroll/renew", "", "{\"csr\":\"x\"}"));
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) renewal = audit(world, 1);
    assert_string_equal(renewal.data, before.data); /* a stranger fills no disk */
    assert_string_equal(after.data, before.data);
}

static void a_token_that_expired_enrols_nobody(void **state)
{
    struct world *world = *state;
    struct flo_fleet_token token = {.id = "t1",
                                    .kind = "enroll",
                                    .name = "t",
                                    .role = "",
                                    .group = "all",
                                    .uses_left = 5,
                                    .expires_at_ms = waits_wall_ms() - 1};
    char text[FLO_TOKEN_TEXT];

    state_root(world, NULL);
    flo_enrol_token_text((const uint8_t[17]){1},
                         &flo_pki_oldest(world->controller->pki)->fingerprint, text);
    flo_sha256(text, strlen(text), &token.secret);
    begin(world);
    assert_int_equal(flo_fleet_token_add(world->controller->store, &token, &world->err), 0);
    commit(world);
    ANSWERS(world, 401, "has expired", enrols(world, text, "{}"));
}

static void a_token_of_a_group_enrols_into_no_other(void **state)
{
    struct world *world = *state;
    char token[256];

    state_root(world, NULL);
    ANSWERS(world, 201, "vip",
            asks(world, world->admin, "POST /v1/groups",
                 "{\"name\":\"vip\",\"selector\":\"label.tier=vip\"}"));
    ANSWERS(world, 200, "claims",
            asks(world, world->admin, "POST /v1/claims",
                 "{\"items\":[{\"serial\":\"sn-1\",\"groups\":[\"hall\"]}]}"));
    enrolment_token(world,
                    "{\"kind\":\"enroll\",\"uses\":9,\"group\":"
                    "\"lab\"}",
                    token);
    ANSWERS(world, 403, "enrol.group", enrols(world, token, "{\"labels\":{\"tier\":\"vip\"}}"));
    ANSWERS(world, 403, "enrol.group", enrols(world, token, "{\"serial\":\"sn-1\"}"));
    ANSWERS(world, 201, "\"lab\"", enrols(world, token, "{}"));
}

/* ---- releases ---- */

static int uploads(struct world *world, struct publisher *publisher, const char *version,
                   uint64_t number)
{
    struct flo_release release = publisher_begin(version, number);
    char artifact[100];
    snprintf(artifact, sizeof(artifact), "%s/artifact", world->dir);
    assert_int_equal(flo_file_write(artifact, version, strlen(version), 0600, NULL), 0);
    publisher_add(publisher, &release, "model.gguf", "model", artifact);
    struct flo_digest digest = publisher_sign(publisher, publisher->key, &release);
    char path[256];
    char *text = NULL;
    size_t bytes;

    publisher_envelope_path(publisher, &digest, path);
    assert_int_equal(flo_file_read(path, 1 << 15, &text, &bytes, &world->err), 0);
    int status = asks(world, world->admin, "POST /v1/releases", text);
    free(text);
    return status;
}

static void a_release_is_signed_and_the_only_one_of_its_number(void **state)
{
    struct world *world = *state;
    struct publisher publisher, stranger;

    publisher_open(&publisher, world->dir);
    publisher_open(&stranger, world->dir);
    state_root(world, publisher.key);
    ANSWERS(world, 422, "sig.", uploads(world, &stranger, "1.0.0", 1));
    ANSWERS(world, 201, "tiny@1.0.0", uploads(world, &publisher, "1.0.0", 3));
    ANSWERS(world, 200, "tiny@1.0.0", uploads(world, &publisher, "1.0.0", 3));
    ANSWERS(world, 422, "meta.equivocation", uploads(world, &publisher, "1.0.1", 3));
    ANSWERS(world, 409, "release.exists", uploads(world, &publisher, "1.0.0", 4));
    ANSWERS(world, 409, "release.exists", uploads(world, &publisher, "0.9.0", 2));
    ANSWERS(world, 422, "meta.version_jump", uploads(world, &publisher, "9.0.0", 9000000));
    publisher_close(&publisher);
    publisher_close(&stranger);
}

static void an_artifact_has_its_digest(void **state)
{
    struct world *world = *state;
    struct flo_digest digest;
    char call[200], text[FLO_DIGEST_TEXT];

    flo_sha256("bytes", 5, &digest);
    flo_digest_text(&digest, text);
    snprintf(call, sizeof(call), "PUT /v1/blobs/%s", text);
    ANSWERS(world, 422, "target.hash", asks(world, world->admin, call, "bytez"));
    assert_false(flo_artifact_is_here(world->controller, &digest));
    ANSWERS(world, 201, text, asks(world, world->admin, call, "bytes"));
    assert_true(flo_artifact_is_here(world->controller, &digest));
    ANSWERS(world, 401, "rest.auth", asks(world, NULL, call, "bytes"));
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, open_rest, close_rest)

/* A stream of events, from behind the event of that number. */
static int listens(const struct world *world, unsigned long long last)
{
    char text[512];
    int chars = snprintf(text, sizeof(text),
                         "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n"
                         "Authorization: Bearer %s\r\nLast-Event-ID: %llu\r\n\r\n",
                         world->admin, last);
    const struct httpd_connection *before = world->rest.httpd->connections;
    int fd = sends(world->people, text, (size_t)chars);
    while (world->rest.httpd->connections == before ||
           world->rest.httpd->connections->request == NULL) {
        event_base_loop(world->base, EVLOOP_NONBLOCK);
    }
    return fd;
}

static void audits(struct world *world, size_t count)
{
    static char detail[511];
    begin(world);
    memset(detail, 'x', sizeof(detail) - 1);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(
            flo_controller_audit(world->controller, "me", "test", "it", "ok", detail, &world->err),
            0);
    }
    commit(world);
}

/* The client missed more than may wait for it, so it is told to begin again. */
static void who_missed_much_and_reads_nothing_has_little_waiting(void **state)
{
    struct world *world = *state;
    struct flo_live *live;
    char text[4096] = "";
    size_t got = 0;
    unsigned long long first = 0;

    assert_int_equal(flo_live_open(world->controller, world->base, &live, &world->err), 0);
    world->rest.live = live;
    int one = listens(world, 0);
    audits(world, 1);
    while (first == 0) { /* the number of the first event */
        event_base_loop(world->base, EVLOOP_NONBLOCK);
        ssize_t n = recv(one, text + got, sizeof(text) - 1 - got, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
        const char *id = strstr(text, "id: ");
        first = id != NULL && strchr(id, '\n') != NULL ? strtoull(id + 4, NULL, 10) : 0;
    }
    for (int i = 0; i < 16; i++) {
        audits(world, 1000);
    }
    int two = listens(world, first);
    size_t waiting =
        evbuffer_get_length(bufferevent_get_output(world->rest.httpd->connections->bev));
    assert_in_range(waiting, 1, (4u << 20) + 1024);
    close(one);
    close(two);
    flo_httpd_close(world->rest.httpd);
    flo_live_close(live);
    const struct flo_httpd_options plain = {.connections_max = 8};
    assert_int_equal(flo_httpd_open(world->base, &plain, &world->rest.httpd, &world->err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_call_needs_a_token_that_is_whole_there_and_in_time),
        STORY(who_may_not_is_refused_and_written_down),
        STORY(an_operator_of_a_group_does_nothing_for_others),
        STORY(an_operator_of_a_group_labels_nobody_into_another),
        STORY(peoples_calls_are_not_on_the_devices_listener),
        STORY(a_zone_that_is_none_is_refused_wherever_labels_come),
        STORY(a_user_s_token_may_no_more_than_the_user),
        STORY(nobody_locks_everybody_out),
        STORY(what_is_not_known_does_nothing),
        STORY(a_name_is_typed_again_and_a_scope_is_named_once),
        STORY(a_request_with_a_key_happens_once_and_is_no_other),
        STORY(a_change_of_an_older_state_is_refused),
        STORY(a_plan_keeps_nothing),
        STORY(the_audit_has_no_secret),
        STORY(no_device_gets_the_id_of_another_as_its_name),
        STORY(a_device_enrols_by_a_token_with_uses_left),
        STORY(a_token_that_expired_enrols_nobody),
        STORY(a_token_of_a_group_enrols_into_no_other),
        STORY(a_release_is_signed_and_the_only_one_of_its_number),
        STORY(an_artifact_has_its_digest),
        STORY(an_answer_waits_until_what_it_says_is_on_the_disk),
        STORY(an_answer_says_when_the_disk_did_not_take_it),
        STORY(a_webhook_is_https_and_has_no_password),
        STORY(an_account_has_one_check_of_the_audit_at_a_time),
        STORY(no_token_is_for_a_group_by_a_selector),
        STORY(who_missed_much_and_reads_nothing_has_little_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
