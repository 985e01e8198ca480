/* A hostile adapter of a good model, of one with experts, and of an encoder:
 * opened and, if it opens, computed with.  The models stay open; without them nothing is tried. */
#include <sys/mman.h>
#include <unistd.h>

#include <flotilla/adapter.h>
#include <flotilla/engine_output.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { BASES = 3 };

static struct flo_engine *base(size_t i)
{
    static const char *const paths[BASES] = {"tests/models/tiny-v1.Q4_1.gguf",
                                             "tests/oracle/tiny/lfm2_moe-q8_0.gguf",
                                             "tests/models/bert.Q8_0.gguf"};
    static struct flo_engine *engines[FLO_COUNT(paths)];
    const struct flo_engine_options options = {
        .context = 8,
        .threads = 1,
        .batch = 2,
        .vocabulary = FLO_VOCABULARY_NONE,
        .adapter_bytes = 4u << 20,
    };

    if (engines[i] == NULL && flo_engine_open(paths[i], &options, &engines[i], NULL) < 0) {
        engines[i] = NULL;
    }
    return engines[i];
}

static void compute(struct flo_engine *engine, const struct flo_adapter *adapter)
{
    static const int32_t tokens[] = {0, 1, 0};
    static float vector[1 << 12];
    struct flo_session *session = NULL;
    bool pools = (flo_engine_info(engine)->properties & FLO_COMPUTE_POOLS) != 0;

    if (flo_session_open(engine, &session, NULL) == 0 &&
        flo_session_set_adapter(session, adapter, 1, NULL) == 0) {
        (void)(pools ? flo_session_embed(session, tokens, 3, FLO_POOLING_MEAN, vector, NULL)
                     : flo_session_decode(session, tokens, 3, FLO_LOGITS_LAST, NULL));
    }
    flo_session_close(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    int fd = memfd_create("adapter", MFD_CLOEXEC);

    bool is_written = fd >= 0 && flo_fd_write_all(fd, data, bytes, NULL) == 0;

    for (size_t i = 0; i < BASES && is_written; i++) {
        struct flo_engine *engine = base(i);
        struct flo_adapter *adapter = NULL;

        if (engine != NULL && flo_adapter_open_fd(engine, fd, &adapter, NULL) == 0) {
            compute(engine, adapter);
        }
        flo_adapter_close(adapter);
    }
    close(fd);
    return 0;
}
