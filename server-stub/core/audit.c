/* Audit: hashing a record, walking the chain. */
#include <string.h>

#include "base/host/digest.h"

#include "server-stub/core/audit.h"

/* hash = SHA-256(hash, SHA-256(data)): no two records have one text. */
static void add(struct flo_digest *hash, const void *data, size_t bytes)
{
    struct flo_digest pair[2] = {*hash, {{0}}};

    flo_sha256(data, bytes, &pair[1]);
    flo_sha256(pair, sizeof(pair), hash);
}

void flo_audit_hash(const struct flo_audit_record *record,
                    struct flo_digest *out)
{
    const char *const texts[] = {record->who, record->what, record->object,
                                 record->result, record->detail};
    uint8_t numbers[16];

    flo_put_u64(numbers, record->number);
    flo_put_u64(numbers + 8, record->at_ms);
    *out = record->previous;
    add(out, numbers, sizeof(numbers));
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        add(out, texts[i], strlen(texts[i]));
    }
}

int flo_audit_walk_next(struct flo_audit_walk *walk,
                        const struct flo_audit_record *record,
                        const struct flo_digest *hash, struct flo_err *err)
{
    struct flo_digest computed;

    if (record->number != walk->number + 1) {
        return flo_fail(err, FLO_E_AUDIT_CHAIN,
                        "audit record %llu is followed by %llu",
                        (unsigned long long)walk->number,
                        (unsigned long long)record->number);
    }
    flo_audit_hash(record, &computed);
    if (!flo_digest_equal(&record->previous, &walk->head) ||
        !flo_digest_equal(&computed, hash)) {
        return flo_fail(err, FLO_E_AUDIT_CHAIN, "audit record %llu was changed",
                        (unsigned long long)record->number);
    }
    walk->number = record->number;
    walk->head = computed;
    return 0;
}
