/* A kept prefix from outside: begun with or refused, and what is begun with
 * can be computed after.
 *
 * The first byte of the input chooses where the rest is laid over a file that
 * is right, whose checksums are then made right, so that what stands after
 * them is reached. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <flotilla/prefix.h>

#define HEAD_BYTES 136u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct flo_session *session;
static uint8_t *right, *room; /* the file as it should be, and a copy */
static size_t right_bytes;
static int file = -1;

static void prepare(void)
{
    static const struct flo_engine_options options = {
        .context = 40,
        .threads = 1,
        .vocabulary = FLO_VOCABULARY_NONE,
    };
    static int32_t tokens[32] = {1, 2, 3};
    struct flo_engine *engine;

    file = memfd_create("prefix", MFD_CLOEXEC);
    if (flo_engine_open("tests/oracle/tiny/smollm2-S-q4_1.gguf", &options, &engine, NULL) < 0 ||
        flo_session_open(engine, &session, NULL) < 0 ||
        flo_session_decode(session, tokens, 32, FLO_LOGITS_NONE, NULL) < 0) {
        __builtin_trap(); /* run from the source folder */
    }
    right_bytes = (size_t)flo_prefix_bytes(engine, 32);
    right = malloc(right_bytes);
    room = malloc(right_bytes);
    if (ftruncate(file, (off_t)right_bytes) < 0 || right == NULL || room == NULL ||
        flo_prefix_write(session, 32, 0, file, NULL, NULL, NULL) < 0 ||
        flo_fd_pread_all(file, right, right_bytes, 0, NULL) < 0) {
        __builtin_trap();
    }
}

/* Over the right file; from 128 on with right checksums. */
static void lay_over(const uint8_t *data, size_t bytes)
{
    size_t at = (size_t)(data[0] & 127) * 8;
    size_t count = bytes - 1 < right_bytes - at ? bytes - 1 : right_bytes - at;

    memcpy(room, right, right_bytes);
    memcpy(room + at, data + 1, count);
    if (data[0] >= 128) {
        flo_put_u32(room + 24, flo_crc32c(0, room + HEAD_BYTES, right_bytes - HEAD_BYTES));
        flo_put_u32(room + 28, 0);
        flo_put_u32(room + 28, flo_crc32c(0, room, HEAD_BYTES));
    }
    (void)!pwrite(file, room, right_bytes, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (file < 0) {
        prepare();
    }
    flo_session_reset(session);
    (void)!ftruncate(file, 0);
    if (bytes > 1 && data[0] != 127) {
        lay_over(data, bytes);
    } else if (bytes > 1) { /* a file of its own */
        (void)!pwrite(file, data + 1, bytes - 1, 0);
    }
    if (flo_prefix_read(session, file, NULL, NULL) < 0) {
        if (flo_session_position(session) != 0) {
            __builtin_trap();
        }
        return 0;
    }
    static const int32_t next[] = {1, 2};
    if (flo_session_position(session) != 32 ||
        flo_session_decode(session, next, 2, FLO_LOGITS_LAST, NULL) < 0) {
        __builtin_trap();
    }
    return 0;
}
