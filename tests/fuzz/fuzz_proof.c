/* Proofs: one that holds is what flo_proof_add makes of the same message. */
#include <string.h>

#include "proto/proof.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct flo_proof_key key = {.controller = "0123abcd",
                                             .device = "0123456789abcdef"};
    const char *text = (const char *)data;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) message = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) again = {0};
    struct flo_proof proof;

    if (!flo_proof_find(text, bytes, &proof)) {
        return 0;
    }
    must(proof.before < bytes && proof.number <= FLO_PROOF_NUMBER_MAX);
    if (flo_proof_holds(&proof, &key, "a/topic", text)) {
        flo_buf_add(&message, text, proof.before);
        flo_buf_add(&message, "}", 1);
        flo_proof_add(&key, "a/topic", proof.number, message.data, message.bytes, &again);
        must(again.bytes == bytes && memcmp(again.data, text, bytes) == 0);
    }
    return 0;
}
