/* Golden cases: reads the files that cases name, vectors and speech. */
#include <flotilla/golden.h>

static int read_file(const struct flo_golden_files *files, const char *name, size_t bytes_max,
                     char **data, size_t *bytes, struct flo_err *err)
{
    return files == NULL || files->read == NULL
               ? flo_fail(err, FLO_E_META_SCHEMA, "no file comes with it")
               : files->read(files->context, name, bytes_max, data, bytes, err);
}

/* Reads the audio file of a case that asks for speech to text. */
static int load_audio(const struct flo_golden_files *files, struct flo_golden_case *c,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *data = NULL;
    size_t bytes = 0;

    if (c->input != FLO_GOLDEN_AUDIO) {
        return 0;
    }
    int rv = read_file(files, c->prompt, FLO_GOLDEN_AUDIO_MAX, &data, &bytes, err);
    if (rv == 0) {
        rv = flo_golden_set_audio(c, data, bytes, err);
    }
    return rv < 0 ? flo_wrap(err, rv, "case %s", c->id) : 0;
}

static int load_vector(const struct flo_golden_files *files, struct flo_golden_match *match,
                       struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *data = NULL;
    size_t bytes = 0;

    if (match->kind != FLO_GOLDEN_COSINE) {
        return 0;
    }
    FLO_TRY(
        read_file(files, match->text, FLO_GOLDEN_VECTOR_MAX * sizeof(float), &data, &bytes, err));
    return flo_golden_set_vector(match, data, bytes, err);
}

int flo_golden_load(struct flo_golden *golden, const struct flo_golden_files *files,
                    struct flo_err *err)
{
    for (uint32_t i = 0; i < golden->n_cases; i++) {
        struct flo_golden_case *c = &golden->cases[i];
        FLO_TRY(load_audio(files, c, err));
        for (uint32_t k = 0; k < c->n_expect; k++) {
            int rv = load_vector(files, &c->expect[k], err);
            if (rv < 0) {
                return flo_wrap(err, rv, "case %s, expect[%u]", c->id, k);
            }
        }
    }
    return 0;
}
