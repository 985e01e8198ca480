/* Variants of a release: which of them fit a device. */
#ifndef FLOTILLA_UPDATER_PLAN_VARIANTS_H
#define FLOTILLA_UPDATER_PLAN_VARIANTS_H

#include <flotilla/release.h>

/* Reasons why a variant does not fit; the best reason for an error message
 * comes first. */
enum flo_variant_verdict {
    FLO_VARIANT_FITS,
    FLO_VARIANT_NEEDS_MEMORY,
    FLO_VARIANT_NEEDS_DISK,
    FLO_VARIANT_NEEDS_RATE,
    FLO_VARIANT_NEEDS_OTHER,
};
enum flo_variant_verdict flo_variant_judge(const struct flo_release *release, uint32_t index,
                                           const struct flo_profile *profile);
/* Appends to a text, which is cut where its room ends. */
FLO_PRINTF(3, 4) void flo_variant_say(char *out, size_t bytes, const char *format, ...);
/* Appends why a variant does not fit this device, after the reasons of others. */
void flo_variant_say_no(const struct flo_release_variant *variant,
                        const struct flo_profile *profile, enum flo_variant_verdict verdict,
                        char *out, size_t bytes);
/* Returns the measured time per token in milliseconds; 0: not measured. */
double flo_speed_ms(const struct flo_release *release, const struct flo_profile *profile,
                    uint32_t variant);

#endif
