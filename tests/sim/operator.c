/* People: they publish releases, begin rollouts, stop them, take releases back,
 * freeze the fleet.  In the end they bring everybody to a good release. */
#include <stdlib.h>
#include <string.h>

#include "base/host/json.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/recall/recall.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/telemetry/lane.h"
#include "tests/sim/people.h"

static struct sim_random chance, moves;
struct sim_people sim_people;

static struct flo_controller *ours(void)
{
    return sim->controller.controller;
}

/* ---- a change at the controller ---- */

static bool begin(struct flo_err *err)
{
    return ours() != NULL && flo_controller_begin(ours(), err) == 0;
}

static bool end(int rv, struct flo_err *err)
{
    if (rv < 0) {
        flo_controller_cancel(ours());
        return false;
    }
    return flo_controller_commit(ours(), err) == 0;
}

/* ---- releases ---- */

static bool publish(int number)
{
    const struct sim_release *release = &sim->releases[number];
    struct flo_err err = {0};
    char digest[FLO_DIGEST_TEXT];
    struct flo_fleet_release row = {.model = release->ref.model,
                                    .version = release->ref.version,
                                    .number = release->number,
                                    .digest = digest,
                                    .state = "published",
                                    .body = release->body.data,
                                    .bytes = 1000000};

    flo_digest_text(&release->ref.digest, digest);
    if (!begin(&err)) {
        return false;
    }
    flo_lane_release(ours()->lane, digest, release->ref.model, release->ref.version, "");
    flo_rollouts_release_added(ours(), release->ref.model);
    int rv = flo_fleet_release_add(ours()->store, &row, &err);
    if (rv == 0) {
        rv = flo_fleet_envelope_put(ours()->store, digest, release->envelope.data, &err);
    }
    return end(rv, &err);
}

/* ---- rollouts ---- */

static void write_phases(struct sim_rollout *rollout, struct flo_buf *out)
{
    flo_buf_text(out, ",\"phases\":[");
    if (rollout->first > 0) {
        flo_buf_printf(out, "{\"devices\":%u},", rollout->first);
    }
    if (rollout->first > 0 && sim_chance(&chance, 500)) {
        flo_buf_text(out, "{\"share_pct\":50,\"soak_ms\":5000},");
    }
    flo_buf_text(out, "{\"share_pct\":100}]");
}

static void write_spec(struct sim_rollout *rollout, bool is_last, struct flo_buf *out)
{
    static const char *const on_fail[] = {"halt", "rollback", "pause"};
    const struct sim_release *release = &sim->releases[rollout->release];

    flo_buf_printf(out, "{\"release\":\"%s@%s\",\"group\":\"%s\",", release->ref.model,
                   release->ref.version, rollout->group);
    flo_buf_printf(out,
                   "\"on_fail\":\"%s\",\"gates\":{\"failed\":{\"max_pct\":%u,"
                   "\"silence_ms_max\":600000}},\"starts_per_s\":%u,",
                   on_fail[sim_below(&chance, 3)], is_last ? 100 : 0,
                   sim_chance(&chance, 200) ? 1 : 1000);
    flo_buf_printf(out,
                   "\"policy\":{\"soak_ms\":%llu,\"tries\":%u,"
                   "\"start_jitter_ms\":%u,\"step_timeout_ms\":120000}",
                   (unsigned long long)sim_between(&chance, 1000, 10000),
                   (unsigned)sim_between(&chance, 1, 4), sim_chance(&chance, 200) ? 20000u : 0);
    write_phases(rollout, out);
    flo_buf_text(out, "}");
}

static struct sim_rollout *begin_rollout(int release, const char *group, bool is_last)
{
    struct sim_rollout *rollout = &sim_people.rollouts[sim_people.rollout_count];
    struct flo_buf spec = {0};
    struct flo_rollout_entry *entry = NULL;
    struct flo_err err = {0};
    json_t *json = NULL;

