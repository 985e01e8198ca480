/* Block matcher: plans the bytes outside tensors of known types.  Long equal
 * runs are copied.  The rest is packed with old bytes as a dictionary.  These
 * old bytes are at the expected offset, or at another offset where they are
 * more similar.
 *
 * A table has the old file's blocks by their hash, and a rolling hash runs over
 * the new bytes.  The block size grows with the file, so the table needs at
 * most 16 MiB. */
#include "updater/delta/publish/plan.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS_MAX (1u << 20)
#define BLOCK_BYTES_MIN 64u /* least bytes of a block; a multiple of STRIDE */
#define STRIDE 16
/* Entries of the hash table per block of the old file, so that few hashes
 * collide. */
#define PLACES_EACH 4
#define PLACES_MIN 1024u
#define COPY_BYTES_MIN 4096
/* Least length of a run that is copied although zstd gets the same old bytes as
 * dictionary.  A copy splits the packed piece, and each further piece costs two
 * hashes and a frame. */
#define COPY_BYTES_NEAR_MIN (48u << 10)
/* Most bytes that are compared at two offsets.  The comparison stops when its
 * score falls LOOK_WORSE below its best. */
#define LOOK_BYTES (64 << 10)
#define LOOK_WORSE 2048
/* Bytes that the index may use: INDEX_BYTES_FREE at once, and up to
 * INDEX_BYTES_SHARED in proportion to the planned part of the new file.  So the
 * index fits even if its size was estimated wrongly. */
#define INDEX_BYTES_FREE (TENSOR_INDEX_BYTES_MAX / 16)
#define INDEX_BYTES_SHARED (TENSOR_INDEX_BYTES_MAX / 8 * 7ull)
#define FACTOR UINT64_C(0x9e3779b97f4a7c15)
/* Sizes of a packed piece, and of the old bytes around it that zstd reads.
 * Short pieces get fewer old bytes: there are many pieces, and zstd reads the
 * old bytes for each. */
#define PACK_BYTES (1u << 20)
#define AROUND_BYTES (512u << 10)
#define AROUND_BYTES_MIN (64u << 10)
#define AROUND_FACTOR 16

struct tensor_match {
    const struct delta_input *input;
    size_t block_bytes;
    uint64_t out_factor; /* FACTOR ^ block_bytes */
    uint64_t powers[STRIDE];
    uint32_t *blocks; /* [mask + 1] table entries: block number plus one; 0: empty */
    uint32_t mask;
    bool is_filled; /* true: the first search has filled the table */
};

/* Returns a polynomial hash of a block, in which a byte b counts as b + 1.  The
 * products inside a stride do not depend on each other, so the CPU computes
 * them in parallel. */
static uint64_t hash_of(const struct tensor_match *match, const uint8_t *data)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < match->block_bytes; i += STRIDE) {
        uint64_t sum = 0;
        for (size_t k = 0; k < STRIDE; k++) {
            sum += (data[i + k] + UINT64_C(1)) * match->powers[STRIDE - 1 - k];
        }
        hash = hash * (match->powers[STRIDE - 1] * FACTOR) + sum;
    }
    return hash;
}

static uint32_t *place_of(const struct tensor_match *match, uint64_t hash)
{
    return &match->blocks[(hash * FACTOR >> 32) & match->mask];
}

int flo_tensor_match_open(const struct delta_input *input, struct tensor_match **out,
                          struct flo_err *err)
{
    struct tensor_match *match = calloc(1, sizeof *match);
    uint64_t bytes = BLOCK_BYTES_MIN;
    uint64_t places = PLACES_MIN;

    while (input->old_bytes / bytes > BLOCKS_MAX) {
        bytes *= 2;
    }
    while (places < input->old_bytes / bytes * PLACES_EACH) {
        places *= 2;
    }
    if (match != NULL) {
        match->mask = (uint32_t)places - 1;
        match->blocks = calloc((size_t)places, sizeof(uint32_t));
    }
    if (match == NULL || match->blocks == NULL) {
        free(match);
        return flo_fail(err, FLO_E_MEMORY, "no memory to compare files");
    }
    match->input = input;
    match->block_bytes = (size_t)bytes;
    match->powers[0] = 1;
    for (size_t i = 1; i < STRIDE; i++) {
        match->powers[i] = match->powers[i - 1] * FACTOR;
    }
    match->out_factor = 1;
    for (size_t i = 0; i < match->block_bytes; i++) {
        match->out_factor *= FACTOR;
    }
    *out = match;
    return 0;
}

