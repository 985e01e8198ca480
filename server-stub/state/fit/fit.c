/* Fit: the forecast of one device.  It checks whether the device may take the
 * release, can fetch it, and has memory for it, in the device's own order. */
#include <string.h>

#include <flotilla/errors/target.h>
#include <flotilla/plural.h>

#include "proto/memory/figures.h"

#include "server-stub/state/fit/fit.h"

#define PRESENT_MAX 512
#define MODELS_MAX FLO_MEMORY_MODELS_MAX

struct scene {
    const json_t *reported;
    /* part of the report about the model; NULL: the report lists no such
     * model */
    const json_t *model;
    const struct flo_forecast_order *order;
    flo_forecast_find_fn find;
    void *context;
    struct flo_profile profile;
    struct flo_plan plan;
    struct flo_digest present[PRESENT_MAX];
    size_t present_count;
};

const char *flo_forecast_word(enum flo_forecast_result result)
{
    static const char *const words[] = {"takes", "has", "cannot", "silent"};

    return words[result];
}

/* ---- what the report says ---- */

/* Returns the digest of a release in a model's report; zero if the report has
 * none at this place. */
static struct flo_digest release_of(const json_t *slot)
{
    struct flo_digest digest;

    return flo_json_opt_digest(slot, "release", &digest, NULL) == 0 ? digest
                                                                    : (struct flo_digest){0};
}

static const json_t *find_model(const json_t *reported, const char *name)
{
    size_t i;
    json_t *model;

    json_array_foreach(json_object_get(reported, "models"), i, model)
    {
        if (strcmp(flo_json_text(model, "model", ""), name) == 0) {
            return model;
        }
    }
    return NULL;
}

/* ---- may it? ---- */

static bool denies(const json_t *model, const struct flo_digest *release)
{
    char digest[FLO_DIGEST_TEXT];
    size_t i;
    json_t *item;

    flo_digest_text(release, digest);
    json_array_foreach(json_object_get(model, "denied"), i, item)
    {
        const char *text = json_string_value(item);
        if (text != NULL && strcmp(text, digest) == 0) {
            return true;
        }
    }
    return false;
}

static int check_permission(const struct scene *scene, struct flo_err *err)
{
    const struct flo_forecast_order *order = scene->order;
    const json_t *current = json_object_get(scene->model, "current");
    struct flo_slots slots = {
        .current = release_of(json_object_get(scene->model, "current")),
        .previous = release_of(json_object_get(scene->model, "previous")),
        .candidate = release_of(json_object_get(scene->model, "candidate")),
        .current_number = flo_json_number(current, "number"),
        .floor = flo_json_number(scene->model, "floor"),
        .floor_hard = flo_json_number(scene->model, "floor_hard"),
        .stated = {.below_floor = order->below_floor, .target = order->digest}};

    snprintf(slots.model, sizeof(slots.model), "%s", order->release->model);
    if (!order->lifts && denies(scene->model, &order->digest)) {
        return flo_fail(err, FLO_E_TARGET_DENIED,
                        "the device denies it: it failed there, or was taken "
                        "back");
    }
    return flo_slots_admit(&slots, &order->digest, order->release->number, err);
}

/* ---- which way? ---- */

static void add_present(struct scene *scene, const struct flo_digest *digest)
{
    if (scene->present_count < PRESENT_MAX) {
        scene->present[scene->present_count++] = *digest;
    }
}

/* Adds the files of a release that the device has: those of the variant that it
 * took. */
static void add_release(struct scene *scene, const struct flo_digest *digest)
{
    const struct flo_release *release =
        flo_digest_is_zero(digest) ? NULL : scene->find(scene->context, digest);
    struct flo_plan_input input = {.release = release, .profile = &scene->profile};

    if (release == NULL || flo_plan_make(&input, &scene->plan, NULL) < 0) {
        return;
    }
    const struct flo_release_variant *variant = &release->variants[scene->plan.variant];
    for (uint32_t i = 0; i < variant->file_count; i++) {
        add_present(scene, &release->files[variant->files[i]].digest);
    }
}

static void add_models(struct scene *scene)
{
    static const char *const slots[] = {"current", "previous", "candidate"};
    size_t i;
    json_t *model;

    json_array_foreach(json_object_get(scene->reported, "models"), i, model)
    {
        for (size_t s = 0; s < FLO_COUNT(slots) && i < MODELS_MAX; s++) {
            struct flo_digest digest = release_of(json_object_get(model, slots[s]));
            add_release(scene, &digest);
        }
    }
}