    if (sim_people.rollout_count == SIM_ROLLOUTS_MAX) {
        return NULL;
    }
    *rollout = (struct sim_rollout){.release = release, .group = group, .is_last = is_last};
    rollout->first = is_last ? 0 : (unsigned)sim_below(&chance, 4);
    write_spec(rollout, is_last, &spec);
    if (flo_json_parse(spec.data, spec.bytes, 65536, &json, &err) < 0) {
        abort();
    }
    bool is_done = begin(&err);
    if (is_done) {
        int rv = flo_rollouts_create(ours(), json, &(struct flo_actor){"ops", "user:ops"}, false,
                                     &entry, &err);
        if (rv == 0) {
            snprintf(rollout->id, sizeof(rollout->id), "%s", entry->core.id);
        }
        is_done = end(rv, &err);
    }
    sim_trace("ops", "rollout of %s (%s): %s%s", spec.data,
              sim_kind_word(sim->releases[release].kind), is_done ? rollout->id : "no, ",
              is_done ? "" : err.what);
    json_decref(json);
    flo_buf_deinit(&spec);
    return is_done ? &sim_people.rollouts[sim_people.rollout_count++] : NULL;
}

static int newest(uint32_t model)
{
    for (int i = sim->release_count; i-- > 0;) {
        if (sim->releases[i].model == model && sim->releases[i].is_published) {
            return i;
        }
    }
    return -1;
}

static enum sim_kind some_kind(void)
{
    return sim_chance(&chance, 500) ? SIM_GOOD : (enum sim_kind)sim_below(&chance, SIM_KINDS);
}

static void new_release(enum sim_kind kind, uint32_t model, bool is_last)
{
    unsigned share = sim_chance(&chance, 600) ? 1000 : 300;
    if (!is_last && sim->release_count >= SIM_RELEASES_MAX - SIM_MODELS_MAX) {
        return; /* the others are for the end */
    }
    int release = sim_release_make(model, kind, share, sim_chance(&chance, 100));
    const char *group = !is_last && sim_chance(&chance, 150) ? "lab" : "all";

    if (release < 0 || !publish(release)) {
        return;
    }
    sim->releases[release].is_published = true;
    struct sim_rollout *rollout = begin_rollout(release, group, is_last);
    if (is_last && rollout != NULL) {
        sim_people.last[model] = rollout;
    }
}

static void old_release(uint32_t model)
{
    int release = (int)sim_below(&chance, (uint64_t)sim->release_count);

    if (sim->releases[release].model == model && sim->releases[release].is_published) {
        (void)begin_rollout(release, "all", false);
    }
}

static void act(const char *rollout, enum flo_rollout_event_kind kind)
{
    struct flo_rollout_entry *entry;
    struct flo_err err = {0};

    if (!begin(&err)) {
        return;
    }
    int rv = flo_rollouts_find(ours(), rollout, &entry, &err);
    if (rv == 0 && (kind == FLO_ROLLOUT_EVENT_RESUME || kind == FLO_ROLLOUT_EVENT_PROMOTE)) {
        rv = flo_rollouts_may_go_on(ours(), &err);
    }
    if (rv == 0) {
        rv = flo_rollouts_step(ours(), entry,
                               (struct flo_rollout_event){.kind = kind, .note = "ops"}, &err);
    }
    bool is_done = end(rv, &err);
    sim_trace("ops", "%s %s%s%s", flo_rollout_event_word(kind), rollout, is_done ? "" : ": no, ",
              is_done ? "" : err.what);
}

static void act_on_some(void)
{
    static const enum flo_rollout_event_kind kinds[] = {
        FLO_ROLLOUT_EVENT_PAUSE,   FLO_ROLLOUT_EVENT_RESUME, FLO_ROLLOUT_EVENT_RESUME,
        FLO_ROLLOUT_EVENT_PROMOTE, FLO_ROLLOUT_EVENT_ABORT,  FLO_ROLLOUT_EVENT_ROLLBACK};
    enum flo_rollout_event_kind kind = kinds[sim_below(&chance, FLO_COUNT(kinds))];

    if (sim_people.rollout_count == 0) {
        return;
    }
    size_t back = sim_below(&chance, 3);
    size_t count = sim_people.rollout_count;
    struct sim_rollout *rollout = &sim_people.rollouts[count - 1 - (back < count ? back : 0)];
    rollout->is_promoted = rollout->is_promoted || kind == FLO_ROLLOUT_EVENT_PROMOTE;
    act(rollout->id, kind);
}

/* ---- emergencies ---- */

static int take_number(void *context, const struct flo_fleet_order *order)
{
    *(uint64_t *)context = order->seq;
    return 0;
}

