/* The loop: in which turn an event is stepped, and what becomes of a list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "agent/shell/assets/assets.h"
#include "agent/shell/hooks/hooks.h"
#include "agent/shell/loop.h"
#include "agent/shell/queue/timers.h"
#include "agent/shell/report/operators.h"
#include "agent/shell/trust/trust.h"
#include "tests/shell_rooms.h"

static struct flo_shell shell;
static struct flo_agent_actions wanted[FLO_AGENT_EVENT_COUNT];
static char heard[512]; /* what was stepped and done, in that order */
static bool write_fails;
static bool write_interrupts;                 /* after it the assigned order goes on */
static enum flo_agent_event_kind serve_tells; /* 0: nothing */

static void post(enum flo_agent_event_kind kind)
{
    const struct flo_agent_event event = {.kind = kind};

    flo_queue_post(&shell.queue, &event);
}

static void say(const char *word)
{
    size_t used = strlen(heard);

    snprintf(heard + used, sizeof(heard) - used, "%s%s", used > 0 ? " " : "", word);
}

/* ---- the core ---- */

int flo_agent_step(struct flo_agent *agent, const struct flo_agent_event *event,
                   struct flo_agent_actions *actions)
{
    static const char *const words[FLO_AGENT_EVENT_COUNT] = {
        [FLO_AGENT_DEPLOY] = "deploy",   [FLO_AGENT_ORDER] = "order",
        [FLO_AGENT_GO_BACK] = "go-back", [FLO_AGENT_STAGED] = "staged",
        [FLO_AGENT_WRITTEN] = "written", [FLO_AGENT_UNWRITTEN] = "unwritten",
        [FLO_AGENT_LOST] = "lost",       [FLO_AGENT_REQUEST] = "request"};

    (void)agent;
    say(words[event->kind]);
    if (event->kind == FLO_AGENT_DEPLOY) {
        say(event->deploy.execution->id);
    }
    shell.models[0].is_interrupted =
        shell.models[0].is_interrupted || (event->kind == FLO_AGENT_WRITTEN && write_interrupts);
    *actions = wanted[event->kind];
    return (int)actions->count;
}

void flo_agent_trace(const struct flo_agent *agent, const struct flo_agent_event *event,
                     const struct flo_agent_actions *actions, struct flo_buf *out)
{
    (void)agent, (void)event, (void)actions, (void)out;
}

bool flo_agent_is_fetching(const struct flo_agent *agent)
{
    (void)agent;
    return false;
}

const char *flo_drift_word(enum flo_drift drift)
{
    (void)drift;
    return "none";
}

/* ---- the shell around it ---- */

void flo_hooks_flip(struct flo_shell *with, const struct flo_release_ref *release, bool again)
{
    (void)with, (void)release, (void)again;
}

void flo_hooks_unlink(struct flo_shell *with, const char *model)
{
    (void)with, (void)model;
}

void flo_assets_unrouted(struct flo_shell *with, uint32_t model)
{
    (void)with, (void)model;
}

static void deploy_of(const char *id, struct flo_intake *out)
{
    memset(out, 0, sizeof(*out));
    out->event.kind = FLO_AGENT_DEPLOY;
    out->event.deploy.execution = &out->execution;
    snprintf(out->execution.id, sizeof(out->execution.id), "%s", id);
}

bool flo_orders_converge(struct flo_shell *unused, struct flo_intake *out)
{
    (void)unused;
    if (!shell.models[0].is_interrupted) {
        return false;
    }
    shell.models[0].is_interrupted = false;
    deploy_of("assigned", out);
    return true;
}

int flo_orders_install(struct flo_shell *unused, const struct flo_agent_execution *execution,
                       struct flo_intake *out, struct flo_err *err)
{
    (void)unused, (void)err;
    deploy_of(execution->id, out);
    return 0;
}

static struct flo_order ordered; /* that comes next */
static uint64_t events_wait_ms;  /* until then */

