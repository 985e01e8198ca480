/* Download plan: which files of a release a device fetches, and how.
 *
 * The first variant that fits is chosen; publishers list the best one first.  A
 * download of a file is possible when its codec is supported, the file that a
 * delta starts from is on disk, its memory fits, and its bytes are available.
 * It must not have failed in this job.  For each file the smallest possible
 * download wins.  A file on disk with some damaged chunks is repaired.  If the
 * disk has no room for that, the file itself is fetched, which needs no second
 * copy.  The plan is pure. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/memory.h>
#include <flotilla/errors/target.h>
#include <flotilla/plural.h>
#include <flotilla/release.h>
#include <flotilla/updater.h>

#include "updater/plan/chain.h"
#include "updater/plan/variants.h"

/* Bytes that packed weights may need beyond 17/16 of the model's size. */
#define PACKED_BYTES_MORE (1u << 20)

/* A plan that is being made. */
struct making {
    const struct flo_plan_input *input;
    bool spares_disk; /* true: the plan saves disk space rather than downloads */
    /* size of the largest download that must be on disk together with the file
     * made from it */
    uint64_t largest_aside;
    uint64_t largest_file;
    struct flo_plan plan;
};

enum { ENGINES_SHOWN = 8 }; /* most architectures that a message lists */

/* Lists the architectures that the device runs, separated by blanks.  Returns
 * false if there are too many for a message: it tells their number then. */
static bool list_engines(const struct flo_profile *profile, char *out, size_t out_bytes)
{
    size_t count = 0, used = 0;

    while (count < FLO_COUNT(profile->engine) && profile->engine[count][0] != '\0') {
        count++;
    }
    if (count > ENGINES_SHOWN) {
        snprintf(out, out_bytes, "of %zu architectures", count);
        return false;
    }
    snprintf(out, out_bytes, "llama"); /* a profile that names none */
    for (size_t i = 0; i < count; i++) {
        used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", i > 0 ? " " : "",
                                 profile->engine[i]);
    }
    return true;
}

/* Tells whether some variant needs more than arch and engine, so that the
 * message must name it. */
static bool needs_more(const struct flo_release *release)
{
    for (uint32_t i = 0; i < release->variant_count; i++) {
        const struct flo_release_variant *variant = &release->variants[i];
        if (!flo_release_is_native(variant) || variant->rate_mtps > 0 ||
            variant->accelerator[0][0] != '\0') {
            return true;
        }
    }
    return false;
}

static bool is_asked_for(const struct flo_plan_input *input, uint32_t variant)
{
    return input->variant == NULL ||
           strcmp(input->variant, input->release->variants[variant].name) == 0;
}

/* Fails because no variant fits.  The message names the variant with the least
 * memory, or else the least disk. */
static int refuse(const struct flo_plan_input *input, const char *why, struct flo_err *err)
{
    const struct flo_release *release = input->release;
    const struct flo_release_variant *least = NULL;
    enum flo_variant_verdict verdict = FLO_VARIANT_NEEDS_OTHER;
    char title[2 * FLO_NAME_MAX + 2];
    char engines[sizeof(input->profile->engine)];

    for (uint32_t i = 0; i < release->variant_count; i++) {
        const struct flo_release_variant *variant = &release->variants[i];
        enum flo_variant_verdict found = is_asked_for(input, i)
                                             ? flo_variant_judge(release, i, input->profile)
                                             : FLO_VARIANT_NEEDS_OTHER;
        bool is_less = found == FLO_VARIANT_NEEDS_MEMORY && found == verdict &&
                       variant->memory_bytes < least->memory_bytes;
        if (found < verdict || is_less) {
            verdict = found;
            least = variant;
        }
    }
    flo_release_title(release, title);
    bool says_why = !list_engines(input->profile, engines, sizeof(engines)) || needs_more(release);
    if (verdict == FLO_VARIANT_NEEDS_MEMORY) {
        return flo_fail(err, FLO_E_MEMORY_BUDGET,
                        "%s needs %llu bytes of memory (variant %s), the "
                        "device gives %llu",
                        title, (unsigned long long)least->memory_bytes, least->name,
                        (unsigned long long)input->profile->memory_bytes);
    }
    if (verdict == FLO_VARIANT_NEEDS_DISK) {
        return flo_fail(err, FLO_E_DISK_FULL, "%s needs %llu bytes of disk (variant %s), %llu free",
                        title, (unsigned long long)least->disk_bytes, least->name,
                        (unsigned long long)input->profile->disk_free_bytes);
    }
    return flo_fail(err, FLO_E_TARGET_INCOMPATIBLE,
                    "%s: none of its %u variant%s fits arch %s, engine %s%s%s", title,
                    release->variant_count, flo_s(release->variant_count), input->profile->arch,
                    engines, says_why ? ": " : "", says_why ? why : "");
}

