/* Typed patches by hand: a sound one taken apart, one thing changed, and put
 * together again with right lengths and digests, so that the checks behind
 * those are reached. */
#ifndef FLOTILLA_TEST_PATCH_HELP_H
#define FLOTILLA_TEST_PATCH_HELP_H

#include "model_help.h"
#include "updater/delta/tensor/format.h"

#define PATCH_PARTS_MAX 64

/* An update of three tensors with a new text, and its patch. */
struct patch_story {
    struct bytes old;
    struct bytes new;
    struct flo_buf patch;
};
struct patch_story patch_story_of(uint64_t columns, uint64_t rows);
void patch_story_end(struct patch_story *story);

struct patch_part {
    struct tensor_entry entry;
    uint8_t new_hash[TENSOR_HASH_BYTES];
    uint8_t payload_hash[TENSOR_HASH_BYTES];
    struct flo_buf payload;
    /* Lies of the index. */
    unsigned width;  /* least bytes of the entry's first number */
    bool has_move;   /* in place of the difference that is right */
    uint64_t move;   /* as it stands there */
    uint64_t states; /* length of its payload; 0: the right one */
    uint8_t op_byte; /* where it is none of ours */
    bool has_op_byte;
};

struct patch {
    struct tensor_head head;
    size_t count;
    struct patch_part parts[PATCH_PARTS_MAX];
    struct flo_buf behind;       /* bytes at the index's end */
    int parts_more;              /* that the head names, and are not there */
    bool is_packed;              /* the index is a zstd frame */
    struct flo_buf frame_behind; /* bytes behind that frame */
};
/* Take a sound patch apart; patch_free. */
struct patch *patch_of(const struct flo_buf *file);
void patch_free(struct patch *patch);
/* The patch's file.  Sums, counts and digests of index and head are made;
 * hashes of parts and payloads stay what they are. */
void patch_seal(const struct patch *patch, struct flo_buf *out);
/* Give the part this payload, with its hash. */
void patch_payload(struct patch_part *part, const void *data, size_t bytes);
/* The first part of this kind from `from` on; fails the test without one. */
size_t patch_find(const struct patch *patch, enum tensor_op op, size_t from);
/* The part is left out, or stands there twice. */
void patch_drop(struct patch *patch, size_t at);
void patch_double(struct patch *patch, size_t at);

/* ---- a patch that lies ---- */

/* A patch with parts of each kind, in this order: packed, typed and two more of
 * its group, zero, copy (up to the old file's end), plain, typed. */
enum { PACKED, TYPED, MORE_A, MORE_B, ZERO, COPY, PLAIN, AGAIN, PARTS };

struct hostile {
    struct patch_story story;
    struct flo_buf new;
    struct patch *patch;
    bool has_new_bytes; /* that the job expects; else those of `new` */
    uint64_t new_bytes;
};

int hostile_set_up(void **state);
int hostile_tear_down(void **state);
/* Apply it: the code is this one, and the bytes that came out are those of the
 * new file, no more of them than it has.  The same in 8 MiB. */
#define HOSTILE_ANY_ERROR 1 /* where more than one may be seen first */
void hostile_play(const struct hostile *hostile, int expected);
void hostile_play_file(const struct hostile *hostile, const struct flo_buf *file, int expected);

#endif