void flo_events_wait(struct flo_outbox_db *unused, uint64_t until_ms)
{
    (void)unused;
    events_wait_ms = until_ms;
}

bool flo_orders_take(struct flo_shell *unused, const json_t *envelope, bool is_list,
                     struct flo_intake *out)
{
    (void)unused, (void)envelope, (void)is_list;
    memset(out, 0, sizeof(*out));
    out->event.kind = FLO_AGENT_ORDER;
    out->event.order = &ordered;
    return true;
}

bool flo_shell_slot_action(struct flo_shell *unused, const struct flo_agent_action *action)
{
    const struct flo_agent_event event = {.kind = write_fails ? FLO_AGENT_UNWRITTEN
                                                              : FLO_AGENT_WRITTEN};

    (void)unused;
    say(action->kind == FLO_DO_SLOT_TRY ? "count" : "slots");
    if (write_fails || action->kind != FLO_DO_SLOT_TRY) {
        flo_queue_post(&shell.queue, &event);
    }
    return !write_fails;
}

void flo_shell_deny(struct flo_shell *unused, const struct flo_agent_action *action)
{
    (void)unused, (void)action;
    say("deny");
}

void flo_shell_device_write(struct flo_shell *unused)
{
    (void)unused;
    say(shell.records->is_dirty ? "keep" : "-");
    shell.records->is_dirty = false;
}

void flo_shell_records_write(struct flo_shell *unused)
{
    (void)unused;
    say("|"); /* the list is done */
}

int flo_shell_trust_by_hand(struct flo_shell *unused, const json_t *envelope, uint64_t *number,
                            struct flo_err *err)
{
    (void)unused, (void)envelope, (void)number, (void)err;
    return 0;
}

bool flo_control_is_answered(const struct flo_shell *unused, const char *order)
{
    (void)unused, (void)order;
    return true;
}

void flo_shell_trust_look(struct flo_shell *unused, uint32_t model)
{
    (void)unused, (void)model;
}

void flo_shell_down_look(struct flo_shell *unused)
{
    (void)unused;
}

void flo_shell_pending_look(struct flo_shell *unused)
{
    (void)unused;
}

void flo_shell_pending(struct flo_shell *unused, const struct flo_agent_action *action)
{
    (void)unused;
    say(action->role == FLO_AGENT_CURRENT ? "load-current" : "load-beside");
}

void flo_shell_lost(struct flo_shell *unused, uint32_t model, enum flo_agent_role role,
                    const struct flo_err *err)
{
    const struct flo_agent_event event = {.kind = FLO_AGENT_LOST, .model = model, .role = role};

    (void)unused, (void)err;
    flo_queue_post(&shell.queue, &event);
}

int flo_shell_flip(struct flo_shell *unused, uint32_t model, enum flo_agent_role role,
                   const struct flo_release_ref *release, struct flo_err *err)
{
    (void)unused, (void)model, (void)role, (void)release;
    return flo_fail(err, FLO_E_ENGINE_CRASH, "it ended in between");
}

/* Told by serve since the step before. */
void flo_serve_hear(struct flo_serve *unused)
{
    (void)unused;
    if (serve_tells != 0) {
        post(serve_tells);
        serve_tells = 0;
    }
}

void flo_shell_window_begin(struct flo_shell *unused, const struct flo_agent_action *action)
{
    (void)unused, (void)action;
}

void flo_telemetry_close(struct flo_shell *unused, uint32_t model)
{
    (void)unused, (void)model;
    say("window");
}

bool flo_report_drift(struct flo_shell *unused, uint32_t model)
{
    (void)unused, (void)model;
    return false;
}

uint64_t flo_events_flush_ms(const struct flo_outbox_db *unused)
{
    (void)unused;
    return 0;
}

void flo_shell_model_write(struct flo_shell *unused, uint32_t model)
{
    (void)unused, (void)model;
    say("record");
}

void flo_events_add(struct flo_outbox_db *unused, enum flo_event_kind kind, json_t *event,
                    const struct flo_agent_execution *execution)
{
    (void)unused, (void)kind, (void)event;
    say(execution->id);
}

