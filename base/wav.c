/* WAV files: checks RIFF chunks, each with a name and a size. */
#include "base/wav.h"

#include <string.h>

#define HEAD 12 /* "RIFF", bytes, "WAVE" */
#define CHUNK 8 /* name, bytes */
#define FORMAT_BYTES_MIN 16

enum { PCM = 1, FLOATS = 3, EXTENSIBLE = 0xfffe };

static bool is_known(const uint8_t *format)
{
    uint16_t kind = flo_get_u16(format);
    uint16_t channels = flo_get_u16(format + 2);
    uint32_t rate = flo_get_u32(format + 4);

    return (kind == PCM || kind == FLOATS || kind == EXTENSIBLE) && channels > 0 && channels <= 8 &&
           rate > 0;
}

/* Tells whether the data is a WAV file.  A chunk may claim more bytes than
 * there are, because a recorder that wrote to a pipe does not know the
 * number. */
bool flo_wav_is(const void *data, size_t bytes)
{
    const uint8_t *p = data;
    bool has_format = false;

    if (bytes < HEAD || memcmp(p, "RIFF", 4) != 0 || memcmp(p + 8, "WAVE", 4) != 0) {
        return false;
    }
    for (size_t at = HEAD; bytes - at >= CHUNK;) {
        uint64_t size = flo_get_u32(p + at + 4);
        size_t left = bytes - at - CHUNK;
        if (memcmp(p + at, "data", 4) == 0) {
            return has_format && left > 0 && size > 0;
        }
        if (size > left) {
            return false;
        }
        if (memcmp(p + at, "fmt ", 4) == 0) {
            if (size < FORMAT_BYTES_MIN || !is_known(p + at + CHUNK)) {
                return false;
            }
            has_format = true;
        }
        size += size & 1; /* chunks begin at even offsets only */
        at += CHUNK + (size_t)(size < left ? size : left);
    }
    return false;
}
