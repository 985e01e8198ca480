/* Draft table: guesses of the next tokens, from token sequences that were
 * frequent in the model's own answers.
 *
 * A context is the last 1 to 8 tokens in front of a position.  A slot has a
 * context, the token that followed it most often, and how often it did.  The
 * longest known context decides: if its token followed in at least half of the
 * cases, the token is guessed, and else nothing is.  A publisher makes the file
 * (engine/publish/draft/table_make.h); a device only reads it.
 *
 * The file is little-endian and has exactly the size of head and slots.
 *
 *   head, 40 bytes
 *    0 "FLODRAFT"
 *    8 u32 version of the format: 1
 *   12 u32 number of tokens of the vocabulary
 *   16 u64 checksum of the vocabulary (flo_vocabulary_checksum())
 *   24 u32 number of tokens of the longest context, 1 to 8
 *   28 u32 binary logarithm of the number of slots, at most 22
 *   32 u32 number of contexts, which is that of the used slots
 *   36 u32 0
 *   slot, 12 bytes
 *    0 u32 upper half of the context's hash
 *    4 u32 token that followed the context most often
 *    8 u16 share of the cases in which it did, 65535 for all of them
 *   10 u16 number of tokens of the context; 0: the slot is empty
 *
 * A context is at the slot with the number that the lower bits of its hash
 * give.  If this slot has another context, it is at one of the next 127 slots;
 * the first slot follows the last one.  No empty slot is in between. */
#ifndef FLOTILLA_ENGINE_DRAFT_TABLE_H
#define FLOTILLA_ENGINE_DRAFT_TABLE_H

#include <flotilla/base.h>

#include "engine/sample/random.h"

#define FLO_DRAFT_MAGIC "FLODRAFT"
#define FLO_DRAFT_VERSION 1u
#define FLO_DRAFT_HEAD_BYTES 40u
#define FLO_DRAFT_SLOT_BYTES 12u
#define FLO_DRAFT_CONTEXT_MAX 8u     /* tokens of a context */
#define FLO_DRAFT_SLOTS_LOG2_MAX 22u /* binary logarithm of the most slots */
#define FLO_DRAFT_PROBES_MAX 128u    /* slots at which a context may be */
#define FLO_DRAFT_SHARE_MAX 65535u   /* share of a token that always followed */
#define FLO_DRAFT_SHARE_SURE 32768u  /* least share of a token that is guessed: one half */

/* Returns the hash of a context with one more token.  A context's tokens are
 * added from its last one to its first one, and the hash of no token is 0.
 * This is a step of splitmix64, so it is the same on every CPU. */
static inline uint64_t flo_draft_hash(uint64_t hash, int32_t token)
{
    struct flo_random_stream stream = {hash + (uint32_t)token};

    return flo_random_next(&stream);
}

struct flo_draft_table;

/* Reads a table into memory.  `n_vocab` and `checksum` are those of the model's
 * vocabulary.  The descriptor stays the caller's and may be closed at once.
 *
 * FLO_E_DRAFT_UNFIT    the file is no table, is damaged, or belongs to another
 *                      vocabulary
 * FLO_E_MEMORY_BUDGET  the table needs more than bytes_max; 0: no budget
 * FLO_E_MEMORY, FLO_E_IO_READ */
FLO_MUST_USE int flo_draft_table_open(int fd, uint32_t n_vocab, uint64_t checksum,
                                      uint64_t bytes_max, struct flo_draft_table **out,
                                      struct flo_err *err);
/* Frees the table; NULL is allowed. */
void flo_draft_table_close(struct flo_draft_table *table);
/* Returns the table's memory in bytes, which is the size of its file. */
uint64_t flo_draft_table_bytes(const struct flo_draft_table *table);
uint32_t flo_draft_table_contexts(const struct flo_draft_table *table);
/* Guesses the tokens after the `count` tokens of a sequence, each from the
 * tokens before it, guesses included.  Writes at most `most` of them to `out`,
 * which may be the place behind `tokens`, and returns their number.  Each is
 * less than n_vocab.  May be called from several threads at once. */
uint32_t flo_draft_table_guess(const struct flo_draft_table *table, const int32_t *tokens,
                               uint32_t count, int32_t *out, uint32_t most);
/* Tells whether a file that begins with these bytes is a table. */
bool flo_draft_table_is(const void *head, size_t bytes);

#endif