static void note_emergency(const char *id, int release, const char *group, bool is_yanked)
{
    struct sim_emergency *emergency = &sim_people.emergencies[sim_people.emergency_count];
    struct flo_err err = {0};

    if (sim_people.emergency_count == SIM_EMERGENCIES_MAX || ours() == NULL) {
        return;
    }
    *emergency = (struct sim_emergency){
        .at_ms = sim->now_ms, .release = release, .group = group, .is_yanked = is_yanked};
    if (flo_fleet_order_get(ours()->store, id, take_number, &emergency->number, &err) == 0) {
        sim_people.emergency_count++;
        sim_check_emergency_later(sim_people.emergency_count - 1);
    }
}

static void recall(void)
{
    uint32_t model = (uint32_t)sim_below(&chance, sim->model_count);
    int release = newest(model);
    bool is_on_one = sim_chance(&chance, 200);
    struct sim_device *device = &sim->devices[sim_below(&chance, sim->device_count)];
    char title[2 * FLO_NAME_MAX + 2];
    char id[FLO_NAME_MAX + 1];
    struct flo_err err = {0};

    if (release < 0 || !begin(&err)) {
        return;
    }
    struct flo_recall what = {.release = title,
                              .group = is_on_one                  ? NULL
                                       : sim_chance(&chance, 200) ? "lab"
                                                                  : "all",
                              .device = is_on_one ? device->id : NULL,
                              .is_yanked = !is_on_one && sim_chance(&chance, 700),
                              .is_decided = sim_chance(&chance, 500),
                              .by = "ops",
                              .reason = "drill"};
    snprintf(title, sizeof(title), "%s@%s", sim->releases[release].ref.model,
             sim->releases[release].ref.version);
    bool is_done = end(flo_orders_recall(ours(), &what, id, &err), &err);
    sim_trace("ops", "take back %s on %s%s: %s", title, is_on_one ? sim_name(device) : what.group,
              what.is_yanked ? ", yank" : "", is_done ? id : err.what);
    if (is_done && !is_on_one) {
        note_emergency(id, release, what.group, what.is_yanked);
    }
}

static void freeze(enum flo_order_op op)
{
    char id[FLO_NAME_MAX + 1];
    struct flo_err err = {0};

    if (!begin(&err)) {
        return;
    }
    bool is_done = end(flo_orders_fleet(ours(), op, "ops", 0, id, &err), &err);
    sim_trace("ops", "%s: %s", flo_order_op_word(op), is_done ? id : err.what);
    if (is_done && op == FLO_ORDER_FREEZE) {
        note_emergency(id, -1, "all", true);
    }
}

static void remove_model(void)
{
    struct flo_remove what = {
        .model = sim_models[sim_below(&chance, sim->model_count)], .by = "ops", .reason = "tidy"};
    char id[FLO_NAME_MAX + 1];
    struct flo_err err = {0};

    if (sim_chance(&chance, 500)) {
        what.device = sim->devices[sim_below(&chance, sim->device_count)].id;
    } else {
        what.group = "lab";
    }
    if (!begin(&err)) {
        return;
    }
    bool is_done = end(flo_orders_remove(ours(), &what, id, &err), &err);
    sim_trace("ops", "remove %s on %s: %s", what.model,
              what.group != NULL ? what.group : what.device, is_done ? id : err.what);
}

/* ---- keys that no controller has ---- */

static void emergency(void)
{
    int release = newest((uint32_t)sim_below(&chance, sim->model_count));
    uint64_t what = sim_below(&chance, 3);

    if (what == 0) {
        sim_emergency_order(FLO_ORDER_FREEZE, -1);
    } else if (what == 1) {
        sim_emergency_order(FLO_ORDER_UNFREEZE, -1);
    } else if (release >= 0) {
        sim_emergency_order(FLO_ORDER_ROLLBACK, release);
    }
}

/* ---- groups ---- */

static void on_move(const struct sim_call *call)
{
    struct sim_device *device = &sim->devices[sim_below(&moves, sim->device_count)];
    struct flo_err err = {0};
    bool is_news = false;

    if (sim->is_calm) {
        return;
    }
    sim->is_controllers = true;
    if (begin(&err)) {
        bool joins = !sim_people_have_in_lab(device);
        int rv = flo_groups_member(ours(), "lab", device->id, joins, &is_news, &err);
        device->was_in_lab = device->was_in_lab || joins;
        device->moved_ms = sim->now_ms;
        bool is_done = end(rv, &err);
        sim_trace("ops", "%s %s the lab%s%s", sim_name(device), joins ? "joins" : "leaves",
                  is_done ? "" : ": no, ", is_done ? "" : err.what);
    }
    sim_later(sim_between(&moves, 10000, 200000) * (sim->days > 0 ? 100 : 1),
              (struct sim_call){.fn = call->fn});
}

