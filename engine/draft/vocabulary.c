/* Vocabulary: a checksum of a model's tokens, by which a draft file names the
 * vocabulary it belongs to. */
#include <flotilla/drafter.h>

/* 64-bit FNV-1a. */
#define BASIS 0xcbf29ce484222325u
#define PRIME 0x100000001b3u

static uint64_t add(uint64_t sum, const char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        sum = (sum ^ (unsigned char)data[i]) * PRIME;
    }
    return sum;
}

/* Adds a token's length and bytes. */
static uint64_t add_token(uint64_t sum, const struct flo_buf *text)
{
    const char length[4] = {(char)text->bytes, (char)(text->bytes >> 8), (char)(text->bytes >> 16),
                            (char)(text->bytes >> 24)};

    return add(add(sum, length, sizeof(length)), text->data, text->bytes);
}

uint64_t flo_vocabulary_checksum(const struct flo_engine *engine)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    const struct flo_engine_info *info = flo_engine_info(engine);
    uint64_t sum = BASIS;

    for (int32_t token = 0; (uint32_t)token < info->n_vocab; token++) {
        text.bytes = 0;
        if (flo_engine_detokenise(engine, &token, 1, true, &text, NULL) < 0 || text.failed) {
            return 0;
        }
        sum = add_token(sum, &text);
    }
    return sum == 0 ? 1 : sum;
}
