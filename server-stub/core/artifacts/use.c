/* Use: finds the deltas whose base some device can have. */
#include "server-stub/core/artifacts/use.h"

void flo_use_hold(struct flo_use *use, const struct flo_release *release)
{
    for (uint32_t i = 0; i < release->file_count; i++) {
        if (!flo_release_is_step(&release->files[i])) {
            flo_digest_list_add(&use->held, &release->files[i].digest);
        }
    }
}

/* Delta steps of one release that a device can apply to a file it has.  A step
 * may build on the result of another one. */
struct made {
    const struct flo_use *use;
    enum flo_use_deltas deltas;
    struct flo_digest steps[FLO_RELEASE_FILES_MAX];
    size_t count;
};

static bool is_used(const struct made *made, const struct flo_way *way)
{
    return flo_digest_is_zero(&way->base) || made->deltas == FLO_USE_ALL ||
           (made->deltas == FLO_USE_HELD &&
            (flo_digest_list_has(&made->use->held, &way->base) ||
             flo_digest_is_among(&way->base, made->steps, made->count)));
}

static bool add_step(struct made *made, const struct flo_release_file *file)
{
    if (!flo_release_is_step(file) ||
        flo_digest_is_among(&file->digest, made->steps, made->count)) {
        return false;
    }
    for (uint32_t w = 0; w < file->way_count; w++) {
        if (is_used(made, &file->ways[w])) {
            made->steps[made->count++] = file->digest;
            return true;
        }
    }
    return false;
}

static void find_steps(struct made *made, const struct flo_release *release)
{
    bool is_more = true;

    while (is_more) {
        is_more = false;
        for (uint32_t i = 0; i < release->file_count; i++) {
            is_more = add_step(made, &release->files[i]) || is_more;
        }
    }
}

void flo_use_judge(struct flo_use *use, const struct flo_release *release,
                   enum flo_use_deltas deltas)
{
    struct made made = {.use = use, .deltas = deltas};

    if (!use->is_sorted) {
        flo_digest_list_sort(&use->held);
        use->is_sorted = true;
    }
    find_steps(&made, release);
    for (uint32_t i = 0; i < release->file_count; i++) {
        const struct flo_release_file *file = &release->files[i];
        flo_digest_list_add(&use->named, &file->digest);
        flo_digest_list_add(&use->named, &file->chunk_list);
        flo_digest_list_add(&use->needed, &file->digest);
        flo_digest_list_add(&use->needed, &file->chunk_list);
        for (uint32_t w = 0; w < file->way_count; w++) {
            const struct flo_way *way = &file->ways[w];
            flo_digest_list_add(&use->named, &way->digest);
            if (is_used(&made, way)) {
                flo_digest_list_add(&use->needed, &way->digest);
            }
        }
    }
}

int flo_use_sort(struct flo_use *use, struct flo_err *err)
{
    flo_digest_list_sort(&use->named);
    flo_digest_list_sort(&use->needed);
    return use->held.failed || use->named.failed || use->needed.failed
               ? flo_fail(err, FLO_E_MEMORY, "no memory for %zu artifacts", use->named.count)
               : 0;
}

bool flo_use_names(const struct flo_use *use, const struct flo_digest *digest)
{
    return flo_digest_list_has(&use->named, digest);
}

bool flo_use_needs(const struct flo_use *use, const struct flo_digest *digest)
{
    return flo_digest_list_has(&use->needed, digest);
}

void flo_use_deinit(struct flo_use *use)
{
    flo_digest_list_deinit(&use->held);
    flo_digest_list_deinit(&use->named);
    flo_digest_list_deinit(&use->needed);
    *use = (struct flo_use){0};
}