static bool has_base(const struct flo_plan_input *input, const struct flo_way *way)
{
    return flo_digest_is_zero(&way->base) || flo_plan_is_present(input, &way->base);
}

static bool can_work(const struct flo_plan_input *input, const struct flo_way *way)
{
    return flo_plan_can_decode(input, way) && has_base(input, way);
}

static bool is_itself(const struct flo_release_file *file, const struct flo_way *way)
{
    return flo_digest_equal(&way->digest, &file->digest);
}

/* Tells whether the download is the file itself, which is on disk with some
 * damaged chunks, so that only these are fetched. */
static bool mends(const struct flo_plan_input *input, const struct flo_release_file *file,
                  const struct flo_way *way)
{
    return is_itself(file, way) &&
           flo_plan_holds(input->damaged, input->damaged_count, &file->digest);
}

/* Returns why this download of the file was chosen: because it is the smallest,
 * or why a smaller one is not possible. */
static const char *why_full(const struct flo_plan_input *input, uint32_t file,
                            const struct flo_way *taken)
{
    const struct flo_release_file *facts = &input->release->files[file];
    const char *why = "smallest way";

    if (input->ways_failed[file] != 0) {
        return "another way failed";
    }
    if (mends(input, facts, taken)) {
        return "most of it is here";
    }
    for (uint32_t w = 0; w < facts->way_count; w++) {
        const struct flo_way *way = &facts->ways[w];
        if (way->bytes >= taken->bytes) {
            continue;
        }
        if (can_work(input, way)) {
            why = "no room for a smaller way";
        } else if (!has_base(input, way)) {
            why = "the delta's base is not here";
        } else if (!flo_delta_codec_is_built(way->codec)) {
            why = "a smaller way's codec is not built here";
        } else if (input->offered == NULL) {
            why = "a smaller way needs too much memory";
        } else {
            why = "smallest way on offer";
        }
    }
    return why;
}

/* Returns the bytes that are stored next to the file while it is being made. */
static uint64_t aside(const struct flo_release_file *file, const struct flo_way *way)
{
    return is_itself(file, way) ? 0 : way->bytes;
}

static uint64_t cost(const struct making *making, const struct flo_release_file *file,
                     const struct flo_way *way)
{
    return making->spares_disk || mends(making->input, file, way) ? aside(file, way) : way->bytes;
}

/* Tells whether the way's base is on disk, or a chain makes it.  A plan that
 * saves disk space uses no chains, because their files stay until the update is
 * over. */
static bool is_possible(const struct making *making, const struct flo_way *way,
                        struct flo_chain *chain)
{
    *chain = (struct flo_chain){0};
    return can_work(making->input, way) ||
           (!making->spares_disk && flo_plan_can_decode(making->input, way) &&
            flo_chain_find(making->input, &way->base, chain));
}

/* Returns the index of the cheapest possible download of the file, or -1.
 * Writes the chain of intermediate files that must be made first to `chain`. */
