/* A shell around the intake of orders: the core, the link and the clock. */
#include "order_world.h"

#include <sys/timex.h>

#include <flotilla/errors/target.h>

#include "agent/shell/benchmark/benchmark.h"
#include "agent/shell/hardware/hardware.h"
#include "agent/shell/report/operators.h"
#include "agent/shell/trust/trust.h"
#include "unit/remove_tree.h"
#include "unit/waits.h"

bool is_kept_right; /* the clock */

/* The kernel, of whose clock nobody knows how right it is at first. */
int adjtimex(struct timex *kernel)
{
    kernel->status = is_kept_right ? 0 : STA_UNSYNC;
    return is_kept_right ? TIME_OK : TIME_ERROR;
}

struct flo_shell shell;
struct flo_key *key;
struct flo_key *emergency_key; /* no device knows it at first */
char dir[64];
unsigned acted;        /* of those that are no deploy order */
uint64_t heartbeat_ms; /* as an order set it */
int denied;            /* as the core was told with the deploy; -1: it was not */
int refusal;           /* ... and why */
char told[2048];       /* the last answer */
unsigned alarms;       /* told as security */
unsigned notes;        /* told as anything else */
uint64_t begun_ms;

/* ---- the shell around it ---- */

/* Events that the core hears. */
void take_event(const struct flo_agent_event *event)
{
    acted += event->kind == FLO_AGENT_ORDER;
    if (event->kind == FLO_AGENT_DEPLOY) {
        refusal = event->deploy.refusal.code;
        denied = refusal == FLO_E_TARGET_DENIED;
    }
}

void flo_shell_note(struct flo_shell *unused, const char *type, const struct flo_err *err)
{
    (void)unused, (void)err;
    if (strcmp(type, "security") == 0) {
        alarms++;
    } else {
        notes++;
    }
}

bool flo_shell_degrade(struct flo_shell *with, const struct flo_err *err)
{
    bool is_news = with->records->degraded.error.code != err->code;

    with->records->degraded.error.code = err->code;
    notes += is_news;
    return is_news;
}

void flo_control_installs(struct flo_shell *unused, const struct flo_digest *release)
{
    (void)unused, (void)release;
}

size_t answers; /* that went out */
bool is_connected = true;
bool is_list; /* the orders stand in a group's */

bool flo_shell_link_ack(struct flo_shell *unused, const char *text)
{
    (void)unused;
    snprintf(told, sizeof(told), "%s", text);
    answers += is_connected;
    return is_connected;
}

unsigned doubts; /* the controller was asked for statements */

void flo_shell_trust_doubt(struct flo_shell *unused)
{
    (void)unused;
    doubts++;
}

void flo_shell_trust_fetch(struct flo_shell *unused)
{
    (void)unused;
    doubts++;
}

void flo_control_ordered(struct flo_shell *unused, const char *asked, const json_t *answer)
{
    (void)unused, (void)asked, (void)answer;
}

json_t *flo_report_error(const struct flo_agent_error *error)
{
    return json_pack("{s:s, s:s}", "id", flo_error_id(error->code), "what", error->what);
}

char reported[FLO_NAME_MAX + 1]; /* an order that asked for a report */

bool flo_benchmark_is_kept(struct flo_shell *unused, const char *order)
{
    (void)unused, (void)order;
    return false;
}

void flo_shell_report_afar(struct flo_shell *unused, const struct flo_order *order)
{
    (void)unused;
    snprintf(reported, sizeof(reported), "%s", order->id);
}

unsigned heard_groups; /* the shell was told to hear its groups */

void flo_shell_link_groups(struct flo_shell *unused)
{
    (void)unused;
    heard_groups++;
}

void flo_shell_link_present(struct flo_shell *unused)
{
    (void)unused;
}

void flo_shell_link_reported(struct flo_shell *unused)
{
    (void)unused;
}

void flo_shell_set_heartbeat(struct flo_shell *unused, uint64_t ms)
{
    (void)unused;
    heartbeat_ms = ms;
}

bool serve_keeps_prompts; /* as serve was told last */

void flo_watch_limits(struct flo_shell *unused)
{
    (void)unused;
    serve_keeps_prompts = flo_shell_prompts_stay(&shell);
}

bool flo_shell_is_split(struct flo_shell *unused, const struct flo_digest *release)
{
    (void)unused;
    (void)release;
    return false;
}

bool flo_shell_fits_both(struct flo_shell *unused, uint32_t place, const struct flo_digest *beside)
{
    (void)unused, (void)place, (void)beside;
    return true;
}

/* ---- given ---- */

int begin(void **state)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    struct flo_err err = {0};

    (void)state;
    shell_empty(&shell);
    acted = 0;
    heartbeat_ms = 0;
    heard_groups = 0;
    serve_keeps_prompts = false;
    scope = "{\"group\":\"all\"}";
    signer = NULL;
    alarms = 0;
    doubts = 0;
    notes = 0;
    is_kept_right = false;
    begun_ms = waits_wall_ms();
    told[0] = '\0';
    answers = 0;
    is_connected = true;
    is_list = false;
    snprintf(dir, sizeof(dir), "/tmp/flo-orders-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(flo_settings_load(NULL, dir, &shell.settings, &err), 0);
    assert_int_equal(flo_outbox_db_open(dir, 1 << 20, &shell.db, &err), 0);
    assert_int_equal(flo_store_open(dir, true, &shell.store, &err), 0);
    shell.device.epoch = 1;
    snprintf(shell.identity.device, sizeof(shell.identity.device), "%s", DEVICE_ID);
    assert_int_equal(flo_key_generate(&key, &err), 0);
    assert_int_equal(flo_key_generate(&emergency_key, &err), 0);
    shell.identity.trust = flo_trust_new("demo");
    flo_public_key_pem(flo_key_public(key), pem);
    assert_int_equal(flo_trust_add(shell.identity.trust, pem, FLO_ROLE_ORDER, NULL, &err), 0);
    strcpy(shell.identity.groups[shell.identity.group_count++], "all");
    return 0;
}

