/* Orders: from an envelope to an event of the core, as agent/shell/orders does
 * it.  Verified, in scope, compared with the stored ones, stored, judged. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/cmd.h>
#include <flotilla/errors/sig.h>
#include <flotilla/errors/target.h>

#include "base/host/digest.h"
#include "tests/sim/device/inside.h"

/* ---- verified once ---- */

#define CACHE_MAX 4096
static struct {
    struct flo_digest text;
    const struct flo_trust *trust; /* by whose keys */
    int rv;
    struct flo_err err;
    struct flo_order_verified *verified;
} cache[CACHE_MAX];

void sim_orders_forget(void)
{
    for (size_t i = 0; i < CACHE_MAX; i++) {
        free(cache[i].verified);
    }
    memset(cache, 0, sizeof(cache));
}

/* The same envelope gives the same result for all devices that trust the same
 * keys. */
static int verify(const struct flo_trust *trust, const char *envelope, size_t bytes,
                  const struct flo_order_verified **out, struct flo_err *err)
{
    struct flo_digest digest;
    size_t at;

    flo_sha256(envelope, bytes, &digest);
    at = (digest.bytes[0] | (size_t)digest.bytes[1] << 8) % CACHE_MAX;
    if (cache[at].verified == NULL || cache[at].trust != trust ||
        !flo_digest_equal(&cache[at].text, &digest)) {
        free(cache[at].verified);
        cache[at].verified = calloc(1, sizeof(*cache[at].verified));
        cache[at].text = digest;
        cache[at].trust = trust;
        cache[at].err = (struct flo_err){0};
        cache[at].rv = flo_order_verify(envelope, bytes, trust, cache[at].verified, &cache[at].err);
    }
    *out = cache[at].verified;
    *err = cache[at].err;
    return cache[at].rv;
}

/* ---- answers ---- */

static bool was_told(const struct sim_device *device, const char *order)
{
    for (size_t i = 0; i < FLO_COUNT(device->told); i++) {
        if (strcmp(device->told[i], order) == 0) {
            return true;
        }
    }
    return false;
}

static void acknowledge(struct sim_device *device, const char *order, const char *text)
{
    if (sim_publish(device, FLO_TOPIC_ACK, text, strlen(text))) {
        snprintf(device->told[device->told_next++ % FLO_COUNT(device->told)],
                 sizeof(device->told[0]), "%s", order);
    }
}

static void answer(struct sim_device *device, const char *order, const char *outcome,
                   const struct flo_agent_error *error, bool is_stored)
{
    struct flo_buf text = {0};

    flo_buf_printf(&text, "{\"v\":1,\"order\":\"%s\",\"outcome\":\"%s\"", order, outcome);
    if (error != NULL && error->code != 0) {
        flo_buf_printf(&text, ",\"error\":{\"id\":\"%s\",\"what\":", flo_error_id(error->code));
        flo_buf_text(&text, "\"");
        flo_buf_json_text(&text, error->what, strlen(error->what));
        flo_buf_text(&text, "\"");
        flo_buf_text(&text, "}");
    }
    flo_buf_text(&text, "}");
    if (is_stored && strcmp(outcome, "running") == 0) {
        sim_answer_forget(device, order);
    } else if (is_stored) {
        sim_answer_keep(device, order, text.data);
    }
    sim_trace(sim_name(device), "answers %s: %s", order, outcome);
    acknowledge(device, order, text.data);
    flo_buf_deinit(&text);
}

void sim_order_answer(struct sim_device *device, const char *order, const char *outcome,
                      const struct flo_agent_error *error)
{
    answer(device, order, outcome, error, true);
}

static bool answer_again(struct sim_device *device, const char *order)
{
    const struct sim_answer *kept = sim_answer_find(device, order);

    if (kept != NULL && !(device->is_list && was_told(device, order))) {
        acknowledge(device, order, kept->text);
    }
    return kept != NULL;
}

/* ---- effects ---- */