static bool is_present(const struct scene *scene, const struct flo_release_file *file)
{
    for (size_t i = 0; file != NULL && i < scene->present_count; i++) {
        if (flo_digest_equal(&scene->present[i], &file->digest)) {
            return true;
        }
    }
    return false;
}

static const char *way_of(const struct scene *scene, const struct flo_release_variant *variant)
{
    const struct flo_release *release = scene->order->release;
    bool has_delta = false;

    if (scene->plan.fetch_bytes == 0) {
        return "present";
    }
    for (uint32_t i = 0; i < scene->plan.step_count; i++) {
        const struct flo_release_file *file = &release->files[scene->plan.steps[i].file];
        has_delta = has_delta || (!scene->plan.steps[i].is_present &&
                                  !flo_digest_is_zero(&file->ways[scene->plan.steps[i].way].base));
    }
    if (flo_release_variant_file(release, variant, "adapter") != NULL &&
        is_present(scene, flo_release_entry(release, variant))) {
        return "adapter";
    }
    return has_delta ? "delta" : "whole";
}

static int find_way(struct scene *scene, struct flo_forecast *out, struct flo_err *err)
{
    const json_t *profile = json_object_get(scene->reported, "profile");
    struct flo_plan_input input = {.release = scene->order->release, .profile = &scene->profile};
    int rv = flo_profile_parse(profile, &scene->profile, err);

    if (rv < 0) {
        return flo_wrap(err, rv, "the device's profile");
    }
    /* The files that the device already has are found without a limit of disk
     * space. */
    scene->profile.disk_free_bytes = UINT64_MAX;
    add_models(scene);
    if (json_is_integer(json_object_get(profile, "disk_free_bytes"))) {
        scene->profile.disk_free_bytes = flo_json_number(profile, "disk_free_bytes");
    }
    input.present = scene->present;
    input.present_count = scene->present_count;
    FLO_TRY(flo_plan_make(&input, &scene->plan, err));
    const struct flo_release_variant *variant = &input.release->variants[scene->plan.variant];
    memcpy(out->variant, variant->name, sizeof(out->variant));
    if (input.release->variant_count > 1) {
        memcpy(out->chosen, scene->plan.chosen, sizeof(out->chosen));
    }
    out->way = way_of(scene, variant);
    out->bytes = scene->plan.fetch_bytes;
    out->full_bytes = scene->plan.full_bytes;
    return 0;
}

/* ---- has it memory? ---- */

/* Returns how much memory a runtime may take on the device, as the device
 * reports. */
static uint64_t runtime_memory(const json_t *profile, const char *name)
{
    size_t i;
    json_t *runtime;

    json_array_foreach(json_object_get(profile, "runtimes"), i, runtime)
    {
        if (strcmp(flo_json_text(runtime, "name", ""), name) == 0) {
            return flo_json_number(runtime, "memory_bytes");
        }
    }
    return 0;
}

static void candidate_figures(const struct scene *scene, const struct flo_memory_told *own,
                              struct flo_memory_model *out)
{
    const struct flo_release *release = scene->order->release;
    const struct flo_release_variant *variant = &release->variants[scene->plan.variant];
    const struct flo_release_file *entry = flo_release_entry(release, variant);
    uint64_t measured[FLO_MEMORY_RUNGS];

    *out = (struct flo_memory_model){.weight = own != NULL ? own->model.weight
                                                           : FLO_MEMORY_WEIGHT_STANDARD,
                                     .is_pinned = own != NULL && own->model.is_pinned,
                                     .rungs = 1};
    memcpy(out->name, release->model, sizeof(out->name));
    if (!flo_release_is_native(variant) || entry == NULL) {
        out->private_bytes[0] =
            runtime_memory(json_object_get(scene->reported, "profile"), variant->runtime);
        return;
    }
    bool is_measured = own != NULL && flo_memory_told_measured(own, measured);
    flo_memory_figures(release, variant, entry, is_measured ? measured : NULL, out);
}

/* Reads from the report which models the device's memory plan contains.
 * Returns their number, or SIZE_MAX if the device does not report it. */
