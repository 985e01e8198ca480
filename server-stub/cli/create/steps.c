/* Steps: finds published deltas by which a device that is several versions
 * behind can reach the new one (updater/plan/chain.h). */
#include <string.h>

#include "base/host/digest.h"
#include "server-stub/cli/create/create.h"

#define DEPTH_MAX 2 /* largest number of releases between the device's release and the new one */

static bool is_base(const struct flo_create *create, const struct flo_digest *digest)
{
    return flo_create_base_at(create, digest) < create->base_count;
}

static bool is_step(const struct flo_create *create, const struct flo_digest *digest)
{
    for (size_t i = 0; i < create->step_count; i++) {
        if (flo_digest_equal(&create->steps[i].digest, digest)) {
            return true;
        }
    }
    return false;
}

/* Copies, from an earlier release's file, the deltas whose base has no delta to
 * the new release. */
static void take_ways(const struct flo_create *create, const struct flo_release_file *from,
                      struct flo_release_file *out)
{
    *out = *from;
    out->way_count = 0;
    out->chunk_bytes = 0;
    memset(&out->chunk_list, 0, sizeof(out->chunk_list));
    for (uint32_t i = 0; i < from->way_count; i++) {
        const struct flo_way *way = &from->ways[i];
        if (way->codec == FLO_CODEC_TENSOR1 && !flo_digest_is_zero(&way->base) &&
            !is_base(create, &way->base)) {
            out->ways[out->way_count++] = *way;
        }
    }
}

static void add_step(struct flo_create *create, const struct flo_release *release,
                     const struct flo_digest *digest, unsigned depth)
{
    struct flo_release_file *step = &create->steps[create->step_count];

    if (depth == 0 || is_step(create, digest) || create->step_count == FLO_CREATE_STEPS_MAX ||
        create->author.file_count == FLO_RELEASE_FILES_MAX) {
        return;
    }
    for (uint32_t i = 0; i < release->file_count; i++) {
        if (!flo_digest_equal(&release->files[i].digest, digest)) {
            continue;
        }
        take_ways(create, &release->files[i], step);
        if (step->way_count == 0) {
            continue;
        }
        char hex[65];
        flo_hex_encode(digest->bytes, sizeof(digest->bytes), hex);
        snprintf(step->name, sizeof(step->name), "steps/%.12s", hex);
        create->files[create->author.file_count++] =
            (struct flo_author_file){.name = step->name, .role = "step", .published = step};
        create->step_count++;
        for (uint32_t w = 0; w < step->way_count; w++) {
            add_step(create, release, &step->ways[w].base, depth - 1);
        }
        return;
    }
}

void flo_create_add_steps(struct flo_create *create)
{
    for (size_t i = 0; i < create->old_count; i++) {
        const struct flo_release *release = create->old[i];
        for (uint32_t f = 0; f < release->file_count; f++) {
            if (is_base(create, &release->files[f].digest)) {
                add_step(create, release, &release->files[f].digest, DEPTH_MAX);
            }
        }
    }
}

bool flo_create_is_listed(const json_t *list_or_null, const struct flo_digest *digest)
{
    char text[FLO_DIGEST_TEXT];

    flo_digest_text(digest, text);
    for (size_t i = 0; i < json_array_size(list_or_null); i++) {
        const char *item = json_string_value(json_array_get(list_or_null, i));
        if (item != NULL && strcmp(item, text) == 0) {
            return true;
        }
    }
    return false;
}

static void drop_ways(struct flo_release *release, const json_t *collected)
{
    for (uint32_t f = 0; f < release->file_count; f++) {
        struct flo_release_file *file = &release->files[f];
        uint32_t kept = 0;
        for (uint32_t w = 0; w < file->way_count; w++) {
            if (!flo_create_is_listed(collected, &file->ways[w].digest)) {
                file->ways[kept++] = file->ways[w];
            }
        }
        file->way_count = kept;
    }
}

int flo_create_keep_old(struct flo_create *create, const json_t *release, struct flo_err *err)
{
    struct flo_release **old = &create->old[create->old_count];

    if (create->old_count == FLO_COUNT(create->old)) {
        return 0;
    }
    FLO_TRY(flo_parts_read_document(json_object_get(release, "document"), old, err));
    drop_ways(*old, json_object_get(release, "collected"));
    create->old_count++;
    return 0;
}

void flo_create_forget_old(struct flo_create *create)
{
    while (create->old_count > 0) {
        flo_release_free(create->old[--create->old_count]);
    }
}