static void fill(struct tensor_match *match)
{
    size_t bytes = match->block_bytes;

    for (uint64_t i = match->input->old_bytes / bytes; i-- > 0;) {
        uint64_t hash = hash_of(match, match->input->old + i * bytes);
        *place_of(match, hash) = (uint32_t)i + 1; /* among equal blocks the first one stays */
    }
    match->is_filled = true;
}

void flo_tensor_match_close(struct tensor_match *match)
{
    if (match != NULL) {
        free(match->blocks);
        free(match);
    }
}

/* A run of equal bytes in the old and the new file.  It begins as one equal
 * block and is then widened in both directions. */
struct run {
    uint64_t new_at;
    uint64_t old_at;
    uint64_t bytes;
};

static void widen(const struct delta_input *input, struct run *run, uint64_t low, uint64_t high)
{
    while (run->new_at > low && run->old_at > 0 &&
           input->new[run->new_at - 1] == input->old[run->old_at - 1]) {
        run->new_at--;
        run->old_at--;
        run->bytes++;
    }
    while (run->new_at + run->bytes < high && run->old_at + run->bytes < input->old_bytes &&
           input->new[run->new_at + run->bytes] == input->old[run->old_at + run->bytes]) {
        run->bytes++;
    }
}

/* Tells whether the old bytes around the packed piece contain the run.  `near`
 * is the old offset that is expected for the new offset `low`. */
static bool is_in_prefix(const struct run *run, uint64_t low, uint64_t near)
{
    uint64_t place = near + (run->new_at - low);
    uint64_t apart = run->old_at > place ? run->old_at - place : place - run->old_at;

    return apart < AROUND_BYTES_MIN / 2;
}

/* Compares the new bytes from `new_at` on with the old ones from `old_at` on.
 * Returns the highest score that some length reaches: the number of equal bytes
 * minus that of different ones. */
static int64_t likeness(const struct delta_input *input, uint64_t new_at, uint64_t old_at,
                        uint64_t high)
{
    uint64_t left = high - new_at;
    int64_t score = 0;
    int64_t best = 0;

    if (old_at >= input->old_bytes) {
        return 0;
    }
    left = left < LOOK_BYTES ? left : LOOK_BYTES;
    left = left < input->old_bytes - old_at ? left : input->old_bytes - old_at;
    for (uint64_t i = 0; i < left && score + LOOK_WORSE >= best; i++) {
        score += input->new[new_at + i] == input->old[old_at + i] ? 1 : -1;
        best = score > best ? score : best;
    }
    return best;
}

/* Ways to use a run of equal bytes. */
enum use {
    USE_NONE,
    USE_COPY, /* the run is copied as a part of its own */
    USE_PLACE /* the run is not copied, but packed with the old bytes around it */
};

/* Tells whether the index is longer than planned for the new bytes before
 * `new_at`.  If so, only runs of at least PACK_BYTES are used. */
static bool is_crowded(const struct tensor_match *match, const struct tensor_plan *plan,
                       uint64_t new_at)
{
    uint64_t share = INDEX_BYTES_SHARED * new_at / match->input->new_bytes;

    return plan->index_bytes > INDEX_BYTES_FREE + share;
}

static enum use use_of(const struct tensor_match *match, const struct tensor_plan *plan,
                       const struct run *run, uint64_t low, uint64_t high, uint64_t near)
{
    const struct delta_input *input = match->input;
    bool is_near = is_in_prefix(run, low, near);

    if (is_crowded(match, plan, run->new_at)) {
        return run->bytes >= PACK_BYTES ? USE_COPY : USE_NONE;
    }
    if (run->bytes >= (is_near ? COPY_BYTES_NEAR_MIN : COPY_BYTES_MIN)) {
        return USE_COPY;
    }
    if (is_near) {
        return USE_NONE;
    }
    int64_t there = likeness(input, run->new_at, run->old_at, high);
    int64_t here = likeness(input, run->new_at, near + (run->new_at - low), high);
    return there - here >= COPY_BYTES_MIN ? USE_PLACE : USE_NONE;
}

/* Finds the next useful run between the new offsets `low` and `high`.  `near`
 * is the old offset that is expected for `low`. */