void sim_order_pauses(const struct sim_device *device, struct flo_agent_pauses *out)
{
    size_t count = 0;

    memset(out, 0, sizeof(*out));
    out->all = device->record.all_paused;
    for (size_t i = 0; i < FLO_PAUSES_MAX; i++) {
        const struct flo_pause *pause = &device->record.pauses[i];
        if (pause->rollout[0] != '\0' && pause->said == FLO_ROLLOUT_PAUSED_BY_ORDER) {
            memcpy(out->rollouts[count++], pause->rollout, sizeof(pause->rollout));
        }
    }
}

static void begin_deploy(uint32_t model, struct sim_intake *out)
{
    out->event = (struct flo_agent_event){
        .kind = FLO_AGENT_DEPLOY, .model = model, .deploy.execution = &out->execution};
}

static void deploy(struct sim_device *device, const struct flo_order *order, uint32_t model,
                   uint32_t attempt, const struct flo_agent_error *refusal, struct sim_intake *out)
{
    struct flo_agent_execution *execution = &out->execution;

    begin_deploy(model, out);
    out->event.deploy.refusal = *refusal;
    device->models[model].slots.stated.outcome = FLO_STATED_OPEN;
    memset(execution, 0, sizeof(*execution));
    execution->attempt = attempt;
    execution->phase = order->phase;
    execution->epoch = order->epoch;
    execution->seq = order->seq;
    execution->policy = order->policy;
    execution->release.digest = order->release;
    memcpy(execution->release.model, order->model, sizeof(order->model));
    memcpy(execution->release.version, order->version, sizeof(order->version));
    memcpy(execution->rollout, order->rollout, sizeof(order->rollout));
    memcpy(execution->order, order->id, sizeof(order->id));
    snprintf(execution->id, sizeof(execution->id), "%s.%u", order->rollout, attempt);
    sim_check_order(device, order);
}

static bool is_about_model(const struct flo_order *order)
{
    return flo_order_fact(order->op)->subject == FLO_ORDER_SUBJECT_MODEL;
}

static void act(struct sim_device *device, const struct flo_order *order, uint32_t model,
                struct sim_intake *out)
{
    if (order->op == FLO_ORDER_GROUPS) {
        sim_broker_groups(device);
        sim_report(device);
    }
    sim_order_pauses(device, &out->pauses);
    out->event = (struct flo_agent_event){.kind = FLO_AGENT_ORDER,
                                          .order = order,
                                          .pauses = &out->pauses,
                                          .stays_frozen = device->record.is_frozen ||
                                                          device->record.is_frozen_emergency};
    if (model < SIM_MODELS_MAX) {
        out->event.model = model;
        out->event.fits_both = device->fits_both;
    }
}

/* ---- where it stands ---- */

static uint32_t model_of(const struct sim_device *device, const char *name)
{
    uint32_t i = 0;

    while (i < SIM_MODELS_MAX && strcmp(device->models[i].slots.model, name) != 0) {
        i++;
    }
    return i;
}

static uint32_t place_of(const char *name)
{
    uint32_t i = 0;

    while (i < SIM_MODELS_MAX && strcmp(sim_models[i], name) != 0) {
        i++;
    }
    return i;
}

static struct flo_slots *record_of(struct sim_device *device, const char *name)
{
    uint32_t model = model_of(device, name);

    if (model < SIM_MODELS_MAX) {
        return &device->models[model].slots;
    }
    memset(&device->other, 0, sizeof(device->other));
    model = place_of(name);
    if (model < SIM_MODELS_MAX) {
        device->other = device->disk.slots[model];
    }
    snprintf(device->other.model, sizeof(device->other.model), "%s", name);
    flo_slots_raise_floor(&device->other, sim_trust_of(device));
    return &device->other;
}

static int record_keep(struct sim_device *device, struct flo_slots *record, struct flo_err *err)
{
    uint32_t place = place_of(record->model);

    if (place == SIM_MODELS_MAX || !sim_device_slots_write(device, place, record, err)) {
        return err->code;
    }
    if (record == &device->models[place].slots) {
        device->models[place].is_dirty = false;
    }
    return 0;
}

