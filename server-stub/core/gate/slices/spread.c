/* Spread: keeps groups of devices in a heap; the group with the smallest share
 * taken is on top. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/slices/spread.h"

#define ALONE_MIN 4 /* members with which a value is a group of its own */
#define HELD_MAX 500
#define HELD_SHARE 10
#define CONTROLS 2 /* number of controls that a large group keeps */
#define REST UINT32_MAX

/* ---- groups ---- */

static int by_value(const void *a, const void *b)
{
    const struct flo_spread_device *one = a;
    const struct flo_spread_device *other = b;

    if (one->value != other->value) {
        return one->value < other->value ? -1 : 1;
    }
    if (one->bucket != other->bucket) {
        return one->bucket < other->bucket ? -1 : 1;
    }
    int order = strcmp(one->id, other->id);
    return order != 0 ? order : (one->place > other->place) - (one->place < other->place);
}

static size_t end_of(const struct flo_spread_device *devices, size_t count, size_t from)
{
    size_t end = from + 1;

    assert(from < count);
    while (end < count && devices[end].value == devices[from].value) {
        end++;
    }
    return end;
}

/* Joins values with few members, and devices without a value, into one
 * group. */
static void join_small(struct flo_spread_device *devices, size_t count)
{
    for (size_t at = 0; at < count;) {
        size_t end = end_of(devices, count, at);
        bool is_alone = devices[at].value != 0 && end - at >= ALONE_MIN;
        for (size_t i = at; i < end; i++) {
            devices[i].value = is_alone ? devices[i].value : REST;
        }
        at = end;
    }
}

static size_t group(const struct flo_spread_device *devices, size_t count,
                    struct flo_spread_group *groups)
{
    size_t used = 0;

    for (size_t at = 0; at < count;) {
        size_t end = end_of(devices, count, at);
        bool is_rest = devices[at].value == REST;
        struct flo_spread_group *one = &groups[used++];
        *one = (struct flo_spread_group){.first = (uint32_t)at,
                                         .count = (uint32_t)(end - at),
                                         .order = REST,
                                         .is_large = !is_rest && end - at >= FLO_SPREAD_LARGE};
        for (size_t i = at; i < end && !is_rest; i++) {
            one->order = devices[i].place < one->order ? devices[i].place : one->order;
        }
        at = end;
    }
    return used;
}

/* ---- heap ---- */

struct heap {
    struct flo_spread_group *groups;
    size_t count;
    const struct flo_spread_device *devices;
    bool is_back; /* devices of the hold-out are being chosen, from the end of the order */
};

static bool is_short(const struct flo_spread_group *group)
{
    return group->is_large && group->back < CONTROLS;
}

/* Tells whether the next device in the order comes from group `one`, not from
 * `other`. */
static bool is_before(const struct heap *heap, const struct flo_spread_group *one,
                      const struct flo_spread_group *other)
{
    uint64_t taken = heap->is_back ? one->back : one->front;
    uint64_t other_taken = heap->is_back ? other->back : other->front;
    uint64_t share = taken * other->count;
    uint64_t other_share = other_taken * one->count;

    assert(one->front + one->back < one->count && other->front + other->back < other->count);
    if (heap->is_back && is_short(one) != is_short(other)) {
        return is_short(one);
    }
    if (share != other_share) {
        return share < other_share;
    }
    size_t at = heap->is_back ? one->first + one->count - 1 - one->back : one->first + one->front;
    size_t other_at =
        heap->is_back ? other->first + other->count - 1 - other->back : other->first + other->front;
    uint32_t bucket = heap->devices[at].bucket;
    uint32_t other_bucket = heap->devices[other_at].bucket;
    if (bucket != other_bucket) {
        return (bucket < other_bucket) != heap->is_back;
    }
    return one->order < other->order;
}

static void sink(struct heap *heap, size_t at)
{
    assert(at < heap->count || heap->count == 0);
    for (;;) {
        size_t best = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < heap->count; child++) {
            if (is_before(heap, &heap->groups[child], &heap->groups[best])) {
                best = child;
            }
        }
        if (best == at) {
            return;
        }
        struct flo_spread_group swap = heap->groups[at];
        heap->groups[at] = heap->groups[best];
        heap->groups[best] = swap;
        at = best;
    }
}

static bool is_empty(const struct flo_spread_group *group)
{
    return group->front + group->back == group->count;
}

/* Builds a heap of the groups that have devices. */
static void heap_make(struct heap *heap)
{
    for (size_t i = 0; i < heap->count;) {
        if (is_empty(&heap->groups[i])) {
            heap->groups[i] = heap->groups[--heap->count];
        } else {
            i++;
        }
    }
    for (size_t i = heap->count / 2; i > 0; i--) {
        sink(heap, i - 1);
    }
}

static uint32_t take(struct heap *heap)
{
    struct flo_spread_group *top = &heap->groups[0];
    size_t at =
        heap->is_back ? top->first + top->count - 1 - top->back++ : top->first + top->front++;

    assert(heap->count > 0);
    if (is_empty(top)) {
        *top = heap->groups[--heap->count];
    }
    sink(heap, 0);
    return heap->devices[at].place;
}

static int by_presence(const void *a, const void *b)
{
    const struct flo_spread_device *one = a;
    const struct flo_spread_device *other = b;

    return one->is_away != other->is_away ? one->is_away - other->is_away : by_value(a, b);
}

/* Sorts the devices of each group that remain after the hold-out: reachable
 * ones first. */
static void sort_front(const struct heap *heap, struct flo_spread_device *devices)
{
    for (size_t i = 0; i < heap->count; i++) {
        const struct flo_spread_group *group = &heap->groups[i];
        qsort(&devices[group->first], group->count - group->back, sizeof(*devices), by_presence);
    }
}

/* ---- order ---- */

static size_t held_of(const struct flo_spread_group *groups, size_t group_count, size_t count,
                      size_t hold_out)
{
    size_t wanted = 0;

    assert(hold_out <= count && group_count <= count);
    if (hold_out == 0) {
        return 0;
    }
    for (size_t i = 0; i < group_count; i++) {
        wanted += groups[i].is_large ? CONTROLS : 0;
    }
    size_t most = count / HELD_SHARE < HELD_MAX ? count / HELD_SHARE : HELD_MAX;
    wanted = wanted < most ? wanted : most;
    return wanted > hold_out ? wanted : hold_out;
}

bool flo_spread_order(struct flo_spread_device *devices, size_t count, size_t hold_out,
                      struct flo_spread_group *groups, uint32_t *order,
                      struct flo_spread_sizes *sizes)
{
    assert(count < REST);
    if (hold_out > count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        assert(devices[i].value != REST);
        devices[i].place = (uint32_t)i;
    }
    qsort(devices, count, sizeof(*devices), by_value);
    join_small(devices, count);
    qsort(devices, count, sizeof(*devices), by_value);
    struct heap heap = {.groups = groups,
                        .count = group(devices, count, groups),
                        .devices = devices,
                        .is_back = true};
    sizes->held = held_of(groups, heap.count, count, hold_out);
    sizes->cover = 0;
    heap_make(&heap);
    for (size_t i = 0; i < sizes->held; i++) {
        order[count - 1 - i] = take(&heap);
    }
    heap.is_back = false;
    sort_front(&heap, devices);
    heap_make(&heap);
    for (size_t i = 0; i < count - sizes->held; i++) {
        if (groups[0].is_large && groups[0].front == 0) {
            sizes->cover = i + 1;
        }
        order[i] = take(&heap);
    }
    return true;
}
