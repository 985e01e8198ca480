/* Labels: sorts and numbers the values of a label, and leaves out those with
 * the fewest members. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/slices/labels.h"

double flo_slice_threshold(double alpha, double weight, size_t labels, uint32_t judged)
{
    assert(alpha > 0 && weight > 0 && labels > 0);
    return -log(alpha * weight / ((double)labels * (judged > 0 ? judged : 1)));
}

/* Limits that choose at most 1,000 values. A value needs at least `members`
 * members. Among values with exactly that number, the first `ties` are
 * chosen. */
struct room {
    size_t members;
    size_t ties;
};

static size_t values_above(const struct flo_slice_word *words, size_t count, size_t members)
{
    size_t values = 0;

    for (size_t i = 0; i < count; i++) {
        values += words[i].members > members ? 1 : 0;
    }
    return values;
}

/* Finds, by bisection, the smallest number of members for which all values with
 * more members fit into the table. */
static struct room room_of(const struct flo_slice_word *words, size_t count)
{
    size_t low = 0;
    size_t high = UINT32_MAX;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (values_above(words, count, middle) <= FLO_SLICE_VALUES_MAX) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return (struct room){.members = low,
                         .ties = FLO_SLICE_VALUES_MAX - values_above(words, count, low)};
}

/* Value of a label that is scanned, and its index among the words. */
struct chosen {
    const char *text;
    uint32_t word;
};

static int by_text(const void *a, const void *b)
{
    const struct chosen *one = a;
    const struct chosen *other = b;

    return strcmp(one->text, other->text);
}

void flo_slice_words_number(const struct flo_slice_word *words, size_t count, uint16_t *numbers,
                            struct flo_slice_values *out)
{
    struct chosen chosen[FLO_SLICE_VALUES_MAX];
    struct room room = room_of(words, count);

    assert(count < UINT32_MAX && (words != NULL || count == 0));
    *out = (struct flo_slice_values){0};
    for (size_t i = 0; i < count; i++) {
        bool is_tie = words[i].members == room.members && words[i].members > 0;
        numbers[i] = 0;
        if (words[i].members > room.members || (is_tie && room.ties > 0)) {
            room.ties -= is_tie ? 1 : 0;
            chosen[out->count++] = (struct chosen){.text = words[i].text, .word = (uint32_t)i};
        } else if (words[i].members > 0) {
            out->left_values++;
            out->left_devices += words[i].members;
        }
    }
    qsort(chosen, out->count, sizeof(*chosen), by_text);
    for (uint32_t k = 0; k < out->count; k++) {
        uint32_t word = chosen[k].word;
        numbers[word] = (uint16_t)(k + 1);
        out->words[k + 1] = word;
        out->judged += words[word].members >= FLO_SLICE_MEMBERS_MIN ? 1 : 0;
    }
}