static enum use find_run(const struct tensor_match *match, const struct tensor_plan *plan,
                         uint64_t low, uint64_t high, uint64_t near, struct run *run)
{
    const struct delta_input *input = match->input;
    size_t size = match->block_bytes;

    if (high - low < size) {
        return USE_NONE;
    }
    uint64_t hash = hash_of(match, input->new + low);
    for (uint64_t at = low;; at++) {
        uint32_t block = *place_of(match, hash);
        uint64_t old_at = block == 0 ? 0 : (uint64_t)(block - 1) * size;
        if (block != 0 && memcmp(input->new + at, input->old + old_at, size) == 0) {
            *run = (struct run){at, old_at, size};
            widen(input, run, low, high);
            enum use use = use_of(match, plan, run, low, high, near);
            if (use != USE_NONE) {
                return use;
            }
            if (run->bytes > size) { /* the search continues at the run's end */
                at = run->new_at + run->bytes - size;
                hash = hash_of(match, input->new + at);
            }
        }
        if (at + size >= high) {
            return USE_NONE;
        }
        hash = hash * FACTOR + input->new[at + size] + 1 -
               match->out_factor *((uint64_t)input->new[at] + 1);
    }
}

static uint64_t around_of(uint64_t new_bytes)
{
    uint64_t around = new_bytes * AROUND_FACTOR;

    return around < AROUND_BYTES_MIN ? AROUND_BYTES_MIN
           : around < AROUND_BYTES   ? around
                                     : AROUND_BYTES;
}

/* Adds bytes to pack, in pieces.  Each piece refers to the old bytes around its
 * expected offset, which is `near` for the first byte. */
static void add_packed(const struct tensor_match *match, struct tensor_plan *plan, uint64_t new_at,
                       uint64_t bytes, uint64_t near)
{
    uint64_t old_bytes = match->input->old_bytes;

    for (uint64_t at = 0; at < bytes; at += PACK_BYTES) {
        struct tensor_entry part = {.op = TENSOR_PACKED, .new_at = new_at + at};
        uint64_t left = bytes - at;
        part.new_bytes = left < PACK_BYTES ? left : PACK_BYTES;
        uint64_t around = around_of(part.new_bytes);
        uint64_t from = near + at < old_bytes ? near + at : old_bytes;
        uint64_t to = from + part.new_bytes + around;
        from = from > around ? from - around : 0;
        part.old_at = from;
        part.near_bytes = near + at < from ? 0 : near + at - from;
        part.old_bytes = (to < old_bytes ? to : old_bytes) - from;
        flo_tensor_plan_add(plan, &part);
    }
}

static bool is_zero(const uint8_t *data, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i++) {
        if (data[i] != 0) {
            return false;
        }
    }
    return true;
}

static bool is_copy(const struct delta_input *input, uint64_t new_at, uint64_t bytes, uint64_t near)
{
    return near <= input->old_bytes && bytes <= input->old_bytes - near &&
           memcmp(input->new + new_at, input->old + near, (size_t)bytes) == 0;
}

void flo_tensor_match_plan(struct tensor_match *match, struct tensor_plan *plan, uint64_t new_at,
                           uint64_t bytes, uint64_t near)
{
    const struct delta_input *input = match->input;
    uint64_t high = new_at + bytes;
    struct run run;

    if (bytes == 0) {
        return;
    }
    if (is_copy(input, new_at, bytes, near)) {
        flo_tensor_plan_copy(plan, new_at, near, bytes);
        return;
    }
    if (is_zero(input->new + new_at, bytes)) {
        flo_tensor_plan_add(
            plan, &(struct tensor_entry){.op = TENSOR_ZERO, .new_at = new_at, .new_bytes = bytes});
        return;
    }
    if (!match->is_filled) {
        fill(match);
    }
    enum use use;
    while ((use = find_run(match, plan, new_at, high, near, &run)) != USE_NONE) {
        uint64_t copied = use == USE_COPY ? run.bytes : 0;
        add_packed(match, plan, new_at, run.new_at - new_at, near);
        if (copied > 0) {
            flo_tensor_plan_copy(plan, run.new_at, run.old_at, copied);
        }
        new_at = run.new_at + copied;
        near = run.old_at + copied;
    }
    add_packed(match, plan, new_at, high - new_at, near);
}
