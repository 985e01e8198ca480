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
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/errors/memory.h>
#include <flotilla/errors/target.h>
#include <flotilla/plural.h>
#include <flotilla/release.h>
#include <flotilla/updater.h>

#include "updater/plan/chain.h"

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

/* Tells whether the list has the word; an empty list allows every word. */
static bool has_word(const char (*wanted)[16], size_t wanted_count, const char *word)
{
    bool is_empty = true;

    for (size_t i = 0; i < wanted_count; i++) {
        if (wanted[i][0] != '\0') {
            is_empty = false;
            if (strcmp(wanted[i], word) == 0) {
                return true;
            }
        }
    }
    return is_empty;
}

/* Returns the first architecture that the variant needs and the device does not
 * run; NULL: it runs all of them. */
static const char *missing_engine(const struct flo_release_variant *variant,
                                  const struct flo_profile *profile)
{
    bool has_none = profile->engine[0][0] == '\0';
    bool has_all =
        !has_none && has_word(profile->engine, FLO_COUNT(profile->engine), FLO_PROFILE_ENGINE_ANY);

    for (size_t i = 0; i < 4 && variant->engine[i][0] != '\0'; i++) {
        bool is_known =
            has_none ? strcmp(variant->engine[i], "llama") == 0
                     : has_word(profile->engine, FLO_COUNT(profile->engine), variant->engine[i]);
        if (!is_known && !has_all) {
            return variant->engine[i];
        }
    }
    return NULL;
}