int end(void **state)
{
    (void)state;
    assert_int_equal(notes, 0); /* where none is awaited */
    flo_key_free(key);
    flo_key_free(emergency_key);
    flo_outbox_db_close(shell.db);
    flo_store_close(shell.store);
    flo_trust_free(shell.identity.trust);
    flo_settings_deinit(&shell.settings);
    return remove_tree(dir);
}

struct flo_release_ref release(void)
{
    return (struct flo_release_ref){.digest.bytes = {9}, .model = "tiny", .version = "2.1.0"};
}

/* As the core says it, when somebody at the device goes back, and when the
 * probe failed. */
void deny(enum flo_denial_cause cause, uint64_t number)
{
    struct flo_agent_action action = {
        .kind = FLO_DO_DENY, .release = release(), .cause = cause, .number = number};

    flo_shell_deny(&shell, &action);
}

/* ---- when ---- */

bool is_denied_by_hand(void)
{
    struct flo_agent_execution execution = {.release = release()};

    denied = -1;
    assert_int_equal(flo_orders_install(&shell, &execution, &shell.loop->intake, NULL), 0);
    take_event(&shell.loop->intake.event);
    assert_in_range(denied, 0, 1);
    return denied == 1;
}

unsigned epoch = 1; /* of the orders that come */

const char *scope;      /* of the orders that come */
struct flo_key *signer; /* of them; NULL: the fleet's */

static void come(char lane, uint64_t number, uint64_t issued_at_ms, const char *op,
                 const char *args)
{
    struct flo_buf body = {0};
    struct flo_buf envelope = {0};
    struct flo_err err = {0};
    json_t *json = NULL;

    flo_buf_printf(&body,
                   "{\"v\":1,\"fleet\":\"demo\",\"id\":\"%c-%llu\","
                   "\"op\":\"%s\",\"scope\":%s,"
                   "\"epoch\":%u,\"seq\":%llu,\"issued_at_ms\":%llu,"
                   "\"expires_at_ms\":%llu,\"by\":\"ops\",\"args\":{%s}}",
                   lane, (unsigned long long)number, op, scope, epoch, (unsigned long long)number,
                   (unsigned long long)issued_at_ms,
                   (unsigned long long)(issued_at_ms + 3 * DAY_MS), args);
    assert_int_equal(flo_order_sign(body.data, body.bytes,
                                    lane == 'e'      ? emergency_key
                                    : signer != NULL ? signer
                                                     : key,
                                    &envelope, &err),
                     0);
    assert_int_equal(
        flo_json_parse(envelope.data, envelope.bytes, FLO_ENVELOPE_BYTES_MAX, &json, &err), 0);
    if (flo_orders_take(&shell, json, is_list, &shell.loop->intake)) {
        take_event(&shell.loop->intake.event);
    }
    json_decref(json);
    flo_buf_deinit(&envelope);
    flo_buf_deinit(&body);
}

/* An order of that number and time comes. */
void order(uint64_t number, uint64_t issued_at_ms, const char *op, const char *args)
{
    come('o', number, issued_at_ms, op, args);
}

void emergency(uint64_t at_ms, const char *op, const char *args)
{
    come('e', at_ms, at_ms, op, args);
}

const char *model = "tiny"; /* that the next ones are about */

/* A deploy order of that number; `more`: its arguments next to the release. */
void deploy(uint64_t number, uint8_t which, const char *more)
{
    struct flo_digest digest = {{which}};
    char text[FLO_DIGEST_TEXT];
    char args[512];

    flo_digest_text(&digest, text);
    snprintf(args, sizeof(args),
             "\"model\":\"%s\",\"release\":\"%s\",\"version\":\"2.1.0\","
             "\"rollout\":\"r-%llu\",\"phase\":0%s",
             model, text, (unsigned long long)number, more);
    denied = -1;
    refusal = 0;
    order(number, begun_ms, "deploy", args);
}

bool is_denied_to_order(uint64_t number, const char *more)
{
    deploy(number, 9, more);
    assert_in_range(denied, 0, 1);
    return denied == 1;
}

void roll_back(uint64_t number, uint8_t which)
{
    struct flo_digest digest = {{which}};
    char text[FLO_DIGEST_TEXT];
    char args[512];

    flo_digest_text(&digest, text);
    snprintf(args, sizeof(args),
             "\"model\":\"tiny\",\"to\":\"previous\",\"reason\":\"bad\","
             "\"from\":[\"%s\"]",
             text);
    order(number, begun_ms, "rollback", args);
}

bool was_told(const char *word)
{
    return strstr(told, word) != NULL;
}

/* The model's record on the disk. */
struct flo_slots on_disk(void)
{
    struct flo_slots slots;

    assert_int_equal(flo_store_slots_read(shell.store, "tiny", &slots, NULL), 0);
    return slots;
}
