/* First: finds the first few of many items with a heap of the best ones so far,
 * the worst of them on top.
 *
 * Items are often in descending order, so that each would be better than all
 * before.  Blocks of items are therefore visited far apart from each other.
 * The first of them soon show what a good item is. */
#include <assert.h>
#include <stdbool.h>

#include "server-stub/core/select/first.h"

#define BLOCK 64

struct heap {
    const void **items;
    size_t count;
    flo_first_compare compare;
    void *context;
};

static bool is_later(const struct heap *heap, size_t a, size_t b)
{
    return heap->compare(heap->items[a], heap->items[b], heap->context) > 0;
}

static void swap(const struct heap *heap, size_t a, size_t b)
{
    const void *one = heap->items[a];

    heap->items[a] = heap->items[b];
    heap->items[b] = one;
}

static void sink(const struct heap *heap, size_t at)
{
    for (size_t child = 2 * at + 1; child < heap->count; child = 2 * at + 1) {
        if (child + 1 < heap->count && is_later(heap, child + 1, child)) {
            child++;
        }
        if (!is_later(heap, child, at)) {
            return;
        }
        swap(heap, child, at);
        at = child;
    }
}

static void add(struct heap *heap, const void *item, size_t most)
{
    if (heap->count < most) {
        size_t at = heap->count++;
        heap->items[at] = item;
        for (; at > 0 && is_later(heap, at, (at - 1) / 2); at = (at - 1) / 2) {
            swap(heap, at, (at - 1) / 2);
        }
    } else if (heap->compare(item, heap->items[0], heap->context) < 0) {
        heap->items[0] = item;
        sink(heap, 0);
    }
}

static size_t divisor(size_t a, size_t b)
{
    while (b > 0) {
        size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Returns the step between blocks.  A step near the golden ratio of their
 * number visits each block once, and each is far from the one before. */
static size_t stride_of(size_t blocks)
{
    size_t stride = blocks * 89 / 144 + 1;

    while (divisor(stride, blocks) != 1) {
        stride++;
    }
    return stride;
}

size_t flo_select_first(const void *const *items, size_t count, size_t most,
                        flo_first_compare compare, void *context, const void **out)
{
    struct heap heap = {.items = out, .compare = compare, .context = context};
    size_t blocks = (count + BLOCK - 1) / BLOCK;
    size_t stride = blocks > 0 ? stride_of(blocks) : 0;
    size_t block = 0;

    assert(most > 0);
    for (size_t i = 0; i < blocks; i++) {
        size_t from = block * BLOCK;
        for (size_t k = from; k < from + BLOCK && k < count; k++) {
            add(&heap, items[k], most);
        }
        block = (block + stride) % blocks;
    }
    size_t found = heap.count;
    while (heap.count > 1) { /* the worst of the remaining items goes to their end */
        swap(&heap, 0, --heap.count);
        sink(&heap, 0);
    }
    return found;
}
