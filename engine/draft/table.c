/* Draft table: reads a table (table.h) and guesses tokens from it.
 *
 * The table is read into memory and not mapped: the process that uses it may
 * map no further file, and a file that shrinks later does no harm. */
#include "engine/draft/table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/draft.h>
#include <flotilla/errors/memory.h>

struct flo_draft_table {
    uint32_t longest; /* tokens of the longest context */
    uint32_t contexts;
    uint32_t slots_log2;
    uint8_t slots[];
};

/* ---- checks ---- */

/* Numbers of a head. */
struct head {
    uint32_t n_vocab;
    uint64_t checksum;
    uint32_t longest, slots_log2, contexts;
};

bool flo_draft_table_is(const void *head, size_t bytes)
{
    size_t chars = strlen(FLO_DRAFT_MAGIC);

    return bytes >= chars && memcmp(head, FLO_DRAFT_MAGIC, chars) == 0;
}

static uint64_t file_bytes(uint32_t slots_log2)
{
    return FLO_DRAFT_HEAD_BYTES + ((uint64_t)FLO_DRAFT_SLOT_BYTES << slots_log2);
}

/* Checks the numbers of the head by themselves. */
static int check_numbers(const struct head *head, struct flo_err *err)
{
    if (head->longest < 1 || head->longest > FLO_DRAFT_CONTEXT_MAX) {
        return flo_fail(err, FLO_E_DRAFT_UNFIT, "the longest context has %u tokens, not 1 to %u",
                        head->longest, FLO_DRAFT_CONTEXT_MAX);
    }
    if (head->slots_log2 > FLO_DRAFT_SLOTS_LOG2_MAX) {
        return flo_fail(err, FLO_E_DRAFT_UNFIT, "2^%u slots, at most 2^%u", head->slots_log2,
                        FLO_DRAFT_SLOTS_LOG2_MAX);
    }
    if (head->contexts > 1u << head->slots_log2) {
        return flo_fail(err, FLO_E_DRAFT_UNFIT, "%u contexts in %u slots", head->contexts,
                        1u << head->slots_log2);
    }
    return 0;
}

static int read_head(const uint8_t *data, struct head *head, struct flo_err *err)
{
    uint32_t version = flo_get_u32(data + 8);

    if (!flo_draft_table_is(data, FLO_DRAFT_HEAD_BYTES)) {
        return flo_fail(err, FLO_E_DRAFT_UNFIT, "the file is no table of drafts");
    }
    if (version != FLO_DRAFT_VERSION) {
        return flo_fail(err, FLO_E_DRAFT_UNFIT, "a table of version %u, this program reads %u",
                        version, FLO_DRAFT_VERSION);
    }
    if (flo_get_u32(data + 36) != 0) {
        return flo_fail(err, FLO_E_DRAFT_UNFIT, "the head ends with %u, not 0",
                        flo_get_u32(data + 36));
    }
    *head = (struct head){
        .n_vocab = flo_get_u32(data + 12),
        .checksum = flo_get_u64(data + 16),
        .longest = flo_get_u32(data + 24),
        .slots_log2 = flo_get_u32(data + 28),
        .contexts = flo_get_u32(data + 32),
    };
    return check_numbers(head, err);
}

static int check_vocabulary(const struct head *head, uint32_t n_vocab, uint64_t checksum,
                            struct flo_err *err)
{
    return head->n_vocab == n_vocab && head->checksum == checksum
               ? 0
               : flo_fail(err, FLO_E_DRAFT_UNFIT,
                          "the table is for a vocabulary of %u tokens with checksum %016" PRIx64
                          ", the model's has %u and %016" PRIx64,
                          head->n_vocab, head->checksum, n_vocab, checksum);
}

static int check_slots(const struct flo_draft_table *table, uint32_t n_vocab, struct flo_err *err)
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < 1u << table->slots_log2; i++) {
        const uint8_t *slot = table->slots + (size_t)i * FLO_DRAFT_SLOT_BYTES;
        uint32_t token = flo_get_u32(slot + 4), length = flo_get_u16(slot + 10);
        if (length == 0) {
            continue;
        }
        if (length > table->longest || token >= n_vocab) {
            return flo_fail(err, FLO_E_DRAFT_UNFIT,
                            "slot %u has token %u after %u tokens; the vocabulary has %u, the "
                            "longest context %u",
                            i, token, length, n_vocab, table->longest);
        }
        used++;
    }
    return used == table->contexts
               ? 0
               : flo_fail(err, FLO_E_DRAFT_UNFIT, "%u slots are used, the head says %u", used,
                          table->contexts);
}

/* ---- opening ---- */