json_t *flo_report_execution(const struct flo_agent_execution *execution)
{
    (void)execution;
    return NULL;
}

void flo_control_report(struct flo_shell *unused, const struct flo_agent_execution *execution)
{
    (void)unused, (void)execution;
}

void flo_shell_stated_end(struct flo_shell *unused, uint32_t model,
                          const struct flo_agent_execution *execution)
{
    (void)unused, (void)model, (void)execution;
}

bool flo_execution_is_end(enum flo_execution state)
{
    return state == FLO_EXECUTION_FAILED;
}

/* No list here asks for any of these. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define NOT_CALLED(type, name, ...)                                                                \
    type name(__VA_ARGS__)                                                                         \
    {                                                                                              \
        fail_msg("%s", #name);                                                                     \
        abort();                                                                                   \
    }
NOT_CALLED(void, flo_control_acked, struct flo_shell *a, const struct flo_agent_action *b)
NOT_CALLED(void, flo_notes_serving, struct flo_outbox_db *a, json_t *b)
void flo_variants_keep(struct flo_shell *a, uint32_t b);
NOT_CALLED(void, flo_variants_keep, struct flo_shell *a, uint32_t b)
NOT_CALLED(void, flo_orders_repair, struct flo_shell *a, uint32_t b,
           const struct flo_release_ref *c)
NOT_CALLED(json_t *, flo_report_drifted, const struct flo_shell *a, uint32_t b)
NOT_CALLED(json_t *, flo_report_error, const struct flo_agent_error *a)
NOT_CALLED(void, flo_shell_host_flipped, struct flo_shell *a, const struct flo_agent_action *b)
NOT_CALLED(void, flo_shell_host_unloaded, struct flo_shell *a, uint32_t b, enum flo_agent_role c)
NOT_CALLED(void, flo_shell_host_promoted, struct flo_shell *a, uint32_t b)
NOT_CALLED(void, flo_serve_route_clear, struct flo_serve *a, unsigned b, enum flo_serve_gone c)
NOT_CALLED(void, flo_serve_hold, struct flo_serve *a, unsigned b)
NOT_CALLED(void, flo_serve_promote, struct flo_serve *a, unsigned b)
NOT_CALLED(void, flo_serve_unload, struct flo_serve *a, unsigned b, enum flo_serve_role c, bool d)
NOT_CALLED(void, flo_shell_answer, struct flo_shell *a, const char *b, const char *c, json_t *d)
NOT_CALLED(bool, flo_shell_job_again, struct flo_shell *a)
NOT_CALLED(bool, flo_shell_job_is_open, const struct flo_shell *a)
NOT_CALLED(void, flo_shell_job_cancel, struct flo_shell *a, uint32_t b)
NOT_CALLED(void, flo_shell_job_start, struct flo_shell *a, uint32_t b, uint32_t c)
NOT_CALLED(void, flo_shell_pending_leave, struct flo_shell *a, uint32_t b, enum flo_agent_role c)
NOT_CALLED(void, flo_shell_pending_promote, struct flo_shell *a, uint32_t b)
NOT_CALLED(void, flo_shell_route, struct flo_shell *a, uint32_t b, const struct flo_release_ref *c,
           enum flo_serve_route_state d)
NOT_CALLED(bool, flo_shell_fits_both, struct flo_shell *a, uint32_t b, const struct flo_digest *c)
NOT_CALLED(int, flo_shell_model_asked, const struct flo_shell *a, const char *b, uint32_t *c,
           struct flo_err *d)
NOT_CALLED(void, flo_shell_model_free, struct flo_shell *a, uint32_t b)
NOT_CALLED(void, flo_shell_probe, struct flo_shell *a, const struct flo_agent_action *b)
NOT_CALLED(void, flo_shell_stated_acked, struct flo_shell *a, uint32_t b, const char *c,
           const char *d)
NOT_CALLED(uint32_t, flo_shell_sweep, struct flo_shell *a, const struct flo_digest *b, size_t c)
NOT_CALLED(struct flo_guest *, flo_shell_guest, struct flo_shell *a)
NOT_CALLED(void, flo_traces_add, struct flo_outbox_db *a, const char *b)
#pragma GCC diagnostic pop

void flo_shell_link_reported(struct flo_shell *unused)
{
    (void)unused;
}

void flo_shell_link_flush(struct flo_shell *unused)
{
    (void)unused;
}

/* ---- given ---- */