static int keep(struct sim_device *device, const struct flo_order_verified *verified,
                struct flo_slots *record, struct flo_err *err)
{
    struct flo_slots record_before = *record;
    struct flo_device before = device->record;
    struct flo_kept kept =
        flo_statement_keep(&device->record, record, &verified->order, &verified->body);
    struct flo_time_sources sources = {.clock_ms = sim_device_wall_ms(device),
                                       .is_synchronised = device->is_synchronised,
                                       .peer_until_ms = sim->wall_ms + UINT64_C(800) * 86400000};
    int rv = 0;

    if (!verified->order.is_emergency &&
        flo_time_claim(&device->record.trusted_time_ms, &device->record.claimed_time_ms,
                       verified->order.issued_at_ms, flo_time_limit(&sources))) {
        kept.device = true;
    }
    device->record_is_dirty = device->record_is_dirty || kept.device;
    if (kept.slots) {
        rv = record_keep(device, record, err);
    } else if (!sim_device_record_keep(device, err)) {
        rv = err->code;
    }
    if (rv < 0) {
        device->record = before;
        *record = record_before;
        return rv;
    }
    if (kept.slots) {
        struct flo_err later = {0};
        (void)sim_device_record_keep(device, &later);
    }
    return 0;
}

static bool names_here(const struct sim_device *device, uint32_t model,
                       const struct flo_order *order)
{
    const struct flo_agent_model *agent = &device->agent.models[model];

    for (uint32_t i = 0; i < order->from_count; i++) {
        const struct flo_digest *from = &order->from[i];
        if ((flo_digest_equal(from, &agent->slots.current.digest) ||
             (agent->has_execution && flo_digest_equal(from, &agent->execution.release.digest))) &&
            flo_slots_is_denied(&device->models[model].slots, from, order->from_numbers[i])) {
            return true;
        }
    }
    return false;
}

static void gather(struct sim_device *device, const struct flo_slots *record, uint32_t model,
                   struct flo_intake_facts *facts, uint32_t *attempt)
{
    const struct flo_order *order = facts->order;

    facts->outcome = order->is_emergency ? FLO_STATED_OPEN /* not kept */
                                         : record->stated.outcome;
    facts->is_answered =
        facts->standing == FLO_STATEMENT_AGAIN && sim_answer_find(device, order->id) != NULL;
    facts->is_absent = is_about_model(order) && model == SIM_MODELS_MAX;
    facts->takes_back = model < SIM_MODELS_MAX && names_here(device, model, order);
    if (order->op != FLO_ORDER_DEPLOY) {
        return;
    }
    const struct sim_story *story = sim_story_last(device, order->rollout);
    facts->has_ended = story != NULL && story->has_ended;
    *attempt = story == NULL      ? 1
               : story->has_ended ? story->execution.attempt + 1
                                  : story->execution.attempt;
    if (flo_device_rollout(&device->record, order->rollout, order->seq) ==
        FLO_ROLLOUT_ABORTED_BY_ORDER) {
        facts->aborted_by = flo_device_said(&device->record, order->rollout)->number;
    }
    facts->is_current =
        model < SIM_MODELS_MAX &&
        flo_digest_equal(&order->release, &device->agent.models[model].slots.current.digest);
    sim_trust_refusal(device, record, &order->release, order->number, &facts->refusal);
}

static void tell(struct sim_device *device, const struct flo_order *order,
                 const struct flo_intake_verdict *verdict)
{
    switch (verdict->kind) {
    case FLO_INTAKE_ACT:
        break;
    case FLO_INTAKE_REPEAT:
        (void)answer_again(device, order->id);
        break;
    case FLO_INTAKE_SUPERSEDED:
        if (!device->is_list || !was_told(device, order->id)) {
            answer(device, order->id, "superseded", NULL, false);
        }
        break;
    case FLO_INTAKE_DONE:
    case FLO_INTAKE_REFUSED:
    case FLO_INTAKE_IGNORED:
        answer(device, order->id, flo_intake_word(verdict->kind), &verdict->error, true);
        break;
    }
}

