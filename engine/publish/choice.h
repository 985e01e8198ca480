/* Choice: one type for each tensor, so that a file has a stated size or a model
 * a stated loss.
 *
 * All tensors begin with their smallest type.  Then, again and again, the change
 * to a larger type is made that saves the most loss per byte.  Pure; the same
 * input gives the same choice. */
#ifndef FLOTILLA_ENGINE_CHOICE_H
#define FLOTILLA_ENGINE_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLO_CHOICE_OPTIONS_MAX 12

/* A type that a tensor may get. */
struct flo_type_option {
    uint32_t type;
    uint64_t bytes;
    double loss; /* expected divergence in nats per token */
};
/* A tensor with its options: more bytes come later and lose less. */
struct flo_type_choice {
    struct flo_type_option options[FLO_CHOICE_OPTIONS_MAX];
    size_t count;
    size_t chosen; /* index of the chosen option */
};

/* Adds an option, in its place.  Options that need as many bytes as another and
 * lose no less are left out. */
void flo_choice_add(struct flo_type_choice *choice, struct flo_type_option option);
/* Chooses the least loss with at most `bytes_max` bytes in all.  Returns false
 * if the smallest options need more; they are then chosen. */
bool flo_choice_to_size(struct flo_type_choice *choices, size_t count, uint64_t bytes_max);
/* Chooses few bytes with at most `loss_max` in all.  Returns false if the best
 * options lose more; they are then chosen. */
bool flo_choice_to_loss(struct flo_type_choice *choices, size_t count, double loss_max);
/* Return the sums over the chosen options. */
uint64_t flo_choice_bytes(const struct flo_type_choice *choices, size_t count);
double flo_choice_loss(const struct flo_type_choice *choices, size_t count);

#endif