static int begin(void **state)
{
    (void)state;
    shell_empty(&shell);
    memset(wanted, 0, sizeof(wanted));
    heard[0] = '\0';
    write_fails = write_interrupts = false;
    serve_tells = 0;
    shell.base = event_base_new();
    assert_non_null(shell.base);
    return flo_loop_open(&shell, NULL);
}

static int end(void **state)
{
    (void)state;
    flo_queue_close(&shell.queue);
    event_base_free(shell.base);
    return 0;
}

static struct flo_agent_action *want(enum flo_agent_event_kind event,
                                     enum flo_agent_action_kind action)
{
    struct flo_agent_actions *list = &wanted[event];

    list->list[list->count].kind = action;
    return &list->list[list->count++];
}

static void happens(enum flo_agent_event_kind kind)
{
    const struct flo_agent_event event = {.kind = kind};

    flo_loop_event(&shell, &event);
}

/* ---- when, then ---- */

static void what_waits_comes_before_what_comes_from_outside(void **state)
{
    (void)state;
    post(FLO_AGENT_LOST);
    post(FLO_AGENT_REQUEST);
    happens(FLO_AGENT_GO_BACK);
    assert_string_equal(heard, "lost | request | go-back |");

    heard[0] = '\0';
    post(FLO_AGENT_LOST);
    flo_loop_order(&shell, NULL, false);
    assert_string_equal(heard, "lost | order |");
}

static void what_is_posted_has_its_turn_without_anything_else(void **state)
{
    (void)state;
    post(FLO_AGENT_LOST);
    assert_int_equal(event_base_loop(shell.base, EVLOOP_ONCE), 0);
    assert_string_equal(heard, "lost |");
}

static void others_have_their_turn_behind_a_write(void **state)
{
    (void)state;
    want(FLO_AGENT_STAGED, FLO_DO_SLOT_STAGE);
    post(FLO_AGENT_STAGED);
    assert_int_equal(event_base_loop(shell.base, EVLOOP_ONCE), 0);
    assert_string_equal(heard, "staged - slots |");
    assert_int_equal(event_base_loop(shell.base, EVLOOP_ONCE), 0);
    assert_string_equal(heard, "staged - slots | written |");
}

/* An event of another order may be what a rollout waits for. */
static void events_of_going_back_by_a_list_wait_like_the_report(void **state)
{
    (void)state;
    shell.loop->spread_ms = FLO_RECONNECT_MS_MAX;
    events_wait_ms = 0;
    ordered.op = FLO_ORDER_RESUME;
    flo_loop_order(&shell, NULL, true);
    ordered.op = FLO_ORDER_ROLLBACK;
    flo_loop_order(&shell, NULL, false);
    assert_int_equal(events_wait_ms, 0);

    flo_loop_order(&shell, NULL, true);
    assert_int_not_equal(events_wait_ms, 0);
    assert_int_equal(events_wait_ms, shell.loop->report_at_ms);
    shell.loop->spread_ms = shell.loop->report_at_ms = 0;
}

/* An end while the loop stood in a write is known before the next step. */
static void what_serve_tells_is_heard_between_two_steps(void **state)
{
    (void)state;
    shell.is_local = true;
    want(FLO_AGENT_STAGED, FLO_DO_SLOT_STAGE);
    post(FLO_AGENT_STAGED);
    serve_tells = FLO_AGENT_LOST;
    assert_int_equal(event_base_loop(shell.base, EVLOOP_ONCE), 0);
    assert_string_equal(heard, "staged - slots | lost | written |");
}