static bool judge(struct sim_device *device, const struct flo_order *order,
                  const struct flo_slots *record, enum flo_standing standing, uint64_t by,
                  struct sim_intake *out)
{
    struct flo_intake_facts facts = {.order = order, .standing = standing, .by = by};
    struct flo_intake_verdict verdict;
    uint32_t model = is_about_model(order) ? model_of(device, order->model) : SIM_MODELS_MAX;
    uint32_t attempt = 0;

    gather(device, record, model, &facts, &attempt);
    flo_agent_intake(&facts, &verdict);
    sim_trace(sim_name(device), "order %s %s: %s%s%s", order->id, flo_order_op_word(order->op),
              flo_intake_word(verdict.kind), verdict.why[0] != '\0' ? ", " : "", verdict.why);
    if (verdict.kind != FLO_INTAKE_ACT) {
        tell(device, order, &verdict);
        return false;
    }
    if (flo_order_fact(order->op)->subject == FLO_ORDER_SUBJECT_REPORT) {
        return false;
    }
    if (order->op == FLO_ORDER_DEPLOY) {
        deploy(device, order, model, attempt, &facts.refusal, out);
    } else {
        act(device, order, model, out);
    }
    if (model < SIM_MODELS_MAX && standing == FLO_STATEMENT_SUPERSEDED) {
        device->models[model].is_interrupted = true;
    }
    return true;
}

bool sim_order_converge(struct sim_device *device, struct sim_intake *out)
{
    for (uint32_t i = 0; i < sim->model_count; i++) {
        struct sim_model *model = &device->models[i];
        const struct flo_order *order = &model->assigned;
        if (!model->is_interrupted || device->agent.models[i].has_execution ||
            device->agent.models[i].going_back.is_active) {
            continue;
        }
        model->is_interrupted = false;
        if (order->seq != 0 && order->seq == model->slots.stated.number &&
            judge(device, order, &model->slots, FLO_STATEMENT_NEW, 0, out)) {
            return true;
        }
    }
    return false;
}

static int admit(const struct sim_device *device, const struct flo_order *order,
                 struct flo_err *err)
{
    static const char groups[SIM_GROUPS][FLO_NAME_MAX + 1] = {"all", "lab"};
    uint64_t wall_ms = sim_device_wall_ms(device);
    uint64_t set_ms = flo_build_ms();
    struct flo_agent_time time = {.clock_ms = wall_ms < set_ms ? 0 : wall_ms,
                                  .is_synchronised = wall_ms >= set_ms && device->is_synchronised};

    time.trusted_ms = time.is_synchronised ? (wall_ms > set_ms ? wall_ms : set_ms)
                                           : flo_device_time(&device->record, wall_ms, set_ms);
    return flo_agent_order_admit(order, device->id, groups, sim_device_is_in_lab(device) ? 2 : 1,
                                 &time, err);
}

static int assign(struct sim_device *device, const struct flo_order *order,
                  struct flo_slots **record, struct flo_err *err)
{
    uint32_t model = model_of(device, order->model);

    if (model == SIM_MODELS_MAX) {
        model = place_of(order->model);
        if (model == SIM_MODELS_MAX) {
            return flo_fail(err, FLO_E_TARGET_LIMIT, "model %s", order->model);
        }
        memset(&device->models[model].assigned, 0, sizeof(device->models[model].assigned));
        device->models[model].slots = **record;
        device->models[model].is_interrupted = false;
    }
    device->models[model].assigned = *order;
    *record = &device->models[model].slots;
    return 0;
}

static int take(struct sim_device *device, const struct flo_order_verified *verified,
                struct sim_intake *out, bool *is_told, struct flo_err *err)
{
    const struct flo_order *order = &verified->order;
    struct flo_slots *record = &device->other;
    enum flo_standing standing;
    uint64_t by;
    int rv = admit(device, order, err);

