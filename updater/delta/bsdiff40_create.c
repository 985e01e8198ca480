/* BSDIFF40 encoder: makes a patch that Debian's bspatch applies.
 *
 * The idea is Percival's ("Naive differences of executable code", 2003).  Find
 * places where the new file runs parallel to the old one, even with many
 * changed bytes.  Write the bytewise difference, which is mostly zeros.
 *
 * While the present alignment (old offset minus new offset) keeps matching,
 * there is no search.  When it fails, the longest match of the following bytes
 * is looked up.  It becomes the next alignment when it explains over GAIN_BYTES
 * more bytes than the present one.  The bytes between two alignments are
 * divided: the old one extends forward and the new one backward while more than
 * half of the bytes agree.  The rest is inserted. */
#include "updater/delta/match.h"
#include "updater/delta/sink.h"

#include <stdlib.h>
#include <string.h>

#include <bzlib.h>

#define GAIN_BYTES 8
/* Length of an exact run of equal bytes that is accepted without a search. */
#define SURE_BYTES 32
#define LEVEL 9
#define PIECE_BYTES (64u << 10)

/* A bzip2 stream that is built in memory. */
struct packer {
    bz_stream stream;
    struct flo_buf out;
    bool is_open;
};

struct create {
    const struct delta_input *input;
    struct match_index *index;
    struct packer control;
    struct packer diff;
    struct packer extra;
    uint8_t piece[PIECE_BYTES];
    char coded[PIECE_BYTES];
};

/* ---- packing ---- */

static int packer_open(struct packer *packer, struct flo_err *err)
{
    packer->out.bytes_max = SIZE_MAX / 4;
    if (BZ2_bzCompressInit(&packer->stream, LEVEL, 0, 0) != BZ_OK) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to compress");
    }
    packer->is_open = true;
    return 0;
}

static void packer_close(struct packer *packer)
{
    if (packer->is_open) {
        (void)BZ2_bzCompressEnd(&packer->stream);
    }
    flo_buf_deinit(&packer->out);
}

/* Compresses bytes into the packer's buffer.  BZ_RUN consumes all of `data`;
 * BZ_FINISH writes the rest of the stream. */
static int packer_run(struct create *create, struct packer *packer, const void *data, size_t bytes,
                      int action, struct flo_err *err)
{
    char *in;
    int result;

    memcpy(&in, &data, sizeof in); /* bzip2's input is char *, but is only read */
    packer->stream.next_in = in;
    packer->stream.avail_in = (unsigned)bytes;
    do {
        packer->stream.next_out = create->coded;
        packer->stream.avail_out = sizeof create->coded;
        result = BZ2_bzCompress(&packer->stream, action);
        flo_buf_add(&packer->out, create->coded, sizeof create->coded - packer->stream.avail_out);
        if (result < 0 || packer->out.failed) {
            return flo_fail(err, FLO_E_MEMORY, "no memory to compress");
        }
    } while (packer->stream.avail_in > 0 || result == BZ_FINISH_OK);
    return 0;
}

static int pack(struct create *create, struct packer *packer, const void *data, uint64_t bytes,
                struct flo_err *err)
{
    const uint8_t *p = data;

    while (bytes > 0) {
        size_t count = bytes < PIECE_BYTES ? (size_t)bytes : PIECE_BYTES;
        FLO_TRY(packer_run(create, packer, p, count, BZ_RUN, err));
        p += count;
        bytes -= count;
    }
    return 0;
}

static int pack_difference(struct create *create, const uint8_t *new, const uint8_t *old,
                           uint64_t bytes, struct flo_err *err)
{
    while (bytes > 0) {
        size_t count = bytes < PIECE_BYTES ? (size_t)bytes : PIECE_BYTES;
        for (size_t i = 0; i < count; i++) {
            create->piece[i] = (uint8_t)(new[i] - old[i]);
        }
        FLO_TRY(packer_run(create, &create->diff, create->piece, count, BZ_RUN, err));
        new += count;
        old += count;
        bytes -= count;
    }
    return 0;
}

/* ---- alignments ---- */

/* An alignment: from `new_offset` on, the new file runs parallel to the old
 * file from `old_offset` on. */
struct alignment {
    uint64_t new_offset;
    uint64_t old_offset;
};

