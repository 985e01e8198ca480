/* Device: an agent's shell around the shipped core: steps, actions, messages.
 *
 * As agent/shell/loop.c: a list of actions is carried out whole, but
 * for a power cut, which may come after each of them. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/timeouts.h>

#include "tests/sim/device/inside.h"

static struct flo_agent_actions actions; /* one at a time */

uint64_t sim_device_now_ms(const struct sim_device *device)
{
    return sim->now_ms - device->powered_ms + 1000;
}

uint64_t sim_device_wall_ms(const struct sim_device *device)
{
    return (uint64_t)((int64_t)(sim->wall_ms + sim->now_ms) + device->skew_ms);
}

/* ---- other actions ---- */

static void deny(struct sim_device *device, const struct flo_agent_action *action)
{
    struct sim_model *model = &device->models[action->model];
    const struct flo_denial_here said = {.release = action->release.digest,
                                         .cause = action->cause,
                                         .order = action->number,
                                         .assigned = model->assigned.number};

    (void)flo_slots_deny_here(&model->slots, &device->record, &said);
    model->is_dirty = true;
}

static void set_outcome(struct sim_model *model, enum flo_stated_outcome outcome)
{
    if (model->slots.stated.outcome != outcome) {
        model->slots.stated.outcome = outcome;
        model->is_dirty = true;
    }
}

static void stated_end(struct sim_model *model, const struct flo_agent_execution *execution)
{
    const struct flo_stated *stated = &model->slots.stated;

    if (!flo_execution_is_end(execution->state) || stated->number == 0 ||
        stated->op != FLO_ORDER_DEPLOY ||
        !flo_digest_equal(&execution->release.digest, &stated->target) ||
        strcmp(execution->rollout, stated->rollout) != 0) {
        return;
    }
    set_outcome(model, flo_execution_kind(execution->state) == FLO_EXECUTION_END_GOOD
                           ? FLO_STATED_DONE
                       : execution->state == FLO_EXECUTION_REJECTED ? FLO_STATED_REFUSED
                                                                    : FLO_STATED_FAILED);
}

static void acknowledge(struct sim_device *device, const struct flo_agent_action *action)
{
    struct sim_model *model = &device->models[action->model];
    const struct flo_stated *stated = &model->slots.stated;

    if (action->order[0] == '\0') {
        return;
    }
    if (stated->number != 0 && stated->op != FLO_ORDER_DEPLOY &&
        strcmp(stated->order, action->order) == 0 && strcmp(action->word, "running") != 0) {
        set_outcome(model,
                    strcmp(action->word, "refused") == 0 ? FLO_STATED_REFUSED : FLO_STATED_DONE);
    }
    sim_order_answer(device, action->order, action->word, &action->error);
}

static void on_core_timer(const struct sim_call *call)
{
    const struct flo_agent_event event = {.kind = FLO_AGENT_TIMER};

    if (call->a == call->device->timer_number) {
        sim_device_post(call->device, 0, &event);
    }
}

static void set_timer(struct sim_device *device, uint64_t at_ms)
{
    uint64_t now_ms = sim_device_now_ms(device);

    device->timer_number++;
    if (at_ms != 0) {
        sim_later(
            at_ms > now_ms ? at_ms - now_ms : 0,
            (struct sim_call){.fn = on_core_timer, .device = device, .a = device->timer_number});
    }
}

/* Blobs that no slot names go (flo_store_collect). */
static void on_collect(const struct sim_call *call)
{
    struct sim_device *device = call->device;
    uint32_t kept = 0;

    if (device->job != 0 || flo_agent_is_fetching(&device->agent)) {
        return;
    }
    for (int i = 0; i < sim->release_count; i++) {
        const struct flo_slots *slots = &device->disk.slots[sim->releases[i].model];
        const struct flo_digest *digest = &sim->releases[i].ref.digest;
        if (flo_digest_equal(digest, &slots->current) ||
            flo_digest_equal(digest, &slots->previous) ||
            flo_digest_equal(digest, &slots->candidate) ||
            flo_digest_equal(digest, &slots->baseline)) {
            kept |= 1u << i;
        }
    }
    device->disk.blobs &= kept;
    device->disk.damaged &= kept;
}

static void model_free(struct sim_device *device, uint32_t index)
{
    struct sim_model *model = &device->models[index];
    struct flo_err err = {0};

    if (model->is_dirty && model->slots.model[0] != '\0') {
        (void)sim_device_slots_write(device, index, &model->slots, &err);
    }
    memset(&model->slots, 0, sizeof(model->slots));
    memset(&model->assigned, 0, sizeof(model->assigned));
    model->is_dirty = model->is_interrupted = false;
    model->drift = FLO_DRIFT_NONE;
}

