/* Labels: values as numbers, so that a scan of a label is bounded.
 *
 * A label's values become 1, 2, 3 … in the order of their texts; 0 is none.  At
 * most 1,000 values are scanned, those with the most members.  The counts that
 * enter thresholds are fixed when a rollout starts.  Pure. */
#ifndef FLOTILLA_SERVER_SLICES_LABELS_H
#define FLOTILLA_SERVER_SLICES_LABELS_H

#include <flotilla/base.h>

#define FLO_SLICE_LABELS_MAX 16
#define FLO_SLICE_VALUES_MAX 1000
#define FLO_SLICE_MEMBERS_MIN 3 /* a value with fewer cannot be judged */

/* All members whose label has that value. */
struct flo_slice {
    uint16_t label; /* in the policy's order, from 0 on */
    uint16_t value; /* from 1 on */
};
/* A label of a scan. */
struct flo_slice_label {
    const uint16_t *values; /* [device]; 0: it has none */
    uint32_t count;         /* values are at most this */
    uint32_t judged;        /* values with 3 members, at the rollout's start */
    double tau2;            /* greatest one that a scan told so far */
    bool needs_own;         /* a pair: with fewer than two controls of its own it is not
                               judged.  Its site has some, and tells a shock. */
};
/* -ln of what each value may use of alpha. */
double flo_slice_threshold(double alpha, double weight, size_t labels, uint32_t judged);

/* A value of a label, and how many members have it. */
struct flo_slice_word {
    const char *text;
    uint32_t members;
};
struct flo_slice_values {
    uint32_t count;                           /* numbers in use */
    uint32_t judged;                          /* values with 3 members and more */
    uint32_t left_values;                     /* over 1,000: not scanned */
    uint32_t left_devices;                    /* ... and their members */
    uint32_t words[FLO_SLICE_VALUES_MAX + 1]; /* by number: the place of its
                                                 word; [0] is not used */
};
/* Number the words, each of which stands in `words` once; one without members
 * has no number.  numbers: [count], by place; 0: left out.  Earlier words come
 * before later ones that have as many members. */
void flo_slice_words_number(const struct flo_slice_word *words, size_t count, uint16_t *numbers,
                            struct flo_slice_values *out);

#endif