static bool agrees(const struct delta_input *input, const struct alignment *alignment,
                   uint64_t new_offset)
{
    uint64_t old_offset = alignment->old_offset + (new_offset - alignment->new_offset);

    return old_offset < input->old_bytes && input->old[old_offset] == input->new[new_offset];
}

/* Returns the length of the exact match from `new_offset` on, at most `max`. */
static uint64_t sure_run(const struct delta_input *input, const struct alignment *alignment,
                         uint64_t new_offset, uint64_t max)
{
    uint64_t left = input->new_bytes - new_offset;
    uint64_t run = 0;

    max = max < left ? max : left;
    while (run < max && agrees(input, alignment, new_offset + run)) {
        run++;
    }
    return run;
}

/* Searches from `scan` on for a better alignment than `now`.  Returns false at
 * the end of the new file.  Sets *run to the length of the alignment's exact
 * match. */
static bool find_next(const struct create *create, const struct alignment *now, uint64_t scan,
                      struct alignment *next, uint64_t *run)
{
    const struct delta_input *input = create->input;
    uint64_t counted = scan; /* end of the range [scan, counted) with `score` equal bytes */
    uint64_t score = 0;

    while (scan < input->new_bytes) {
        uint64_t sure = sure_run(input, now, scan, SURE_BYTES);
        if (sure == SURE_BYTES) {
            sure = sure_run(input, now, scan, UINT64_MAX);
            scan += sure;
            counted = scan;
            score = 0;
            continue;
        }
        uint64_t where = 0;
        uint64_t length =
            flo_match_longest(create->index, input->new + scan, input->new_bytes - scan, &where);
        for (; counted < scan + length; counted++) {
            score += agrees(input, now, counted);
        }
        if (length > score + GAIN_BYTES) {
            next->new_offset = scan;
            next->old_offset = where;
            *run = length;
            return true;
        }
        if (length > 0 && length == score) {
            scan += length; /* the present alignment already explains all these bytes */
            counted = scan;
            score = 0;
            continue;
        }
        if (counted > scan) {
            score -= agrees(input, now, scan);
        } else {
            counted = scan + 1;
        }
        scan++;
    }
    next->new_offset = input->new_bytes;
    next->old_offset = 0;
    return false;
}

/* Returns how many bytes to extend `now` forward, at most to `limit` in the new
 * file.  The best length has the largest value of twice the equal bytes minus
 * the length. */
static uint64_t reach_forward(const struct delta_input *input, const struct alignment *now,
                              uint64_t limit)
{
    int64_t balance = 0;
    int64_t best = 0;
    uint64_t reach = 0;

    for (uint64_t i = 0; now->new_offset + i < limit && now->old_offset + i < input->old_bytes;
         i++) {
        bool same = input->old[now->old_offset + i] == input->new[now->new_offset + i];
        balance += same ? 1 : -1;
        if (balance > best) {
            best = balance;
            reach = i + 1;
        }
    }
    return reach;
}

static uint64_t reach_backward(const struct delta_input *input, const struct alignment *next,
                               uint64_t limit)
{
    int64_t balance = 0;
    int64_t best = 0;
    uint64_t reach = 0;

    for (uint64_t i = 1; next->new_offset - limit >= i && next->old_offset >= i; i++) {
        bool same = input->old[next->old_offset - i] == input->new[next->new_offset - i];
        balance += same ? 1 : -1;
        if (balance > best) {
            best = balance;
            reach = i;
        }
    }
    return reach;
}

/* Divides `overlap` bytes to which the alignments `now` and `next` both reach.
 * Returns how many of the first ones go to `now`, so that most bytes equal the
 * old file's. */
static uint64_t cut_overlap(const struct delta_input *input, const struct alignment *now,
                            const struct alignment *next, uint64_t begin, uint64_t overlap)
{
    int64_t balance = 0;
    int64_t best = 0;
    uint64_t cut = 0;

    for (uint64_t i = 0; i < overlap; i++) {
        uint8_t byte = input->new[begin + i];
        uint64_t left = now->old_offset + (begin + i - now->new_offset);
        uint64_t right = next->old_offset - (next->new_offset - begin - i);
        balance += input->old[left] == byte;
        balance -= input->old[right] == byte;
        if (balance > best) {
            best = balance;
            cut = i + 1;
        }
    }
    return cut;
}

