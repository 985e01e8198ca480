/* Releases: signed documents, how each behaves, and their mirror. */
#include <stdlib.h>
#include <string.h>

#include "base/host/digest.h"
#include "tests/sim/sim.h"

const char *sim_models[SIM_MODELS_MAX] = {"tiny", "alarm"};
const char *const sim_groups[SIM_GROUPS] = {"all", "lab"};

const char *sim_kind_word(enum sim_kind kind)
{
    static const char *const words[SIM_KINDS] = {
#define SIM_KIND(name, word, meaning) [SIM_##name] = word,
#include "tests/sim/kinds.def"
#undef SIM_KIND
    };
    return words[kind];
}

int sim_release_find(const struct flo_digest *digest)
{
    for (int i = 0; i < sim->release_count; i++) {
        if (flo_digest_equal(digest, &sim->releases[i].ref.digest)) {
            return i;
        }
    }
    return -1;
}

static void write_body(struct sim_release *release)
{
    struct flo_release *document = calloc(1, sizeof(*document));
    struct flo_err err = {0};

    if (document == NULL) {
        abort();
    }
    snprintf(document->fleet, sizeof(document->fleet), "%s", SIM_FLEET);
    memcpy(document->model, release->ref.model, sizeof(document->model));
    memcpy(document->version, release->ref.version, sizeof(document->version));
    document->number = release->number;
    document->floor = release->floor;
    document->file_count = 1;
    struct flo_release_file *file = &document->files[0];
    snprintf(file->name, sizeof(file->name), "model.gguf");
    snprintf(file->role, sizeof(file->role), "model");
    flo_sha256(release->ref.version, strlen(release->ref.version), &file->digest);
    file->bytes = 1000000;
    file->way_count = 1;
    file->ways[0] =
        (struct flo_way){.codec = FLO_CODEC_RAW, .digest = file->digest, .bytes = file->bytes};
    document->variant_count = 1;
    struct flo_release_variant *variant = &document->variants[0];
    snprintf(variant->name, sizeof(variant->name), "only");
    snprintf(variant->runtime, sizeof(variant->runtime), FLO_RUNTIME_NATIVE);
    variant->file_count = 1;
    flo_release_serve_init(&document->serve);
    if (flo_release_write(document, &release->body, &err) < 0) {
        fprintf(stderr, "release: %s\n", err.what);
        abort();
    }
    flo_release_deinit(document);
    free(document);
}

int sim_release_make(uint32_t model, enum sim_kind kind, unsigned share, uint64_t floor)
{
    struct sim_release *release = &sim->releases[sim->release_count];
    struct flo_err err = {0};

    if (sim->release_count == SIM_RELEASES_MAX) {
        return -1;
    }
    *release = (struct sim_release){.model = model, .kind = kind, .share = share};
    release->number = 10 + (uint64_t)sim->release_count;
    release->floor = floor == 0 ? 0 : release->number - 1;
    snprintf(release->ref.model, sizeof(release->ref.model), "%s", sim_models[model]);
    snprintf(release->ref.version, sizeof(release->ref.version), "%llu.0.0",
             (unsigned long long)release->number);
    write_body(release);
    flo_sha256(release->body.data, release->body.bytes, &release->ref.digest);
    if (flo_release_sign(release->body.data, release->body.bytes, sim->publisher,
                         &release->envelope, &err) < 0) {
        abort();
    }
    return sim->release_count++;
}

#define STEP_APPLYING 2

static void on_fetched(const struct sim_call *call)
{
    sim_job_next(call->device, (uint32_t)(call->a >> 32), (uint32_t)call->a, STEP_APPLYING);
}

void sim_mirror_fetch(struct sim_device *device, uint32_t model, uint32_t job)
{
    if (sim->mirror.is_down) {
        sim_job_failed(device, model, job, FLO_E_NET_UNREACHABLE);
        return;
    }
    sim_later(
        sim_between(&device->random, 100, sim->mirror.is_slow ? 60000 : 2000),
        (struct sim_call){.fn = on_fetched, .device = device, .a = (uint64_t)model << 32 | job});
}

void sim_releases_clear(void)
{
    for (int i = 0; i < sim->release_count; i++) {
        flo_buf_deinit(&sim->releases[i].body);
        flo_buf_deinit(&sim->releases[i].envelope);
    }
    sim->release_count = 0;
}

/* The same device meets the same behaviour each time. */
enum sim_kind sim_behaviour(const struct sim_device *device, int release)
{
    const struct sim_release *it = &sim->releases[release];
    struct sim_random random = {sim->seed ^ ((uint64_t)device->index << 32) ^
                                (uint64_t)release << 8};

    if (it->share >= 1000) {
        return it->kind;
    }
    (void)sim_next(&random);
    return sim_chance(&random, it->share) ? it->kind : SIM_GOOD;
}
