/* Charsmap: walks SentencePiece's double array. */
#include "engine/token/charsmap.h"

#include <string.h>

#include <flotilla/errors/gguf.h>

int flo_charsmap_open(const uint8_t *data, size_t bytes, struct flo_charsmap *out,
                      struct flo_err *err)
{
    size_t array = bytes >= 4 ? flo_get_u32(data) : 0;
    if (bytes < 4 || array % 4 != 0 || array == 0 || array > bytes - 4 || bytes - 4 == array ||
        data[bytes - 1] != 0) {
        return flo_fail(err, FLO_E_GGUF_VOCAB,
                        "a table of %zu bytes with an array of %zu and no text at its end", bytes,
                        array);
    }
    *out = (struct flo_charsmap){data + 4, array / 4, (const char *)data + 4 + array,
                                 bytes - 4 - array};
    return 0;
}

/* Returns a word of the array.  A place beyond it leads nowhere. */
static uint32_t word_at(const struct flo_charsmap *map, uint32_t at)
{
    return at < map->word_count ? flo_get_u32(map->words + 4 * (size_t)at) : 0;
}

static uint32_t base_of(uint32_t word)
{
    return (word >> 10) << ((word & (1u << 9)) >> 6);
}

size_t flo_charsmap_find(const struct flo_charsmap *map, const char *text, size_t bytes,
                         const char **replacement)
{
    if (map->word_count == 0) {
        return 0;
    }
    uint32_t at = base_of(word_at(map, 0));
    for (size_t i = 0; i < bytes && text[i] != '\0'; i++) {
        at ^= (uint8_t)text[i];
        uint32_t word = word_at(map, at);
        if ((word & 0x800000ffu) != (uint8_t)text[i]) {
            break;
        }
        at ^= base_of(word);
        uint32_t offset = word_at(map, at) & 0x7fffffffu;
        if ((word >> 8 & 1) != 0 && offset < map->texts_bytes) {
            *replacement = map->texts + offset;
            return i + 1;
        }
    }
    return 0;
}
