/* A hostile model file: opened, planned and, if it opens, computed. */
#include <sys/mman.h>
#include <unistd.h>

#include <flotilla/engine_output.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void compute(struct flo_engine *engine)
{
    static const int32_t tokens[] = {0, 1, 0};
    struct flo_sampling sampling = {.temperature = 1, .top_p = 0.9f};
    struct flo_session *session = NULL;
    struct flo_sampler *sampler = NULL;
    struct flo_sample sample;

    if (flo_session_open(engine, &session, NULL) == 0 &&
        flo_sampler_open(engine, &sampling, &sampler, NULL) == 0 &&
        flo_session_decode(session, tokens, 3, FLO_LOGITS_LAST, NULL) == 0) {
        flo_sampler_sample(sampler, flo_session_logits(session), &sample);
        (void)flo_session_decode(session, &sample.token, 1, FLO_LOGITS_LAST, NULL);
    }
    flo_sampler_close(sampler);
    flo_session_close(session);
}

static void rank(struct flo_engine *engine)
{
    static const struct flo_rank_pair pair = {"b", 1, "<a>", 3};
    static float state[1 << 18];
    struct flo_session *session = NULL;
    int32_t tokens[8];
    size_t count;
    double score;

    if (flo_session_open(engine, &session, NULL) == 0 &&
        flo_engine_pair(engine, &pair, tokens, 8, &count, NULL) == 0 &&
        flo_session_embed(session, tokens, count, FLO_POOLING_LAST, state, NULL) == 0) {
        (void)flo_engine_rank(engine, state, &score, NULL);
    }
    flo_session_close(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const struct flo_engine_options options = {
        .context = 8,
        .threads = 1,
        .batch = 2,
        .memory_bytes_max = 64u << 20,
        .trusts_kernels = true,
    };
    struct flo_engine *engine = NULL;
    int fd = memfd_create("model", MFD_CLOEXEC);

    if (fd < 0 || flo_fd_write_all(fd, data, bytes, NULL) < 0) {
        close(fd);
        return 0;
    }
    if (flo_engine_open_fd(fd, &options, &engine, NULL) == 0) {
        compute(engine);
        rank(engine);
    }
    flo_engine_close(engine);
    close(fd);
    return 0;
}