    if (rv == 0) {
        rv = flo_epoch_admit(device->record.epoch, flo_trust_epoch(sim_trust_of(device)),
                             order->epoch, err);
    }
    if (rv == 0 && is_about_model(order)) {
        record = record_of(device, order->model);
    }
    rv = rv < 0 ? rv
                : flo_statement_look(&device->record, record, order, &verified->body, &standing,
                                     &by, err);
    if (rv < 0) {
        return rv;
    }
    if (standing != FLO_STATEMENT_AGAIN) {
        rv = keep(device, verified, record, err);
        if (rv == 0) {
            sim_check_kept(device, order);
        }
    }
    if (rv == 0 && order->op == FLO_ORDER_DEPLOY && standing != FLO_STATEMENT_SUPERSEDED) {
        rv = assign(device, order, &record, err);
    }
    if (rv == 0 && order->op == FLO_ORDER_REMOVE && record == &device->other &&
        standing == FLO_STATEMENT_NEW) {
        flo_slots_remove(record);
        rv = record_keep(device, record, err);
    }
    if (rv == 0) {
        *is_told = judge(device, order, record, standing, by, out);
    }
    return rv;
}

static void refuse(struct sim_device *device, const char *order, const struct flo_err *err)
{
    struct flo_agent_error error = {.code = err->code};

    if (err->code == FLO_E_CMD_SCOPE) {
        return;
    }
    sim_trace(sim_name(device), "order %s not taken: %s", order, err->what);
    if (err->code == FLO_E_IO_WRITE || err->code == FLO_E_DISK_FULL) {
        device->has_unkept = true;
        sim_report_event(device, "note", err);
        return;
    }
    if (err->code == FLO_E_CMD_EXPIRED || err->code == FLO_E_CMD_FUTURE) {
        sim_clock_look(device);
    }
    if (order[0] != '\0' && answer_again(device, order)) {
        return;
    }
    sim_report_event(device, "security", err);
    if (order[0] != '\0') {
        snprintf(error.what, sizeof(error.what), "%.255s", err->what);
        sim_order_answer(device, order, "refused", &error);
    }
}

bool sim_order_take(struct sim_device *device, const char *envelope, size_t bytes, bool is_list,
                    struct sim_intake *out)
{
    const struct flo_order_verified *verified;
    struct flo_err err = {0};
    bool is_told = false;
    int rv;

    if (device->trust_is_behind) {
        return false; /* it comes again */
    }
    rv = verify(sim_trust_of(device), envelope, bytes, &verified, &err);
    device->is_list = is_list;
    if (rv < 0) {
        refuse(device, "", &err);
        if (rv == FLO_E_SIG_UNKNOWN_KEY) {
            sim_trust_doubt(device);
        }
        return false;
    }
    rv = take(device, verified, out, &is_told, &err);
    if (rv == FLO_E_CMD_EPOCH &&
        verified->order.epoch == flo_trust_epoch(sim_trust_of(device)) + 1) {
        sim_report_event(device, "security", &err);
        sim_trust_doubt(device);
    } else if (rv < 0) {
        refuse(device, verified->order.id, &err);
    }
    return is_told;
}

/* ---- without an order ---- */

void sim_order_repair(struct sim_device *device, uint32_t model,
                      const struct flo_release_ref *release)
{
    struct flo_agent_execution *execution = &device->models[model].repair;
    struct flo_agent_event event = {
        .kind = FLO_AGENT_DEPLOY, .model = model, .deploy.execution = execution};
    char hex[FLO_DIGEST_TEXT];

    memset(execution, 0, sizeof(*execution));
    execution->release = *release;
    flo_digest_text(&release->digest, hex);
    snprintf(execution->rollout, sizeof(execution->rollout), "repair.%.8s",
             hex + strlen("sha256:"));
    const struct sim_story *story = sim_story_last(device, execution->rollout);
    execution->attempt = story == NULL ? 1 : story->execution.attempt + 1;
    snprintf(execution->id, sizeof(execution->id), "repair.%.8s.%u", hex + strlen("sha256:"),
             execution->attempt);
    flo_policy_default(&execution->policy);
    sim_trust_refusal(device, &device->models[model].slots, &release->digest, 0,
                      &event.deploy.refusal);
    sim_device_post(device, 0, &event);
}