static void a_command_waits_for_nobody(void **state)
{
    (void)state;
    shell.is_local = true;
    want(FLO_AGENT_STAGED, FLO_DO_SLOT_STAGE);
    happens(FLO_AGENT_STAGED);
    assert_string_equal(heard, "staged - slots | written |");
}

/* A rollback ends in the turn in which an operator installs something: the
 * assigned order goes on first, and both are what they were. */
static void an_install_is_not_taken_for_the_assigned_order(void **state)
{
    const struct flo_agent_execution execution = {.id = "by-hand"};

    (void)state;
    write_interrupts = true;
    post(FLO_AGENT_WRITTEN);
    assert_int_equal(flo_loop_install(&shell, &execution, NULL), 0);
    assert_string_equal(heard, "written | deploy assigned | deploy by-hand |");
}

static void a_start_that_could_not_be_counted_is_none(void **state)
{
    (void)state;
    shell.is_local = true;
    write_fails = true;
    want(FLO_AGENT_LOST, FLO_DO_SLOT_TRY);
    want(FLO_AGENT_LOST, FLO_DO_LOAD)->role = FLO_AGENT_BESIDE;
    want(FLO_AGENT_LOST, FLO_DO_LOAD)->role = FLO_AGENT_CURRENT;
    happens(FLO_AGENT_LOST);
    assert_string_equal(heard, "lost - count - load-current | unwritten |");
}

/* The order that froze it is on the record, in its own lane. */
static void a_freeze_of_the_core_is_nobodys_order(void **state)
{
    (void)state;
    shell.device.is_frozen_emergency = true;
    want(FLO_AGENT_ORDER, FLO_DO_FREEZE)->flag = true;
    want(FLO_AGENT_ORDER, FLO_DO_DENY);
    want(FLO_AGENT_ORDER, FLO_DO_SLOT_CLEAR);
    shell.is_local = true;
    flo_loop_order(&shell, NULL, false);
    assert_string_equal(heard, "order deny - slots | written |");
    assert_false(shell.device.is_frozen);
    shell.device.is_frozen_emergency = false;
}

/* A power cut between the two would leave an end that nobody denies. */
static void a_denial_is_on_disk_before_its_end_is_told(void **state)
{
    struct flo_agent_actions *list = &wanted[FLO_AGENT_LOST];

    (void)state;
    want(FLO_AGENT_LOST, FLO_DO_EVENT);
    want(FLO_AGENT_LOST, FLO_DO_DENY);
    want(FLO_AGENT_LOST, FLO_DO_EVENT);
    list->reports[0] = (struct flo_agent_execution){.id = "soaks", .state = FLO_EXECUTION_SOAKING};
    list->reports[1] = (struct flo_agent_execution){.id = "fails", .state = FLO_EXECUTION_FAILED};
    happens(FLO_AGENT_LOST);
    assert_string_equal(heard, "lost - soaks deny - record fails |");
}

static void an_engine_that_cannot_be_flipped_to_is_lost(void **state)
{
    (void)state;
    want(FLO_AGENT_GO_BACK, FLO_DO_FLIP);
    happens(FLO_AGENT_GO_BACK);
    assert_string_equal(heard, "go-back - | lost |");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(what_waits_comes_before_what_comes_from_outside),
        TEST(what_is_posted_has_its_turn_without_anything_else),
        TEST(others_have_their_turn_behind_a_write),
        TEST(events_of_going_back_by_a_list_wait_like_the_report),
        TEST(what_serve_tells_is_heard_between_two_steps),
        TEST(a_command_waits_for_nobody),
        TEST(an_install_is_not_taken_for_the_assigned_order),
        TEST(a_start_that_could_not_be_counted_is_none),
        TEST(a_freeze_of_the_core_is_nobodys_order),
        TEST(a_denial_is_on_disk_before_its_end_is_told),
        TEST(an_engine_that_cannot_be_flipped_to_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
