/* Vocabulary: a checksum of a model's tokens, by which a draft file names the
 * vocabulary it belongs to. */
#include <flotilla/drafter.h>

#include "base/fnv.h"

/* Adds a token's length and bytes. */
static uint64_t add_token(uint64_t sum, const struct flo_buf *text)
{
    uint8_t length[4];

    flo_put_u32(length, (uint32_t)text->bytes);
    return flo_fnv1a(flo_fnv1a(sum, length, sizeof(length)), text->data, text->bytes);
}

uint64_t flo_vocabulary_checksum(const struct flo_engine *engine)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    const struct flo_engine_info *info = flo_engine_info(engine);
    uint64_t sum = FLO_FNV_BASIS;

    for (int32_t token = 0; (uint32_t)token < info->n_vocab; token++) {
        text.bytes = 0;
        if (flo_engine_detokenise(engine, &token, 1, true, &text, NULL) < 0 || text.failed) {
            return 0;
        }
        sum = add_token(sum, &text);
    }
    return sum == 0 ? 1 : sum;
}
