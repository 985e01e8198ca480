/* Labels: numbers for label values, so that the scan of a label is bounded.
 *
 * A label's values become 1, 2, 3 … in the order of their texts; 0 is none.  At
 * most 1,000 values are scanned, those with the most members.  The counts that
 * enter thresholds are fixed when a rollout starts.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_LABELS_H
#define FLOTILLA_SERVER_SLICES_LABELS_H

#include <flotilla/base.h>

#define FLO_SLICE_LABELS_MAX 16
#define FLO_SLICE_VALUES_MAX 1000
#define FLO_SLICE_MEMBERS_MIN 3 /* a value with fewer members cannot be judged */

/* Slice: all members whose label has one value. */
struct flo_slice {
    uint16_t label; /* index of the label in the order of the policy, from 0 */
    uint16_t value; /* from 1 on */
};
/* A label of a scan. */
struct flo_slice_label {
    const uint16_t *values; /* number of the value of each device; 0: the device has no value */
    uint32_t count;         /* highest number in `values` */
    uint32_t judged;        /* number of values with enough members to be judged */
    /* greatest variance found so far between the label's values, without the
     * release as cause */
    double tau2;
    /* The label is a pair of labels, such as site and hardware.  A value with
     * fewer than two own controls is not judged: otherwise a shock at its site
     * would look like the release. */
    bool needs_own;
};
/* Returns -ln of the part of alpha that each value may use. */
double flo_slice_threshold(double alpha, double weight, size_t labels, uint32_t judged);

/* A value of a label, and how many members have it. */
struct flo_slice_word {
    const char *text;
    uint32_t members;
};
struct flo_slice_values {
    uint32_t count;  /* numbers in use */
    uint32_t judged; /* number of values with at least 3 members */
    /* number of values that are not scanned, because there are more than
     * 1,000 */
    uint32_t left_values;
    uint32_t left_devices; /* number of members whose value is not scanned */
    /* index of the word of each number; [0] is not used */
    uint32_t words[FLO_SLICE_VALUES_MAX + 1];
};
/* Numbers the distinct words.  `numbers` gets the number of each of the `count`
 * words; 0: the word is left out.  A word without members gets no number.  When
 * there are too many words, earlier ones are preferred among those with equally
 * many members. */
void flo_slice_words_number(const struct flo_slice_word *words, size_t count, uint16_t *numbers,
                            struct flo_slice_values *out);

#endif