static size_t read_models(const struct scene *scene, struct flo_memory_told *out)
{
    size_t count = 0;
    size_t i;
    json_t *model;

    json_array_foreach(json_object_get(scene->reported, "models"), i, model)
    {
        const json_t *memory = json_object_get(model, "memory");
        bool has_release = json_is_object(json_object_get(model, "current"));
        if (!json_is_object(memory) && !has_release) {
            continue;
        }
        if (count == MODELS_MAX || !json_is_object(memory) ||
            flo_memory_told_read(memory, flo_json_text(model, "model", ""), &out[count], NULL) <
                0) {
            return SIZE_MAX;
        }
        count++;
    }
    return count;
}

static const char *way_to_memory(const struct flo_memory_model *models, size_t count, size_t own,
                                 uint64_t budget, const struct flo_memory_model *candidate)
{
    struct flo_memory_plan plan;
    uint64_t needed;

    return flo_memory_plan(models, count, budget, &plan, NULL) < 0
               ? flo_memory_way_word(FLO_MEMORY_STOP_FIRST)
               : flo_memory_way_word(
                     flo_memory_candidate(models, count, &plan, own, candidate, false, &needed));
}

/* Plans the memory of all models on the device, with the new release in place
 * of its model's present one. */
static int find_memory(const struct scene *scene, struct flo_forecast *out, struct flo_err *err)
{
    struct flo_memory_told told[MODELS_MAX];
    struct flo_memory_model models[MODELS_MAX], candidate, before = {0};
    struct flo_memory_plan plan;
    const json_t *memory = json_object_get(scene->reported, "memory");
    uint64_t budget = flo_json_number(memory, "budget");
    size_t count = read_models(scene, told);
    size_t own = SIZE_MAX;

    out->memory = "unknown";
    if (count == SIZE_MAX || budget == 0) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        models[i] = told[i].model;
        own = strcmp(models[i].name, scene->order->release->model) == 0 ? i : own;
    }
    candidate_figures(scene, own == SIZE_MAX ? NULL : &told[own], &candidate);
    bool is_new = own == SIZE_MAX;
    if (is_new && count == MODELS_MAX) {
        return flo_fail(err, FLO_E_TARGET_LIMIT, "the device has %zu model%s", count, flo_s(count));
    }
    own = is_new ? count++ : own;
    out->memory = "alone"; /* with one model only, the device always tries to load it */
    if (count == 1) {
        return 0;
    }
    before = models[own];
    models[own] = candidate;
    FLO_TRY(flo_memory_plan(models, count, budget, &plan, err));
    if (is_new || !plan.models[own].is_resident) {
        out->memory =
            plan.models[own].is_resident ? flo_memory_way_word(FLO_MEMORY_WARM) : "on-demand";
        return 0;
    }
    models[own] = before;
    out->memory = way_to_memory(models, count, own, budget, &candidate);
    return 0;
}

/* ---- all of it ---- */

static void decide(struct scene *scene, struct flo_forecast *out)
{
    struct flo_digest current = release_of(json_object_get(scene->model, "current"));

    snprintf(out->before, sizeof(out->before), "%.64s",
             flo_json_text(json_object_get(scene->model, "current"), "version", ""));
    if (flo_digest_equal(&current, &scene->order->digest)) {
        out->result = FLO_FORECAST_HAS;
        out->way = "present";
        return;
    }
    out->result = check_permission(scene, &out->why) < 0 || find_way(scene, out, &out->why) < 0 ||
                          find_memory(scene, out, &out->why) < 0
                      ? FLO_FORECAST_CANNOT
                      : FLO_FORECAST_TAKES;
}

void flo_forecast_device(const json_t *reported, const struct flo_forecast_order *order,
                         flo_forecast_find_fn find, void *context, struct flo_forecast *out)
{
    struct scene scene = {.reported = reported,
                          .model = find_model(reported, order->release->model),
                          .order = order,
                          .find = find,
                          .context = context};

    *out = (struct flo_forecast){.result = FLO_FORECAST_SILENT,
                                 .way = "",
                                 .memory = "",
                                 .is_frozen =
                                     json_is_true(json_object_get(reported, "frozen")) ||
                                     json_is_true(json_object_get(reported, "frozen_emergency"))};
    if (json_is_object(json_object_get(reported, "profile"))) {
        decide(&scene, out);
    }
}
