/* Variants: which variants of a release fit a device, and why the others do
 * not; see variants.h. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <flotilla/release.h>

#include "updater/plan/variants.h"

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

enum flo_variant_verdict flo_variant_judge(const struct flo_release *release, uint32_t index,
                                           const struct flo_profile *profile)
{
    const struct flo_release_variant *variant = &release->variants[index];

    assert(index < release->variant_count);
    if (!has_word(variant->arch, 4, profile->arch) || !has_runtime(variant, profile) ||
        !has_accelerators(variant, profile)) {
        return FLO_VARIANT_NEEDS_OTHER;
    }
    if (profile->memory_bytes != 0 && variant->memory_bytes > profile->memory_bytes) {
        return FLO_VARIANT_NEEDS_MEMORY;
    }
    if (variant->disk_bytes > profile->disk_free_bytes) {
        return FLO_VARIANT_NEEDS_DISK;
    }
    return is_fast_enough(variant, profile, index + 1 == release->variant_count)
               ? FLO_VARIANT_FITS
               : FLO_VARIANT_NEEDS_RATE;
}

void flo_variant_say(char *out, size_t bytes, const char *format, ...)
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
        flo_variant_say(out, bytes, "%sarch %s", between, variant->arch[0]);
        between = ", ";
    }
    if (engine != NULL) {
        flo_variant_say(out, bytes, "%sengine %s", between, engine);
        between = ", ";
    }
    if (!is_native && !has_runtime(variant, profile)) {
        flo_variant_say(out, bytes, "%sruntime %s", between, variant->runtime);
        between = ", ";
    }
    for (size_t i = 0; i < 4 && variant->accelerator[i][0] != '\0'; i++) {
        if (!has_accelerator(profile, variant->accelerator[i])) {
            flo_variant_say(out, bytes, "%saccelerator %s", between, variant->accelerator[i]);
            between = ", ";
        }
    }
}

void flo_variant_say_no(const struct flo_release_variant *variant,
                        const struct flo_profile *profile, enum flo_variant_verdict verdict,
                        char *out, size_t bytes)
{
    flo_variant_say(out, bytes, "%s%s", out[0] != '\0' ? "; " : "", variant->name);
    switch (verdict) {
    case FLO_VARIANT_NEEDS_MEMORY:
        flo_variant_say(out, bytes, " needs %llu bytes of memory of %llu",
                        (unsigned long long)variant->memory_bytes,
                        (unsigned long long)profile->memory_bytes);
        break;
    case FLO_VARIANT_NEEDS_DISK:
        flo_variant_say(out, bytes, " needs %llu bytes of disk, %llu are free",
                        (unsigned long long)variant->disk_bytes,
                        (unsigned long long)profile->disk_free_bytes);
        break;
    case FLO_VARIANT_NEEDS_RATE:
        flo_variant_say(out, bytes, " needs %llu tokens per 1000 s, memory gives %s",
                        (unsigned long long)variant->rate_mtps,
                        profile->memory_bytes_per_s == 0 ? "an unknown number" : "fewer");
        break;
    case FLO_VARIANT_NEEDS_OTHER:
        say_missing(variant, profile, out, bytes);
        break;
    case FLO_VARIANT_FITS:
        break;
    }
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
    assert(variant < release->variant_count);
    uint64_t limit = flo_plan_memory_bytes(release, variant);
    uint64_t most = 0;
    int found = -1;

    for (uint32_t i = 0; is_plain(release, variant) && i < release->variant_count; i++) {
        uint64_t bytes = flo_plan_memory_bytes(release, i);
        if (is_plain(release, i) && bytes < limit && bytes > most &&
            flo_variant_judge(release, i, profile) == FLO_VARIANT_FITS) {
            found = (int)i;
            most = bytes;
        }
    }
    return found;
}