static int choose_way(const struct making *making, uint32_t file, struct flo_chain *chain)
{
    const struct flo_plan_input *input = making->input;
    const struct flo_release_file *facts = &input->release->files[file];
    uint64_t least = UINT64_MAX;
    int best = -1;

    assert(facts->way_count <= FLO_RELEASE_WAYS_MAX);
    for (uint32_t w = 0; w < facts->way_count; w++) {
        const struct flo_way *way = &facts->ways[w];
        struct flo_chain before;
        uint64_t bytes;
        if ((input->ways_failed[file] >> w & 1) == 0 && is_possible(making, way, &before) &&
            flo_add_u64(cost(making, facts, way), before.bytes, &bytes) &&
            (best < 0 || bytes < least)) {
            best = (int)w;
            least = bytes;
            *chain = before;
        }
    }
    return best;
}

/* Adds a file to the peak disk use.  Files are made one after the other, so the
 * peak is all results plus the largest artifact that is stored next to its
 * result. */
static bool add_need(struct making *making, const struct flo_release_file *file,
                     const struct flo_way *way)
{
    struct flo_plan *plan = &making->plan;

    if (aside(file, way) > making->largest_aside) {
        making->largest_aside = aside(file, way);
    }
    return flo_add_u64(plan->disk_bytes, file->bytes, &plan->disk_bytes) &&
           flo_add_u64(plan->full_bytes, file->bytes, &plan->full_bytes) &&
           flo_add_u64(plan->fetch_bytes, way->bytes, &plan->fetch_bytes);
}

/* Inserts a step by ascending size, so that the model comes last.  Returns the
 * step's index. */
static uint32_t insert_step(const struct flo_release *release, struct flo_plan *plan, uint32_t file)
{
    uint32_t at = plan->step_count++;

    assert(file < FLO_RELEASE_FILES_MAX);
    assert(at < FLO_RELEASE_FILES_MAX);
    while (at > 0 && release->files[plan->steps[at - 1].file].bytes > release->files[file].bytes) {
        plan->steps[at] = plan->steps[at - 1];
        at--;
    }
    memset(&plan->steps[at], 0, sizeof(plan->steps[at]));
    plan->steps[at].file = (uint8_t)file;
    return at;
}

static uint32_t place_of(const struct flo_plan *plan, uint32_t file)
{
    uint32_t at = 0;

    while (at < plan->step_count && plan->steps[at].file != file) {
        at++;
    }
    return at;
}

/* Puts `step` right before `file`, unless it is already earlier.  Returns true
 * when `step` was not in the plan. */
static bool put_before(struct flo_plan *plan, uint32_t file, uint32_t step, uint32_t way)
{
    uint32_t from = place_of(plan, step);
    uint32_t to = place_of(plan, file);
    bool is_new = from == plan->step_count;

    assert(to < plan->step_count && plan->step_count < FLO_RELEASE_FILES_MAX);
    if (from < to) {
        return false;
    }
    plan->step_count += is_new ? 1 : 0;
    memmove(&plan->steps[to + 1], &plan->steps[to], (from - to) * sizeof(plan->steps[0]));
    memset(&plan->steps[to], 0, sizeof(plan->steps[to]));
    plan->steps[to].file = (uint8_t)step;
    plan->steps[to].way = (uint8_t)way;
    return is_new;
}

/* Adds the files of a chain before the file that needs them; a file that two
 * chains share is made once.  full_bytes does not count them, since no variant
 * contains them. */
static bool add_chain(struct making *making, uint32_t file, const struct flo_chain *chain)
{
    const struct flo_release *release = making->input->release;
    struct flo_plan *plan = &making->plan;
    uint64_t full_bytes = plan->full_bytes;
    bool fits = true;

    for (uint32_t i = 0; fits && i < chain->count; i++) {
        const struct flo_release_file *step = &release->files[chain->steps[i].file];
        fits = !put_before(plan, file, chain->steps[i].file, chain->steps[i].way) ||
               add_need(making, step, &step->ways[chain->steps[i].way]);
    }
    plan->full_bytes = full_bytes;
    return fits;
}

/* Fails for a file without a way that can be taken.  The error names the codec
 * if this build decodes none of the ways. */