/* ---- the patch ---- */

/* Writes the new file's bytes that `now` covers, and those between `now` and
 * `next`.  Moves the beginning of `next` back over the bytes that `next` covers
 * as well. */
static int write_stretch(struct create *create, const struct alignment *now, struct alignment *next,
                         bool is_last, struct flo_err *err)
{
    const struct delta_input *input = create->input;
    uint64_t add = reach_forward(input, now, next->new_offset);
    uint64_t back = is_last ? 0 : reach_backward(input, next, now->new_offset);
    uint64_t add_end = now->new_offset + add;
    uint64_t back_begin = next->new_offset - back;

    if (add_end > back_begin) {
        uint64_t cut = cut_overlap(input, now, next, back_begin, add_end - back_begin);
        add = back_begin + cut - now->new_offset;
        back = next->new_offset - back_begin - cut;
        add_end = now->new_offset + add;
        back_begin = next->new_offset - back;
    }
    uint64_t insert = back_begin - add_end;
    uint64_t old_end = now->old_offset + add;
    next->new_offset -= back;
    next->old_offset = is_last ? old_end : next->old_offset - back;

    uint8_t triple[24];
    flo_bsdiff40_put(triple, (int64_t)add);
    flo_bsdiff40_put(triple + 8, (int64_t)insert);
    flo_bsdiff40_put(triple + 16, (int64_t)(next->old_offset - old_end));
    FLO_TRY(pack(create, &create->control, triple, sizeof triple, err));
    FLO_TRY(pack_difference(create, input->new + now->new_offset, input->old + now->old_offset, add,
                            err));
    return pack(create, &create->extra, input->new + add_end, insert, err);
}

static int write_all(struct create *create, struct flo_err *err)
{
    struct alignment now = {0, 0};
    uint64_t scan = 0;
    bool found = true;

    while (found && create->input->new_bytes > 0) {
        struct alignment next;
        uint64_t run = 0;
        found = find_next(create, &now, scan, &next, &run);
        scan = next.new_offset + run;
        FLO_TRY(write_stretch(create, &now, &next, !found, err));
        now = next;
    }
    return 0;
}

static int write_patch(struct create *create, int fd, struct flo_err *err)
{
    struct packer *packers[] = {&create->control, &create->diff, &create->extra};
    uint8_t head[BSDIFF40_HEAD_BYTES] = "BSDIFF40";

    for (size_t i = 0; i < FLO_COUNT(packers); i++) {
        FLO_TRY(packer_run(create, packers[i], NULL, 0, BZ_FINISH, err));
    }
    flo_bsdiff40_put(head + 8, (int64_t)create->control.out.bytes);
    flo_bsdiff40_put(head + 16, (int64_t)create->diff.out.bytes);
    flo_bsdiff40_put(head + 24, (int64_t)create->input->new_bytes);
    int rv = flo_fd_write_all(fd, head, sizeof head, err);
    for (size_t i = 0; rv == 0 && i < FLO_COUNT(packers); i++) {
        rv = flo_fd_write_all(fd, packers[i]->out.data, packers[i]->out.bytes, err);
    }
    return rv < 0 ? flo_wrap(err, rv, "patch") : 0;
}

static int create_run(struct create *create, int fd, struct flo_err *err)
{
    const struct delta_input *input = create->input;

    FLO_TRY(packer_open(&create->control, err));
    FLO_TRY(packer_open(&create->diff, err));
    FLO_TRY(packer_open(&create->extra, err));
    FLO_TRY(flo_match_index_open(input->old, input->old_bytes, MATCH_NARROW_BYTES_MAX,
                                 &create->index, err));
    FLO_TRY(write_all(create, err));
    return write_patch(create, fd, err);
}

int flo_delta_bsdiff40_create(const struct delta_input *input, int fd, struct flo_err *err)
{
    struct create *create = calloc(1, sizeof *create);

    if (create == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory to make a patch");
    }
    create->input = input;
    int rv = create_run(create, fd, err);
    flo_match_index_close(create->index);
    packer_close(&create->control);
    packer_close(&create->diff);
    packer_close(&create->extra);
    free(create);
    return rv;
}