/* ---- the plan ---- */

static void on_base(const struct sim_call *call)
{
    (void)call;
    sim->is_controllers = true;
    for (uint32_t i = 0; i < sim->model_count; i++) {
        new_release(SIM_GOOD, i, false);
    }
}

static void on_act(const struct sim_call *call)
{
    uint64_t what = sim_below(&chance, 100);
    uint32_t model = (uint32_t)sim_below(&chance, sim->model_count);

    if (sim->is_calm) {
        return;
    }
    sim->is_controllers = true;
    if (what < 45) {
        new_release(some_kind(), model, false);
    } else if (what < 52) {
        old_release(model);
    } else if (what < 75) {
        act_on_some();
    } else if (what < 87) {
        recall();
    } else if (what < 92) {
        freeze(FLO_ORDER_FREEZE);
    } else if (what < 97) {
        freeze(FLO_ORDER_UNFREEZE);
    } else {
        remove_model();
    }
    if (sim_chance(&chance, 150)) {
        (void)sim_trust_state(&chance);
    }
    if (sim_chance(&chance, 150)) {
        emergency();
    }
    sim_later(sim_between(&chance, 1000, 90000), (struct sim_call){.fn = call->fn});
}

/* Days of a fleet that people leave alone, but for two updates and an emergency. */
static void on_emergency(const struct sim_call *call)
{
    sim->is_controllers = true;
    if (call->a == 0) {
        freeze(FLO_ORDER_FREEZE);
        sim_later(3600000, (struct sim_call){.fn = call->fn, .a = 1});
    } else {
        freeze(FLO_ORDER_UNFREEZE);
        recall();
    }
}

static void plan_days(void)
{
    sim_later(sim->end_ms / 4, (struct sim_call){.fn = on_base});
    sim_later(sim->end_ms / 2, (struct sim_call){.fn = on_base});
    sim_later(sim->end_ms / 4 * 3, (struct sim_call){.fn = on_emergency});
}

void sim_operator_plan(void)
{
    memset(&sim_people, 0, sizeof(sim_people));
    chance = sim_random_of(sim->seed, "people");
    moves = sim_random_of(sim->seed, "moves");
    sim_later(6000, (struct sim_call){.fn = on_base});
    if (sim->days > 0) {
        plan_days();
    } else {
        sim_later(sim_between(&chance, 20000, 90000), (struct sim_call){.fn = on_act});
    }
    sim_later(sim_between(&moves, 20000, 200000), (struct sim_call){.fn = on_move});
}

/* ---- the end ---- */

static int unfreeze_if(struct flo_err *err)
{
    char id[FLO_NAME_MAX + 1];
    bool is_frozen = false;
    int rv = flo_fleet_is_frozen(ours()->store, &is_frozen, err);

    return rv < 0 || !is_frozen ? rv
                                : flo_orders_fleet(ours(), FLO_ORDER_UNFREEZE, "ops", 0, id, err);
}

void sim_operator_tidy(void)
{
    struct flo_err err = {0};

    sim_emergency_order(FLO_ORDER_UNFREEZE, -1);
    sim->is_controllers = true;
    if (begin(&err)) {
        (void)end(unfreeze_if(&err), &err);
    }
    for (size_t i = 0; i < sim_people.rollout_count; i++) {
        struct flo_rollout_entry *entry;
        if (ours() != NULL &&
            flo_rollouts_find(ours(), sim_people.rollouts[i].id, &entry, &err) == 0 &&
            (entry->core.state == FLO_ROLLOUT_RUNNING || entry->core.state == FLO_ROLLOUT_PAUSED ||
             entry->core.state == FLO_ROLLOUT_HALTED)) {
            act(sim_people.rollouts[i].id, FLO_ROLLOUT_EVENT_ABORT);
        }
    }
    sim->is_controllers = false;
}

void sim_operator_finish(void)
{
    sim->is_controllers = true;
    for (uint32_t i = 0; i < sim->model_count; i++) {
        new_release(SIM_GOOD, i, true);
    }
    sim->is_controllers = false;
}