static int refuse_ways(const struct flo_release_file *file, struct flo_err *err)
{
    int rv = 0;
    for (uint32_t w = 0; w < file->way_count; w++) {
        rv = flo_delta_codec_check(file->ways[w].codec, err);
        if (rv == 0) {
            break;
        }
    }
    return rv < 0 ? flo_wrap(err, rv, "%s", file->name)
                  : flo_fail(err, FLO_E_BLOB_ABSENT, "%s: none of its %u ways can be taken here",
                             file->name, file->way_count);
}

static int plan_file(struct making *making, uint32_t file, struct flo_err *err)
{
    const struct flo_plan_input *input = making->input;
    const struct flo_release_file *facts = &input->release->files[file];
    struct flo_plan *plan = &making->plan;
    uint32_t step = insert_step(input->release, plan, file);

    assert(file < input->release->file_count);
    if (flo_plan_is_present(input, &facts->digest)) {
        plan->steps[step].is_present = true;
        return 0;
    }
    struct flo_chain chain;
    int way = choose_way(making, file, &chain);
    if (way < 0) {
        return refuse_ways(facts, err);
    }
    const struct flo_way *taken = &facts->ways[way];
    plan->steps[step].way = (uint8_t)way;
    if (facts->bytes >= making->largest_file) {
        making->largest_file = facts->bytes;
        plan->codec = taken->codec;
        if (chain.count > 0) {
            snprintf(plan->reason, sizeof(plan->reason), "a chain of %u delta%s", chain.count + 1,
                     flo_s(chain.count + 1));
        } else {
            snprintf(plan->reason, sizeof(plan->reason), "%s", why_full(input, file, taken));
        }
    }
    if (!add_need(making, facts, taken) || !add_chain(making, file, &chain)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "%s: the sizes of the release do not add up",
                        facts->name);
    }
    return 0;
}

/* Counts derived bytes (packed weights, a cached prefix) if disk space allows;
 * else leaves them out, because they are optional. */
static uint64_t add_derived(struct flo_plan *plan, uint64_t bytes, uint64_t room_bytes)
{
    uint64_t all;

    if (!flo_add_u64(plan->disk_bytes, bytes, &all) || all > room_bytes) {
        return 0;
    }
    plan->disk_bytes = all;
    return bytes;
}

/* Adds the most bytes that packed weights of a new model can need. */
static void add_packed(const struct flo_plan_input *input,
                       const struct flo_release_variant *variant, uint64_t room_bytes,
                       struct flo_plan *plan)
{
    const struct flo_release_file *model = flo_release_entry(input->release, variant);
    uint64_t bytes;

    if (input->profile->packs && model != NULL && flo_release_is_native(variant) &&
        !flo_plan_is_present(input, &model->digest) &&
        flo_add_u64(model->bytes, model->bytes / 16 + PACKED_BYTES_MORE, &bytes)) {
        plan->packed_bytes = add_derived(plan, bytes, room_bytes);
    }
}

/* Checks the disk space of a plan.  Cached prefixes can be computed again, so
 * their space counts as free.  As many as needed are removed before the first
 * byte is fetched. */
static int fit_disk(struct making *making, const struct flo_release_variant *variant,
                    const char *title, struct flo_err *err)
{
    const struct flo_profile *profile = making->input->profile;
    struct flo_plan *plan = &making->plan;
    uint64_t room_bytes = UINT64_MAX;

    (void)flo_add_u64(profile->disk_free_bytes, profile->kept_bytes, &room_bytes);
    if (!flo_add_u64(plan->disk_bytes, making->largest_aside, &plan->disk_bytes) ||
        plan->disk_bytes > room_bytes) {
        return flo_fail(err, FLO_E_DISK_FULL, "%s needs %llu bytes, %llu free", title,
                        (unsigned long long)plan->disk_bytes, (unsigned long long)room_bytes);
    }
    add_packed(making->input, variant, room_bytes, plan);
    plan->prefix_bytes = add_derived(plan, profile->prefix_bytes, room_bytes);
    if (plan->disk_bytes > profile->disk_free_bytes) {
        plan->drop_bytes = plan->disk_bytes - profile->disk_free_bytes;
    }
    return 0;
}

