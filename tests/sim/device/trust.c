/* Trusted keys of a device while they change, as agent/shell/trust has them. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/target.h>

#include "base/host/digest.h"
#include "tests/sim/device/inside.h"

#define DOUBT_MS 60000

/* ---- read once ---- */

/* The same envelope gives the same statement for all devices. */
#define CACHE_MAX 64
static struct {
    struct flo_digest text;
    struct flo_trust *trust;
} cache[CACHE_MAX];
static size_t cached;

void sim_trust_forget(void)
{
    for (size_t i = 0; i < cached; i++) {
        flo_trust_free(cache[i].trust);
    }
    cached = 0;
}

static struct flo_trust *read_statement(const char *text, size_t bytes, struct flo_err *err)
{
    struct flo_digest digest;
    size_t at = 0;

    flo_sha256(text, bytes, &digest);
    while (at < cached && !flo_digest_equal(&cache[at].text, &digest)) {
        at++;
    }
    if (at < cached) {
        return cache[at].trust;
    }
    if (cached == CACHE_MAX || flo_trust_parse(text, bytes, &cache[at].trust, err) < 0) {
        return NULL;
    }
    cache[cached++].text = digest;
    return cache[at].trust;
}

/* ---- what holds ---- */

const struct flo_trust *sim_trust_of(const struct sim_device *device)
{
    return device->disk.trust != NULL ? device->disk.trust : sim->controller.trust;
}

void sim_trust_hold(struct sim_device *device)
{
    struct flo_trust_facts facts;

    flo_trust_facts(sim_trust_of(device), device->id, &facts);
    enum flo_trust_hold hold = flo_device_trust(&device->record, &facts);
    device->record_is_dirty = device->record_is_dirty || hold == FLO_TRUST_TAKEN;
    device->trust_is_behind = hold == FLO_TRUST_BEHIND;
}

void sim_trust_refusal(const struct sim_device *device, const struct flo_slots *slots,
                       const struct flo_digest *release, uint64_t number,
                       struct flo_agent_error *out)
{
    struct flo_err err = {0};

    memset(out, 0, sizeof(*out));
    if (flo_trust_is_release_revoked(sim_trust_of(device), release)) {
        out->code = FLO_E_TARGET_REVOKED;
        snprintf(out->what, sizeof(out->what), "a trust statement revoked it");
    } else if (flo_slots_permit(slots, release, number, &err) < 0) {
        out->code = err.code;
        snprintf(out->what, sizeof(out->what), "%.255s", err.what);
    }
}

/* ---- what a statement changes ---- */

static void look_at_candidate(const struct sim_device *device, uint32_t index,
                              struct flo_agent_error *out)
{
    const struct sim_model *model = &device->models[index];
    const struct flo_digest *release = &device->agent.models[index].execution.release.digest;
    uint64_t number = flo_digest_equal(release, &model->slots.candidate)
                          ? model->slots.candidate_number
                      : flo_digest_equal(release, &model->assigned.release) ? model->assigned.number
                                                                            : 0;

    if (flo_trust_is_release_revoked(sim_trust_of(device), release)) {
        sim_trust_refusal(device, &model->slots, release, 0, out);
    } else if (number > 0 && number < flo_trust_floor(sim_trust_of(device), model->slots.model)) {
        out->code = FLO_E_TARGET_FLOOR;
    }
}

static void act_on_model(struct sim_device *device, uint32_t index)
{
    struct sim_model *model = &device->models[index];
    const struct flo_agent_model *agent = &device->agent.models[index];
    struct flo_agent_event event = {.kind = FLO_AGENT_TRUST, .model = index};
    uint64_t floor = model->slots.floor_hard;

    if (model->slots.model[0] == '\0') {
        return;
    }
    if (agent->has_execution) {
        look_at_candidate(device, index, &event.error);
    }
    event.is_forgotten =
        flo_slots_is_forgotten(&model->slots, sim_trust_of(device)) && !agent->going_back.is_active;
    flo_slots_raise_floor(&model->slots, sim_trust_of(device));
    if (event.is_forgotten) {
        flo_slots_forget(&model->slots, sim_trust_of(device));
    }
    model->is_dirty = model->is_dirty || event.is_forgotten || model->slots.floor_hard != floor;
    sim_device_post(device, 0, &event);
}

