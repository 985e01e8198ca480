/* Audit: hashes records, walks their chain, and compares it with
 * checkpoints. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/audit.h>

#include "base/host/digest.h"

#include "server-stub/core/audit.h"

/* Computes hash = SHA-256(hash, SHA-256(data)).  Hashing each field first keeps
 * two different records from having one input text. */
static void add(struct flo_digest *hash, const void *data, size_t bytes)
{
    struct flo_digest pair[2] = {*hash, {{0}}};

    flo_sha256(data, bytes, &pair[1]);
    flo_sha256(pair, sizeof(pair), hash);
}

void flo_audit_hash(const struct flo_audit_record *record, struct flo_digest *out)
{
    const char *const texts[] = {record->who, record->what, record->object, record->result,
                                 record->detail};
    uint8_t numbers[16];

    flo_put_u64(numbers, record->number);
    flo_put_u64(numbers + 8, record->at_ms);
    *out = record->previous;
    add(out, numbers, sizeof(numbers));
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        add(out, texts[i], strlen(texts[i]));
    }
}

int flo_audit_walk_next(struct flo_audit_walk *walk, const struct flo_audit_record *record,
                        const struct flo_digest *hash, struct flo_err *err)
{
    struct flo_digest computed;

    assert(walk != NULL && record != NULL);
    if (record->number != walk->number + 1) {
        return flo_fail(err, FLO_E_AUDIT_CHAIN, "audit record %llu is followed by %llu",
                        (unsigned long long)walk->number, (unsigned long long)record->number);
    }
    flo_audit_hash(record, &computed);
    if (!flo_digest_equal(&record->previous, &walk->head) || !flo_digest_equal(&computed, hash)) {
        return flo_fail(err, FLO_E_AUDIT_CHAIN, "audit record %llu was changed",
                        (unsigned long long)record->number);
    }
    walk->number = record->number;
    walk->head = computed;
    return 0;
}

/* ---- marks ---- */

void flo_audit_checkpoint_text(const struct flo_audit_checkpoint *checkpoint, char *out)
{
    char hash[FLO_DIGEST_TEXT];

    flo_digest_text(&checkpoint->hash, hash);
    snprintf(out, FLO_AUDIT_CHECKPOINT_TEXT, "%s %llu %s %llu",
             checkpoint->is_restart ? "restart"
             : checkpoint->is_seals ? "seals"
                                    : "head",
             (unsigned long long)checkpoint->number, hash, (unsigned long long)checkpoint->at_ms);
}

void flo_audit_line(const struct flo_audit_checkpoint *checkpoint, const uint8_t *signature,
                    char *out)
{
    char text[FLO_AUDIT_CHECKPOINT_TEXT];
    char hex[2 * FLO_AUDIT_SIGNATURE_BYTES + 1];

    flo_audit_checkpoint_text(checkpoint, text);
    flo_hex_encode(signature, FLO_AUDIT_SIGNATURE_BYTES, hex);
    snprintf(out, FLO_AUDIT_LINE_TEXT, "%s %s\n", text, hex);
}

/* Parses a line.  The text that the parsed numbers give must equal the line, so
 * each checkpoint has one form. */
bool flo_audit_line_parse(const char *line, size_t bytes, struct flo_audit_checkpoint *out,
                          uint8_t *signature)
{
    char again[FLO_AUDIT_LINE_TEXT];
    char text[FLO_AUDIT_LINE_TEXT];
    char word[9];
    char hash[FLO_DIGEST_TEXT];
    char hex[2 * FLO_AUDIT_SIGNATURE_BYTES + 1];
    unsigned long long number;
    unsigned long long at_ms;

    if (bytes >= sizeof(text) || memchr(line, '\0', bytes) != NULL) {
        return false;
    }
    memcpy(text, line, bytes);
    text[bytes] = '\0';
    if (sscanf(text, "%8s %llu %71s %llu %128s", word, &number, hash, &at_ms, hex) != 5 ||
        strlen(hex) != sizeof(hex) - 1 || !flo_digest_parse(hash, &out->hash) ||
        !flo_hex_decode(hex, signature, FLO_AUDIT_SIGNATURE_BYTES)) {
        return false;
    }
    out->is_restart = strcmp(word, "restart") == 0;
    out->is_seals = strcmp(word, "seals") == 0;
    out->number = number;
    out->at_ms = at_ms;
    flo_audit_line(out, signature, again);
    again[strlen(again) - 1] = '\0';
    return strcmp(again, text) == 0;
}

bool flo_audit_checkpoints_add(struct flo_audit_checkpoint *checkpoints, size_t *count,
                               const struct flo_audit_checkpoint *checkpoint)
{
    assert(checkpoints != NULL && count != NULL);
    while (checkpoint->is_restart && *count > 0 &&
           checkpoints[*count - 1].number >= checkpoint->number) {
        --*count;
    }
    if (*count > 0 && checkpoints[*count - 1].number >= checkpoint->number) {
        return false;
    }
    if (checkpoint->number > 0) { /* the checkpoint of a restart at number 0 is
                                     not stored, as no record precedes it */
        checkpoints[(*count)++] = *checkpoint;
    }
    return true;
}

int flo_audit_checkpoints_compare(const struct flo_audit_checkpoint *checkpoints, size_t count,
                                  size_t *next, const struct flo_audit_walk *walk,
                                  struct flo_err *err)
{
    assert(*next <= count);
    while (*next < count && checkpoints[*next].number < walk->number) {
        ++*next;
    }
    if (*next == count || checkpoints[*next].number != walk->number ||
        flo_digest_equal(&checkpoints[*next].hash, &walk->head)) {
        return 0;
    }
    return flo_fail(err, FLO_E_AUDIT_CHAIN,
                    "audit record %llu is another one than the signed head "
                    "says: the chain up to it was written again",
                    (unsigned long long)walk->number);
}

int flo_audit_checkpoints_end(const struct flo_audit_checkpoint *checkpoints, size_t count,
                              const struct flo_audit_walk *walk, struct flo_err *err)
{
    if (count == 0 || checkpoints[count - 1].number <= walk->number) {
        return 0;
    }
    return flo_fail(err, FLO_E_AUDIT_CHAIN,
                    "the audit ends at record %llu, record %llu was signed: "
                    "its end was cut off",
                    (unsigned long long)walk->number,
                    (unsigned long long)checkpoints[count - 1].number);
}
