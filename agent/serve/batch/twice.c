/* Twice: finds names with equal hashes, in one range of hashes after
 * another. */
#include "agent/serve/batch/twice.h"

#include <stdlib.h>
#include <string.h>

#include "base/fnv.h"

/* Returns FNV-1a of a name, mixed like splitmix64, so that every bit depends on
 * all bytes. */
static uint64_t hash_of(uint64_t key, const char *name)
{
    uint64_t hash = flo_fnv1a(key ^ FLO_FNV_BASIS, name, strlen(name));

    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
    return hash ^ (hash >> 31);
}

int flo_twice_open(struct flo_twice *twice, size_t room, uint64_t key, struct flo_err *err)
{
    *twice = (struct flo_twice){.key = key, .high = UINT64_MAX, .room = room};
    twice->names = calloc(room, sizeof(*twice->names));
    return twice->names != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "no memory for %zu names", room);
}

static int compare(const void *a, const void *b)
{
    const struct flo_twice_name *left = a, *right = b;

    if (left->hash != right->hash) {
        return left->hash < right->hash ? -1 : 1;
    }
    return left->number < right->number ? -1 : left->number > right->number;
}

void flo_twice_sort(struct flo_twice *twice)
{
    qsort(twice->names, twice->count, sizeof(*twice->names), compare);
}

/* Removes from the table all but the first two names of each hash. */
static void thin(struct flo_twice *twice)
{
    struct flo_twice_name *names = twice->names;
    size_t kept = 0;

    flo_twice_sort(twice);
    for (size_t i = 0; i < twice->count; i++) {
        if (kept < 2 || names[i].hash != names[kept - 2].hash) {
            names[kept++] = names[i];
        }
    }
    twice->count = kept;
}

/* Removes the names in the upper half of the hash range, which a later pass
 * reads again. */
static void halve(struct flo_twice *twice)
{
    size_t kept = 0;

    twice->high = twice->low + (twice->high - twice->low) / 2;
    for (size_t i = 0; i < twice->count; i++) {
        if (twice->names[i].hash <= twice->high) {
            twice->names[kept++] = twice->names[i];
        }
    }
    twice->count = kept;
}

void flo_twice_add(struct flo_twice *twice, const char *name, uint64_t number, uint64_t offset)
{
    uint64_t hash = hash_of(twice->key, name);

    if (twice->count == twice->room) {
        thin(twice);
        while (twice->count > twice->room / 2 && twice->low < twice->high) {
            halve(twice);
        }
    }
    if (hash >= twice->low && hash <= twice->high && twice->count < twice->room) {
        twice->names[twice->count++] = (struct flo_twice_name){hash, number, offset};
    }
}

bool flo_twice_next(const struct flo_twice *twice, uint64_t after, struct flo_twice_name *first,
                    struct flo_twice_name *second)
{
    uint64_t best = UINT64_MAX;

    for (size_t i = 1; i < twice->count; i++) {
        const struct flo_twice_name *name = &twice->names[i];
        if (name->hash == name[-1].hash && name->number > after && name->number < best) {
            best = name->number;
            *first = name[-1];
            *second = *name;
        }
    }
    return best != UINT64_MAX;
}

bool flo_twice_again(struct flo_twice *twice)
{
    if (twice->high == UINT64_MAX) {
        return false;
    }
    twice->low = twice->high + 1;
    twice->high = UINT64_MAX;
    twice->count = 0;
    return true;
}

void flo_twice_deinit(struct flo_twice *twice)
{
    free(twice->names);
    twice->names = NULL;
}