/* Reads the head, and checks that the file has the size that the head says. */
static int open_head(int fd, struct head *head, struct flo_err *err)
{
    uint8_t data[FLO_DRAFT_HEAD_BYTES];
    off_t end = lseek(fd, 0, SEEK_END);

    if (end < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "a table of drafts");
    }
    if ((uint64_t)end < sizeof(data)) {
        return flo_fail(err, FLO_E_DRAFT_UNFIT,
                        "a table of drafts has at least %zu bytes, not %lld", sizeof(data),
                        (long long)end);
    }
    FLO_TRY(flo_fd_pread_all(fd, data, sizeof(data), 0, err));
    FLO_TRY(read_head(data, head, err));
    return (uint64_t)end == file_bytes(head->slots_log2)
               ? 0
               : flo_fail(err, FLO_E_DRAFT_UNFIT, "%lld bytes, a table of 2^%u slots has %" PRIu64,
                          (long long)end, head->slots_log2, file_bytes(head->slots_log2));
}

int flo_draft_table_open(int fd, uint32_t n_vocab, uint64_t checksum, uint64_t bytes_max,
                         struct flo_draft_table **out, struct flo_err *err)
{
    struct flo_draft_table *table;
    struct head head = {0};

    FLO_TRY(open_head(fd, &head, err));
    FLO_TRY(check_vocabulary(&head, n_vocab, checksum, err));
    uint64_t bytes = file_bytes(head.slots_log2);
    if (bytes_max > 0 && bytes > bytes_max) {
        return flo_fail(err, FLO_E_MEMORY_BUDGET,
                        "a table of drafts needs %" PRIu64 " bytes, %" PRIu64 " are left", bytes,
                        bytes_max);
    }
    size_t slots_bytes = (size_t)bytes - FLO_DRAFT_HEAD_BYTES;
    table = malloc(sizeof(*table) + slots_bytes);
    if (table == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a table of drafts of %" PRIu64 " bytes", bytes);
    }
    table->longest = head.longest;
    table->contexts = head.contexts;
    table->slots_log2 = head.slots_log2;
    int rv = flo_fd_pread_all(fd, table->slots, slots_bytes, FLO_DRAFT_HEAD_BYTES, err);
    if (rv == 0) {
        rv = check_slots(table, n_vocab, err);
    }
    if (rv < 0) {
        flo_draft_table_close(table);
        return rv;
    }
    *out = table;
    return 0;
}

void flo_draft_table_close(struct flo_draft_table *table)
{
    free(table);
}

uint64_t flo_draft_table_bytes(const struct flo_draft_table *table)
{
    return file_bytes(table->slots_log2);
}

uint32_t flo_draft_table_contexts(const struct flo_draft_table *table)
{
    return table->contexts;
}

/* ---- guesses ---- */

/* Returns the slot of the context of `length` tokens, or NULL. */
static const uint8_t *find(const struct flo_draft_table *table, uint64_t hash, uint32_t length)
{
    uint32_t last = (1u << table->slots_log2) - 1;

    for (uint32_t i = 0; i < FLO_DRAFT_PROBES_MAX; i++) {
        uint32_t place = ((uint32_t)hash + i) & last;
        const uint8_t *slot = table->slots + (size_t)place * FLO_DRAFT_SLOT_BYTES;
        if (flo_get_u16(slot + 10) == 0) {
            return NULL;
        }
        if (flo_get_u32(slot) == hash >> 32 && flo_get_u16(slot + 10) == length) {
            return slot;
        }
    }
    return NULL;
}

/* Guesses the token after the `count` tokens in `last`, of which the last one
 * comes first.  Returns false if there is no guess. */
static bool guess_one(const struct flo_draft_table *table, const int32_t *last, uint32_t count,
                      int32_t *token)
{
    uint64_t hashes[FLO_DRAFT_CONTEXT_MAX + 1] = {0}; /* by the number of tokens */
    const uint8_t *slot = NULL;

    for (uint32_t i = 0; i < count; i++) {
        hashes[i + 1] = flo_draft_hash(hashes[i], last[i]);
    }
    for (uint32_t length = count; slot == NULL && length > 0; length--) {
        slot = find(table, hashes[length], length);
    }
    if (slot == NULL || flo_get_u16(slot + 8) < FLO_DRAFT_SHARE_SURE) {
        return false;
    }
    *token = (int32_t)flo_get_u32(slot + 4);
    return true;
}

uint32_t flo_draft_table_guess(const struct flo_draft_table *table, const int32_t *tokens,
                               uint32_t count, int32_t *out, uint32_t most)
{
    int32_t last[FLO_DRAFT_CONTEXT_MAX] = {0}; /* the last token comes first */
    uint32_t known = count < table->longest ? count : table->longest, made = 0;

    for (uint32_t i = 0; i < known; i++) {
        last[i] = tokens[count - 1 - i];
    }
    while (made < most && guess_one(table, last, known, &out[made])) {
        memmove(last + 1, last, sizeof(last) - sizeof(last[0]));
        last[0] = out[made++];
        known += known < table->longest ? 1 : 0;
    }
    return made;
}