static void report(struct sim_device *device, uint32_t model,
                   const struct flo_agent_execution *execution)
{
    if (flo_execution_is_end(execution->state)) {
        sim_model_write(device, model);
    }
    sim_report_execution(device, execution);
    stated_end(&device->models[model], execution);
}

static void flip(struct sim_device *device, const struct flo_agent_action *action)
{
    struct flo_agent_event event = {
        .kind = FLO_AGENT_LOST, .model = action->model, .role = action->role};

    if (sim_engine_is_ready(device, action->model, action->role)) {
        sim_check_flip(device, action);
        sim_engine_flipped(device, action);
        return;
    }
    event.error.code = FLO_E_ENGINE_CRASH;
    sim_device_post(device, 0, &event);
}

/* false: a write that the rest of the list may stand on failed. */
static bool carry_out(struct sim_device *device, const struct flo_agent_action *action,
                      const struct flo_agent_execution *reported)
{
    struct flo_err err = {0};

    switch (action->kind) {
    case FLO_DO_DENY:
        deny(device, action);
        return true;
    case FLO_DO_FREEZE: /* the record says by which lane */
    case FLO_DO_NOTE:
        return true;
    default:
        break;
    }
    (void)sim_device_record_keep(device, &err);
    switch (action->kind) {
    case FLO_DO_JOB:
        sim_check_job(device, action->model);
        sim_job_start(device, action->model, action->job);
        break;
    case FLO_DO_CANCEL_JOB:
        device->job = device->job == action->job ? 0 : device->job;
        break;
    case FLO_DO_SLOT_STAGE:
    case FLO_DO_SLOT_TRIAL:
    case FLO_DO_SLOT_TRY:
    case FLO_DO_SLOT_UNTRY:
    case FLO_DO_SLOT_COMMIT:
    case FLO_DO_SLOT_CLEAR:
    case FLO_DO_SLOT_BACK:
    case FLO_DO_SLOT_REMOVE:
        return sim_slot_action(device, action);
    case FLO_DO_REPAIR:
        sim_order_repair(device, action->model, &action->release);
        break;
    case FLO_DO_LOAD:
        sim_check_load(device, action);
        sim_engine_load(device, action);
        break;
    case FLO_DO_UNLOAD:
        sim_engine_unload(device, action);
        break;
    case FLO_DO_FLIP:
        flip(device, action);
        break;
    case FLO_DO_PROMOTE:
        sim_engine_promote(device, action->model);
        break;
    case FLO_DO_FREE:
        model_free(device, action->model);
        break;
    case FLO_DO_PROBE:
        sim_engine_probe(device, action->model);
        break;
    case FLO_DO_EVENT:
        report(device, action->model, reported);
        break;
    case FLO_DO_SERVING:
        sim_report_serving(device, action);
        break;
    case FLO_DO_ACK:
        acknowledge(device, action);
        break;
    case FLO_DO_COLLECT:
        sim_later(1000, (struct sim_call){.fn = on_collect, .device = device});
        break;
    case FLO_DO_TIMER:
        set_timer(device, action->at_ms);
        break;
    case FLO_DO_VARIANT: /* neither variants nor links are simulated */
    case FLO_DO_UNLINK:
    case FLO_DO_HOLD:
    case FLO_DO_REST:
    case FLO_DO_CLOSE:
    case FLO_DO_DENY:
    case FLO_DO_FREEZE:
    case FLO_DO_NOTE:
    case FLO_DO_COUNT:
        break;
    }
    return true;
}

/* ---- steps ---- */

static void trace_step(const struct sim_device *device, const struct flo_agent_event *event)
{
    struct flo_buf text = {0};
    char *line;
    char *rest;

    flo_agent_trace(&device->agent, event, &actions, &text);
    if (text.bytes > 0 && !text.failed) {
        for (line = strtok_r(text.data, "\n", &rest); line != NULL;
             line = strtok_r(NULL, "\n", &rest)) {
            sim_trace(sim_name(device), "%s", line);
        }
    }
    flo_buf_deinit(&text);
}

static void on_power(const struct sim_call *call)
{
    sim_device_start(call->device);
}

/* true: the power failed behind this action. */
static bool is_cut(struct sim_device *device, const struct flo_agent_action *action)
{
    if (device->cut_after == 0 || action->kind == FLO_DO_TIMER || action->kind == FLO_DO_NOTE ||
        --device->cut_after > 0) {
        return false;
    }
    sim_device_kill(device, true);
    sim_later(sim_between(&device->random, 100, 20000),
              (struct sim_call){.fn = on_power, .device = device, .life = device->life});
    return true;
}

