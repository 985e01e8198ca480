#include "engine/publish/choice.h"

#include <assert.h>
#include <string.h>

/* Tells whether `a` makes `b` useless. */
static bool beats(const struct flo_type_option *a, const struct flo_type_option *b)
{
    return a->bytes <= b->bytes && a->loss <= b->loss;
}

static void remove_at(struct flo_type_choice *choice, size_t i)
{
    choice->count--;
    memmove(&choice->options[i], &choice->options[i + 1],
            (choice->count - i) * sizeof(choice->options[0]));
}

void flo_choice_add(struct flo_type_choice *choice, struct flo_type_option option)
{
    size_t at = 0;

    for (size_t i = choice->count; i-- > 0;) {
        if (beats(&choice->options[i], &option)) {
            return;
        }
        if (beats(&option, &choice->options[i])) {
            remove_at(choice, i);
        }
    }
    assert(choice->count < FLO_CHOICE_OPTIONS_MAX);
    while (at < choice->count && choice->options[at].bytes < option.bytes) {
        at++;
    }
    memmove(&choice->options[at + 1], &choice->options[at],
            (choice->count - at) * sizeof(choice->options[0]));
    choice->options[at] = option;
    choice->count++;
}

static const struct flo_type_option *chosen(const struct flo_type_choice *choice)
{
    return &choice->options[choice->chosen];
}

uint64_t flo_choice_bytes(const struct flo_type_choice *choices, size_t count)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        sum += chosen(&choices[i])->bytes;
    }
    return sum;
}

double flo_choice_loss(const struct flo_type_choice *choices, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++) {
        sum += chosen(&choices[i])->loss;
    }
    return sum;
}

static void begin(struct flo_type_choice *choices, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert(choices[i].count > 0);
        choices[i].chosen = 0;
    }
}

/* Makes the change that saves the most loss per byte, if there is one that needs
 * at most `bytes_left` more bytes.  Among equals the first tensor wins. */
static bool grow(struct flo_type_choice *choices, size_t count, uint64_t bytes_left)
{
    struct flo_type_choice *best = NULL;
    size_t best_option = 0;
    double best_rate = 0;

    for (size_t i = 0; i < count; i++) {
        const struct flo_type_option *now = chosen(&choices[i]);
        for (size_t k = choices[i].chosen + 1; k < choices[i].count; k++) {
            const struct flo_type_option *next = &choices[i].options[k];
            double rate = (now->loss - next->loss) / (double)(next->bytes - now->bytes);
            if (next->bytes - now->bytes <= bytes_left && rate > best_rate) {
                best = &choices[i];
                best_option = k;
                best_rate = rate;
            }
        }
    }
    if (best != NULL) {
        best->chosen = best_option;
    }
    return best != NULL;
}

bool flo_choice_to_size(struct flo_type_choice *choices, size_t count, uint64_t bytes_max)
{
    begin(choices, count);
    uint64_t bytes = flo_choice_bytes(choices, count);
    bool fits = bytes <= bytes_max;

    while (fits && grow(choices, count, bytes_max - bytes)) {
        bytes = flo_choice_bytes(choices, count);
    }
    return fits;
}

bool flo_choice_to_loss(struct flo_type_choice *choices, size_t count, double loss_max)
{
    begin(choices, count);
    while (flo_choice_loss(choices, count) > loss_max) {
        if (!grow(choices, count, UINT64_MAX)) {
            return false;
        }
    }
    return true;
}
