/* Labels: texts sorted and numbered; the smallest groups left out. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/slices/labels.h"

double flo_slice_threshold(double alpha, double weight, size_t labels,
                           uint32_t judged)
{
    assert(alpha > 0 && weight > 0 && labels > 0);
    return -log(alpha * weight / ((double)labels * (judged > 0 ? judged : 1)));
}

/* Members without the label last. */
static int by_text(const void *a, const void *b)
{
    const struct flo_slice_text *one = a;
    const struct flo_slice_text *other = b;

    if (one->text == NULL || other->text == NULL) {
        return (one->text == NULL) - (other->text == NULL);
    }
    int order = strcmp(one->text, other->text);
    return order != 0
               ? order
               : (one->place > other->place) - (one->place < other->place);
}

static size_t end_of(const struct flo_slice_text *texts, size_t count,
                     size_t from)
{
    size_t end = from + 1;

    while (end < count && texts[end].text != NULL &&
           strcmp(texts[end].text, texts[from].text) == 0) {
        end++;
    }
    return end;
}

/* How many members a value has to have, and how many values with exactly so
 * many there is room for. */
struct room {
    size_t members;
    size_t ties;
};

static size_t values_above(const struct flo_slice_text *texts, size_t count,
                           size_t members)
{
    size_t values = 0;

    for (size_t at = 0; at < count && texts[at].text != NULL;) {
        size_t end = end_of(texts, count, at);
        values += end - at > members ? 1 : 0;
        at = end;
    }
    return values;
}

/* By halving: the fewest members at which the values above fit. */
static struct room room_of(const struct flo_slice_text *texts, size_t count)
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (values_above(texts, count, middle) <= FLO_SLICE_VALUES_MAX) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return (struct room){.members = low,
                         .ties = FLO_SLICE_VALUES_MAX -
                                 values_above(texts, count, low)};
}

void flo_slice_values_number(struct flo_slice_text *texts, size_t count,
                             uint16_t *values,
                             const char *names[FLO_SLICE_VALUES_MAX + 1],
                             struct flo_slice_values *out)
{
    *out = (struct flo_slice_values){0};
    names[0] = NULL;
    qsort(texts, count, sizeof(*texts), by_text);
    struct room room = room_of(texts, count);
    for (size_t at = 0; at < count;) {
        size_t end = texts[at].text == NULL ? count : end_of(texts, count, at);
        size_t members = end - at;
        uint16_t number = 0;
        if (texts[at].text != NULL &&
            (members > room.members ||
             (members == room.members && room.ties > 0))) {
            room.ties -= members == room.members ? 1 : 0;
            number = (uint16_t)++out->count;
            names[number] = texts[at].text;
            out->judged += members >= FLO_SLICE_MEMBERS_MIN ? 1 : 0;
        } else if (texts[at].text != NULL) {
            out->left_values++;
            out->left_devices += (uint32_t)members;
        }
        for (size_t i = at; i < end; i++) {
            assert(texts[i].place < count);
            values[texts[i].place] = number;
        }
        at = end;
    }
}