void sim_trust_look(struct sim_device *device, uint32_t index)
{
    struct sim_model *model = &device->models[index];
    const struct flo_agent_event event = {
        .kind = FLO_AGENT_TRUST, .model = index, .is_forgotten = true};

    if (model->slots.model[0] == '\0' || device->trust_is_behind ||
        device->agent.models[index].going_back.is_active ||
        !flo_slots_is_forgotten(&model->slots, sim_trust_of(device))) {
        return;
    }
    flo_slots_forget(&model->slots, sim_trust_of(device));
    model->is_dirty = true;
    sim_device_post(device, 0, &event);
}

static void act(struct sim_device *device)
{
    static const struct flo_order unfreeze = {.op = FLO_ORDER_UNFREEZE};
    const struct flo_agent_event event = {.kind = FLO_AGENT_ORDER, .order = &unfreeze};
    struct flo_buf text = {0};

    for (uint32_t i = 0; i < sim->model_count; i++) {
        act_on_model(device, i);
    }
    if (device->agent.is_frozen && !device->record.is_frozen &&
        !device->record.is_frozen_emergency) {
        sim_device_post(device, 0, &event);
    }
    device->has_unkept = true;
    sim_records_write(device);
    flo_buf_printf(&text, "{\"type\":\"trust\",\"number\":%llu,\"epoch\":%u",
                   (unsigned long long)flo_trust_number(sim_trust_of(device)),
                   flo_trust_epoch(sim_trust_of(device)));
    sim_outbox_add(device, &text, NULL);
    device->agent.revision++;
    sim_trace(sim_name(device), "trusts statement %llu, epoch %u",
              (unsigned long long)flo_trust_number(sim_trust_of(device)),
              flo_trust_epoch(sim_trust_of(device)));
}

/* ---- taking ---- */

static int take(struct sim_device *device, bool is_fetched, const char *text, size_t bytes,
                enum flo_trust_standing *standing, struct flo_err *err)
{
    struct flo_trust *next = read_statement(text, bytes, err);
    int rv = next == NULL ? err->code : 0;

    if (rv == 0 && !is_fetched && !flo_trust_is_signed(sim_trust_of(device))) {
        *standing = FLO_TRUST_GAP; /* the first one comes by HTTPS alone */
        return 0;
    }
    rv = rv < 0 ? rv : flo_trust_follows(sim_trust_of(device), next, standing, err);

    if (rv < 0 || *standing != FLO_TRUST_NEXT) {
        return rv;
    }
    if (device->disk_is_full) {
        return flo_fail(err, FLO_E_DISK_FULL, "trust.json: no room");
    }
    device->disk.trust = next; /* the file first */
    sim_trust_hold(device);
    sim_check_trust(device);
    return 0;
}

/* true: some between them are missing. */
static bool take_all(struct sim_device *device, bool is_fetched, const char *text)
{
    static const char begin[] = "{\"payload\":";
    enum flo_trust_standing standing = FLO_TRUST_SAME;
    uint64_t before = flo_trust_number(sim_trust_of(device));
    struct flo_err err = {0};
    const char *at = text;
    int rv = 0;

    while (rv == 0 && (at = strstr(at, begin)) != NULL) {
        const char *end = sim_object_end(at);
        rv = take(device, is_fetched, at, (size_t)(end - at), &standing, &err);
        at = end;
    }
    if (flo_trust_number(sim_trust_of(device)) != before) {
        act(device);
    }
    if (rv < 0) {
        device->has_unkept = device->has_unkept || rv == FLO_E_DISK_FULL;
        sim_report_event(device, rv == FLO_E_DISK_FULL ? "note" : "security", &err);
    }
    return rv == 0 && standing == FLO_TRUST_GAP;
}

static void ask_again(struct sim_device *device)
{
    if (device->has_unkept && device->client.believes) {
        device->has_unkept = false;
        sim_client_subscribe(&device->client);
    }
}

void sim_trust_hear(struct sim_device *device, const char *text)
{
    uint64_t before = flo_trust_number(sim_trust_of(device));

    if (take_all(device, false, text)) {
        sim_trust_fetch(device);
    }
    if (flo_trust_number(sim_trust_of(device)) != before) {
        ask_again(device);
    }
}

void sim_trust_fetched(struct sim_device *device, const char *text)
{
    uint64_t before = flo_trust_number(sim_trust_of(device));

    (void)take_all(device, true, text);
    if (flo_trust_number(sim_trust_of(device)) > before) {
        ask_again(device);
        sim_device_end_turn(device);
    }
}

void sim_trust_doubt(struct sim_device *device)
{
    if (!flo_trust_is_signed(sim_trust_of(device))) {
        return;
    }
    device->has_unkept = true;
    if (sim->now_ms >= device->doubt_ms) {
        device->doubt_ms = sim->now_ms + DOUBT_MS;
        sim_trust_fetch(device);
    }
}