static int plan_variant(const struct flo_plan_input *input, uint32_t index, bool spares_disk,
                        struct flo_plan *out, struct flo_err *err)
{
    const struct flo_release_variant *variant = &input->release->variants[index];
    struct making making = {.input = input,
                            .spares_disk = spares_disk,
                            .plan = {.variant = index, .reason = "everything is here"}};
    char title[2 * FLO_NAME_MAX + 2];
    int rv = 0;

    assert(index < input->release->variant_count);
    assert(variant->file_count <= FLO_RELEASE_FILES_MAX);
    flo_release_title(input->release, title);
    for (uint32_t i = 0; rv == 0 && i < variant->file_count; i++) {
        rv = plan_file(&making, variant->files[i], err);
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", title);
    }
    FLO_TRY(fit_disk(&making, variant, title, err));
    *out = making.plan;
    return 0;
}

/* Plans a variant with the smallest download, or with the least disk space if
 * the disk has no room for that. */
static int try_variant(const struct flo_plan_input *input, uint32_t index, struct flo_plan *out,
                       struct flo_err *err)
{
    int rv = plan_variant(input, index, false, out, err);

    return rv == FLO_E_DISK_FULL ? plan_variant(input, index, true, out, err) : rv;
}

/* Appends how much faster another variant of the same file is here. */
static void say_slower(const struct flo_plan_input *input, uint32_t variant, uint32_t faster,
                       char *out, size_t bytes)
{
    flo_variant_say(out, bytes, "%s%s took %.2f ms per token here, %s %.2f",
                    out[0] != '\0' ? "; " : "", input->release->variants[variant].name,
                    flo_speed_ms(input->release, input->profile, variant),
                    input->release->variants[faster].name,
                    flo_speed_ms(input->release, input->profile, faster));
}

/* Plans the variant that is measured to be faster than this one, which fits.
 * Returns false when there is none, or no room for it. */
static bool try_faster(const struct flo_plan_input *input, uint32_t index, char *why, size_t bytes,
                       struct flo_plan *out)
{
    uint32_t faster =
        input->variant != NULL ? index : flo_plan_fastest(input->release, input->profile, index);

    if (faster == index || try_variant(input, faster, out, NULL) < 0) {
        return false;
    }
    say_slower(input, index, faster, why, bytes);
    return true;
}

int flo_plan_make(const struct flo_plan_input *input, struct flo_plan *out, struct flo_err *err)
{
    const struct flo_release *release = input->release;
    char why[sizeof(out->chosen)] = "";
    struct flo_err first = {0};
    int failed = 0;

    assert(input->release != NULL && input->profile != NULL);
    assert(release->variant_count <= FLO_RELEASE_VARIANTS_MAX);
    for (uint32_t i = 0; i < release->variant_count; i++) {
        enum flo_variant_verdict verdict = flo_variant_judge(release, i, input->profile);
        struct flo_err no = {0};
        if (!is_asked_for(input, i)) {
            continue;
        }
        if (verdict != FLO_VARIANT_FITS) {
            flo_variant_say_no(&release->variants[i], input->profile, verdict, why, sizeof(why));
            continue;
        }
        int rv = try_faster(input, i, why, sizeof(why), out) ? 0 : try_variant(input, i, out, &no);
        if (rv == 0) {
            snprintf(out->chosen, sizeof(out->chosen), "%s", why[0] != '\0' ? why : FLO_PLAN_FIRST);
            return 0;
        }
        if (failed == 0) {
            failed = rv;
            first = no;
        }
        bool is_not_offered = rv == FLO_E_BLOB_ABSENT && input->offered != NULL;
        if (rv != FLO_E_DISK_FULL && !is_not_offered) {
            break;
        }
        flo_variant_say_no(&release->variants[i], input->profile, FLO_VARIANT_FITS, why,
                           sizeof(why));
        flo_variant_say(why, sizeof(why), "%s",
                        is_not_offered ? " is not in the bundle" : " has no room on the disk");
    }
    if (failed < 0) {
        if (err != NULL) {
            *err = first;
        }
        return failed;
    }
    return refuse(input, why, err);
}