/* false: it is off. */
bool sim_device_step(struct sim_device *device, struct flo_agent_event *event)
{
    bool is_uncounted = false;
    size_t reports = 0;

    event->now_ms = sim_device_now_ms(device);
    sim->steps++;
    flo_agent_step(&device->agent, event, &actions);
    if (sim->is_traced) {
        trace_step(device, event);
    }
    for (size_t i = 0; i < actions.count && !sim->has_failed; i++) {
        const struct flo_agent_action *action = &actions.list[i];
        const struct flo_agent_execution *reported =
            action->kind == FLO_DO_EVENT ? &actions.reports[reports++] : NULL;

        if (is_uncounted && action->kind == FLO_DO_LOAD && action->role == FLO_AGENT_BESIDE) {
            continue;
        }
        bool is_done = carry_out(device, action, reported);
        is_uncounted = is_uncounted || (action->kind == FLO_DO_SLOT_TRY && !is_done);
        if (is_cut(device, action)) {
            return false;
        }
    }
    sim_records_write(device);
    return true;
}

/* Its event is about an engine that is there no more. */
static bool is_stale(const struct sim_device *device, struct sim_waiting *waiting)
{
    const struct sim_model *model = &device->models[waiting->event.model];

    if (waiting->engine == 0) {
        return false;
    }
    for (int role = 0; role < FLO_AGENT_ROLES; role++) {
        if (model->engines[role].number == waiting->engine) {
            waiting->event.role = (enum flo_agent_role)role;
            return false;
        }
    }
    return true;
}

static bool take_waiting(struct sim_device *device)
{
    static struct sim_intake intake;

    while (device->waiting_count > 0) {
        struct sim_waiting first = device->waiting[0];
        device->waiting_count--;
        memmove(&device->waiting[0], &device->waiting[1],
                device->waiting_count * sizeof(device->waiting[0]));
        if (!is_stale(device, &first) && !sim_device_step(device, &first.event)) {
            return false;
        }
    }
    return !sim_order_converge(device, &intake) || sim_device_step(device, &intake.event);
}

static void on_report(const struct sim_call *call)
{
    sim_report(call->device);
    sim_outbox_send(call->device);
}

static void report_change(struct sim_device *device)
{
    if (device->reported_revision == device->agent.revision) {
        return;
    }
    device->reported_revision = device->agent.revision;
    if (sim->now_ms < device->report_at_ms) {
        sim_later(device->report_at_ms - sim->now_ms,
                  (struct sim_call){.fn = on_report, .device = device});
    } else {
        sim_report(device);
    }
}

static void settle(struct sim_device *device)
{
    for (uint32_t i = 0; i < sim->model_count; i++) {
        sim_trust_look(device, i);
        if (device->models[i].slots.model[0] != '\0' && sim_report_drift(device, i)) {
            device->agent.revision++;
        }
    }
    report_change(device);
    sim_outbox_send(device);
}

void sim_device_end_turn(struct sim_device *device)
{
    if (take_waiting(device)) {
        settle(device);
    }
}

static void on_turn(const struct sim_call *call)
{
    call->device->turn_is_due = false;
    sim_device_end_turn(call->device);
}

static void enqueue(struct sim_device *device, uint64_t engine, const struct flo_agent_event *event)
{
    if (device->waiting_count == SIM_WAITING_MAX) {
        abort();
    }
    device->waiting[device->waiting_count++] = (struct sim_waiting){*event, engine};
    if (!device->turn_is_due) {
        device->turn_is_due = true;
        sim_later(0, (struct sim_call){.fn = on_turn, .device = device});
    }
}

static void on_event(const struct sim_call *call)
{
    enqueue(call->device, call->a, call->owned);
}

void sim_device_post_engine(struct sim_device *device, uint64_t in_ms, uint64_t engine,
                            const struct flo_agent_event *event)
{
    struct flo_agent_event *copy;

    if (in_ms == 0) {
        enqueue(device, engine, event);
        return;
    }
    copy = malloc(sizeof(*copy));
    if (copy == NULL) {
        abort();
    }
    *copy = *event;
    sim_later(in_ms,
              (struct sim_call){.fn = on_event, .device = device, .a = engine, .owned = copy});
}

void sim_device_post(struct sim_device *device, uint64_t in_ms, const struct flo_agent_event *event)
{
    sim_device_post_engine(device, in_ms, 0, event);
}

/* ---- the link ---- */

static void on_subscribed(const struct sim_call *call)
{
    if (call->device->client.believes && call->device->client.connection == call->b) {
        sim_client_subscribe(&call->device->client);
    }
}

void sim_device_connected(struct sim_device *device, bool has_session)
{
    static const char online[] = "{\"v\":1,\"online\":true}";

    (void)has_session;
    device->has_unkept = false;
    sim_later(
        device->client.delay_ms,
        (struct sim_call){.fn = on_subscribed, .device = device, .b = device->client.connection});
    (void)sim_publish(device, FLO_TOPIC_PRESENCE, online, strlen(online));
    sim_report(device);
    flo_outbox_connected(&device->outbox, sim_device_now_ms(device));
    sim_outbox_send(device);
}