static bool has_runtime(const struct flo_release_variant *variant,
                        const struct flo_profile *profile)
{
    if (flo_release_is_native(variant)) {
        return missing_engine(variant, profile) == NULL;
    }
    for (size_t i = 0; i < FLO_COUNT(profile->runtimes); i++) {
        if (strcmp(profile->runtimes[i], variant->runtime) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_accelerator(const struct flo_profile *profile, const char *kind)
{
    for (size_t i = 0; i < FLO_COUNT(profile->accelerators); i++) {
        if (strcmp(profile->accelerators[i], kind) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_accelerators(const struct flo_release_variant *variant,
                             const struct flo_profile *profile)
{
    for (size_t i = 0; i < 4 && variant->accelerator[i][0] != '\0'; i++) {
        if (!has_accelerator(profile, variant->accelerator[i])) {
            return false;
        }
    }
    return true;
}

/* Returns the estimated milli-tokens per second by memory bandwidth.  The
 * division has two steps, so that 2^44 bytes per second and more fit in 64
 * bits. */
static uint64_t rate_of(const struct flo_release_variant *variant,
                        const struct flo_profile *profile)
{
    uint64_t whole = profile->memory_bytes_per_s / variant->bytes_per_token;
    uint64_t rest = profile->memory_bytes_per_s % variant->bytes_per_token;

    return whole > UINT64_MAX / 2000 ? UINT64_MAX
                                     : whole * 1000 + rest * 1000 / variant->bytes_per_token;
}

static bool is_fast_enough(const struct flo_release_variant *variant,
                           const struct flo_profile *profile, bool is_last)
{
    if (variant->rate_mtps == 0 || variant->bytes_per_token == 0) {
        return true;
    }
    return profile->memory_bytes_per_s == 0 ? is_last
                                            : rate_of(variant, profile) >= variant->rate_mtps;
}

/* Reasons why a variant does not fit, for the best error message. */
enum verdict { FITS, NEEDS_MEMORY, NEEDS_DISK, NEEDS_RATE, NEEDS_OTHER };

static enum verdict judge(const struct flo_release *release, uint32_t index,
                          const struct flo_profile *profile)
{
    const struct flo_release_variant *variant = &release->variants[index];

    if (!has_word(variant->arch, 4, profile->arch) || !has_runtime(variant, profile) ||
        !has_accelerators(variant, profile)) {
        return NEEDS_OTHER;
    }
    if (profile->memory_bytes != 0 && variant->memory_bytes > profile->memory_bytes) {
        return NEEDS_MEMORY;
    }
    if (variant->disk_bytes > profile->disk_free_bytes) {
        return NEEDS_DISK;
    }
    return is_fast_enough(variant, profile, index + 1 == release->variant_count) ? FITS
                                                                                 : NEEDS_RATE;
}

/* Appends to a text, which is cut where its room ends. */
FLO_PRINTF(3, 4) static void say(char *out, size_t bytes, const char *format, ...)
{
    size_t used = strlen(out);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(out + used, bytes - used, format, args);
    va_end(args);
}

/* Appends which needs of a variant this device lacks: " needs runtime llamacpp,
 * accelerator cuda". */
static void say_missing(const struct flo_release_variant *variant,
                        const struct flo_profile *profile, char *out, size_t bytes)
{
    bool is_native = flo_release_is_native(variant);
    const char *engine = is_native ? missing_engine(variant, profile) : NULL;
    const char *between = " needs ";

    if (!has_word(variant->arch, 4, profile->arch)) {
        say(out, bytes, "%sarch %s", between, variant->arch[0]);
        between = ", ";
    }
    if (engine != NULL) {
        say(out, bytes, "%sengine %s", between, engine);
        between = ", ";
    }
    if (!is_native && !has_runtime(variant, profile)) {
        say(out, bytes, "%sruntime %s", between, variant->runtime);
        between = ", ";
    }
    for (size_t i = 0; i < 4 && variant->accelerator[i][0] != '\0'; i++) {
        if (!has_accelerator(profile, variant->accelerator[i])) {
            say(out, bytes, "%saccelerator %s", between, variant->accelerator[i]);
            between = ", ";
        }
    }
}

/* Appends why a variant does not fit this device, after those before it. */
static void say_no(const struct flo_release_variant *variant, const struct flo_profile *profile,
                   enum verdict verdict, char *out, size_t bytes)
{
    say(out, bytes, "%s%s", out[0] != '\0' ? "; " : "", variant->name);
    switch (verdict) {
    case NEEDS_MEMORY:
        say(out, bytes, " needs %llu bytes of memory of %llu",
            (unsigned long long)variant->memory_bytes, (unsigned long long)profile->memory_bytes);
        break;
    case NEEDS_DISK:
        say(out, bytes, " needs %llu bytes of disk, %llu are free",
            (unsigned long long)variant->disk_bytes, (unsigned long long)profile->disk_free_bytes);
        break;
    case NEEDS_RATE:
        say(out, bytes, " needs %llu tokens per 1000 s, memory gives %s",
            (unsigned long long)variant->rate_mtps,
            profile->memory_bytes_per_s == 0 ? "an unknown number" : "fewer");
        break;
    case NEEDS_OTHER:
        say_missing(variant, profile, out, bytes);
        break;
    case FITS:
        break;
    }
}

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
    enum verdict verdict = NEEDS_OTHER;
    char title[2 * FLO_NAME_MAX + 2];
    char engines[sizeof(input->profile->engine)];

    for (uint32_t i = 0; i < release->variant_count; i++) {
        const struct flo_release_variant *variant = &release->variants[i];
        enum verdict found =
            is_asked_for(input, i) ? judge(release, i, input->profile) : NEEDS_OTHER;
        bool is_less = found == NEEDS_MEMORY && found == verdict &&
                       variant->memory_bytes < least->memory_bytes;
        if (found < verdict || is_less) {
            verdict = found;
            least = variant;
        }
    }
    flo_release_title(release, title);
    bool says_why = !list_engines(input->profile, engines, sizeof(engines)) || needs_more(release);
    if (verdict == NEEDS_MEMORY) {
        return flo_fail(err, FLO_E_MEMORY_BUDGET,
                        "%s needs %llu bytes of memory (variant %s), the "
                        "device gives %llu",
                        title, (unsigned long long)least->memory_bytes, least->name,
                        (unsigned long long)input->profile->memory_bytes);
    }
    if (verdict == NEEDS_DISK) {
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
        return flo_fail(err, FLO_E_BLOB_ABSENT, "%s: none of its %u ways can be taken here",
                        facts->name, facts->way_count);
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

int flo_plan_make(const struct flo_plan_input *input, struct flo_plan *out, struct flo_err *err)
{
    const struct flo_release *release = input->release;
    char why[sizeof(out->chosen)] = "";
    struct flo_err first = {0};
    int failed = 0;

    assert(input->release != NULL && input->profile != NULL);
    assert(release->variant_count <= FLO_RELEASE_VARIANTS_MAX);
    for (uint32_t i = 0; i < release->variant_count; i++) {
        enum verdict verdict = judge(release, i, input->profile);
        struct flo_err no = {0};
        if (!is_asked_for(input, i)) {
            continue;
        }
        if (verdict != FITS) {
            say_no(&release->variants[i], input->profile, verdict, why, sizeof(why));
            continue;
        }
        int rv = try_variant(input, i, out, &no);
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
        say_no(&release->variants[i], input->profile, FITS, why, sizeof(why));
        say(why, sizeof(why), "%s",
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

/* ---- a smaller one ---- */

uint64_t flo_plan_memory_bytes(const struct flo_release *release, uint32_t variant)
{
    const struct flo_release_variant *facts = &release->variants[variant];
    uint64_t bytes = 0;

    assert(variant < release->variant_count);
    for (uint32_t i = 0; i < facts->file_count; i++) {
        if (!flo_add_u64(bytes, release->files[facts->files[i]].bytes, &bytes)) {
            return UINT64_MAX;
        }
    }
    return facts->memory_bytes > bytes ? facts->memory_bytes : bytes;
}

static bool is_plain(const struct flo_release *release, uint32_t variant)
{
    const struct flo_release_variant *facts = &release->variants[variant];

    return flo_release_is_native(facts) &&
           flo_release_variant_file(release, facts, "model") != NULL &&
           flo_release_variant_file(release, facts, "adapter") == NULL;
}

int flo_plan_smaller(const struct flo_release *release, const struct flo_profile *profile,
                     uint32_t variant)
{
    uint64_t limit = flo_plan_memory_bytes(release, variant);
    uint64_t most = 0;
    int found = -1;

    for (uint32_t i = 0; is_plain(release, variant) && i < release->variant_count; i++) {
        uint64_t bytes = flo_plan_memory_bytes(release, i);
        if (is_plain(release, i) && bytes < limit && bytes > most &&
            judge(release, i, profile) == FITS) {
            found = (int)i;
            most = bytes;
        }
    }
    return found;
}