void sim_device_disconnected(struct sim_device *device)
{
    flo_outbox_disconnected(&device->outbox);
}

/* The end of the object that begins at `at`; envelopes have no braces in their
 * texts. */
const char *sim_object_end(const char *at)
{
    int depth = 0;

    for (; *at != '\0'; at++) {
        depth += *at == '{' ? 1 : *at == '}' ? -1 : 0;
        if (depth == 0) {
            return at + 1;
        }
    }
    return at;
}

static void spread_reports(struct sim_device *device, const struct flo_agent_event *event)
{
    uint64_t pause_ms =
        flo_report_pause_ms(sim_client_spread_ms(&device->client), sim_next(&device->random));

    device->report_at_ms = sim->now_ms + pause_ms;
    if (event->kind == FLO_AGENT_ORDER && event->order->op == FLO_ORDER_ROLLBACK) {
        flo_outbox_wait(&device->outbox, sim_device_now_ms(device) + pause_ms);
    }
}

/* false: it is off. */
static bool take_order(struct sim_device *device, const char *envelope, size_t bytes, bool is_list)
{
    static struct sim_intake intake;

    if (!take_waiting(device)) {
        return false;
    }
    if (sim_order_take(device, envelope, bytes, is_list, &intake)) {
        if (is_list) {
            spread_reports(device, &intake.event);
        }
        if (!sim_device_step(device, &intake.event)) {
            return false;
        }
    }
    sim_device_end_turn(device);
    return device->runs && !sim->has_failed;
}

static uint64_t number_of(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at == NULL ? 0 : strtoull(at + strlen(key), NULL, 10);
}

static void take_orders(struct sim_device *device, const char *text, bool is_list)
{
    static const char begin[] = "{\"payload\":";
    const char *at = text;

    while ((at = strstr(at, begin)) != NULL) {
        const char *end = sim_object_end(at);
        if (!take_order(device, at, (size_t)(end - at), is_list)) {
            return;
        }
        at = end;
    }
}

void sim_device_heard(struct sim_device *device, const struct sim_message *message)
{
    const char *text = message->data;
    char boot[37] = "";

    if (sim->is_wired && message->topic == FLO_TOPIC_CMD) {
        sim_trace(sim_name(device), "hears %s", text);
    }
    uint64_t number;

    if (message->topic == FLO_TOPIC_DESIRED) {
        number = number_of(text, "\"rev\":");
        if (number != device->rev) {
            device->rev = number;
            sim_report(device);
        }
    }
    if (message->topic == FLO_TOPIC_CMD && (number = number_of(text, "\"ack\":")) > 0) {
        const char *at = strstr(text, "\"boot\":\"");
        snprintf(boot, sizeof(boot), "%.36s", at == NULL ? "" : at + strlen("\"boot\":\""));
        sim_outbox_acked(device, boot, number);
        sim_outbox_send(device);
    }
    if (message->topic == FLO_TOPIC_TRUST) {
        sim_trust_hear(device, text);
        sim_device_end_turn(device);
        return;
    }
    take_orders(device, text,
                message->topic == FLO_TOPIC_ORDER || message->topic == FLO_TOPIC_ORDER_ALL ||
                    message->topic == FLO_TOPIC_EMERGENCY);
}

/* ---- the whole ---- */

bool sim_device_is_in_lab(const struct sim_device *device)
{
    const struct flo_device *record = &device->record;
    bool is_in_lab = record->group_count == 0 && device->is_in_lab;

    for (uint32_t i = 0; i < record->group_count; i++) {
        is_in_lab = is_in_lab || strcmp(record->groups[i], "lab") == 0;
    }
    return is_in_lab;
}

void sim_device_init(struct sim_device *device, uint32_t index)
{
    memset(device, 0, sizeof(*device));
    device->index = index;
    snprintf(device->id, sizeof(device->id), "%08x-0000-4000-8000-%012x", index, index);
    device->random = sim_random_of(sim->seed * 1000 + index, "device");
    device->is_in_lab = sim_chance(&device->random, 300);
    device->was_in_lab = device->is_in_lab;
    device->fits_both = sim_chance(&device->random, 800);
    device->is_synchronised = sim_chance(&device->random, 500);
    device->heartbeat_ms = 60000;
    device->pace = 1000;
    device->seen.statement = 1;
    sim_client_init(&device->client, (int)index, 3600000);
}

void sim_device_deinit(struct sim_device *device)
{
    device->runs = false;
    sim_outbox_lose_memory(device, false);
    free(device->memory);
    free(device->stories.items);
    sim_disk_deinit(&device->disk);
    sim_client_deinit(&device->client);
}
