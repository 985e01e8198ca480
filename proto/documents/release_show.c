/* Release text: writes a release document as lines for people, with every
 * field. */
#include <flotilla/proto.h>

#include <inttypes.h>
#include <string.h>

#define SHOWN_BYTES 160

static void put_text(struct flo_buf *out, const char *what, const char *text)
{
    char clean[SHOWN_BYTES];

    if (text != NULL && text[0] != '\0') {
        flo_text_clean(text, strlen(text), clean, sizeof clean);
        flo_buf_printf(out, "%-12s%s\n", what, clean);
    }
}

static void put_digest(struct flo_buf *out, const char *what, const struct flo_digest *digest)
{
    char text[FLO_DIGEST_TEXT];

    flo_digest_text(digest, text);
    flo_buf_printf(out, "%s%s", what, text);
}

/* Prints a number unless it is 0, which means not set. */
static void put_number(struct flo_buf *out, const char *what, uint64_t value)
{
    if (value != 0) {
        flo_buf_printf(out, " %s %" PRIu64, what, value);
    }
}

static void put_words(struct flo_buf *out, const char *what,
                      const char (*words)[FLO_NEED_WORD_MAX + 1])
{
    for (size_t i = 0; i < FLO_NEED_WORDS_MAX && words[i][0] != '\0'; i++) {
        flo_buf_printf(out, "%s%s", i == 0 ? what : ",", words[i]);
    }
}

/* ---- files ---- */

static void show_way(const struct flo_way *way, struct flo_buf *out)
{
    flo_buf_printf(out, "  get         %s %" PRIu64 " bytes", flo_codec_word(way->codec),
                   way->bytes);
    put_digest(out, " ", &way->digest);
    if (!flo_digest_is_zero(&way->base)) {
        put_digest(out, " base ", &way->base);
    }
    put_number(out, "memory_bytes", way->memory_bytes);
    if (!flo_digest_is_zero(&way->head)) {
        put_digest(out, " head ", &way->head);
    }
    flo_buf_text(out, "\n");
}

static void show_file(const struct flo_release_file *file, struct flo_buf *out)
{
    flo_buf_printf(out, "file        %s role %s %" PRIu64 " bytes", file->name, file->role,
                   file->bytes);
    put_digest(out, " ", &file->digest);
    if (strcmp(file->role, "adapter") == 0) {
        flo_buf_printf(out, " scale_ppm %" PRIu32, file->scale_ppm);
    }
    flo_buf_text(out, "\n");
    if (file->chunk_bytes > 0) {
        flo_buf_printf(out, "  chunks      %" PRIu32 " of %" PRIu64 " bytes",
                       flo_release_chunks(file), file->chunk_bytes);
        put_digest(out, " listed in ", &file->chunk_list);
        flo_buf_text(out, "\n");
    }
    for (uint32_t i = 0; i < file->way_count; i++) {
        show_way(&file->ways[i], out);
    }
}

/* ---- variants ---- */

static void show_variant(const struct flo_release *release,
                         const struct flo_release_variant *variant, struct flo_buf *out)
{
    flo_buf_printf(out, "variant     %s runtime %s", variant->name,
                   variant->runtime[0] != '\0' ? variant->runtime : FLO_RUNTIME_NATIVE);
    if (variant->entry != FLO_RELEASE_NO_FILE) {
        flo_buf_printf(out, " entry %s", release->files[variant->entry].name);
    }
    flo_buf_text(out, "\n  files      ");
    for (uint32_t i = 0; i < variant->file_count; i++) {
        flo_buf_printf(out, " %s", release->files[variant->files[i]].name);
    }
    flo_buf_text(out, "\n  needs      ");
#define FLO_RELEASE_WORDS(name, meaning) put_words(out, " " #name " ", variant->name);
#define FLO_RELEASE_NEED(name, type, most, key, meaning) put_number(out, #name, variant->name);
#include "proto/release.def"
    if (((const char *)out->data)[out->bytes - 1] == ' ') {
        flo_buf_text(out, " nothing");
    }
    flo_buf_text(out, "\n");
}

/* ---- the rest ---- */

static void show_probe(const struct flo_release *release, struct flo_buf *out)
{
    flo_buf_text(out, "probe      ");
    for (uint32_t i = 0; i < release->golden_count; i++) {
        flo_buf_printf(out, "%s%s", i == 0 ? " golden " : ",",
                       release->files[release->golden[i]].name);
    }
    if (release->probe_speed_ratio_max > 0) {
        flo_buf_printf(out, " speed_ratio_max %g", release->probe_speed_ratio_max);
    }
    put_number(out, "memory_bytes_max", release->probe_memory_bytes_max);
    flo_buf_text(out, "\n");
}

static void show_serve(const struct flo_release_serve *serve, struct flo_buf *out)
{
    flo_buf_text(out, "serve      ");
    put_number(out, "context", serve->context);
    put_number(out, "sessions", serve->sessions);
    if (serve->cache[0] != '\0') {
        flo_buf_printf(out, " cache %s", serve->cache);
    }
    if (serve->split_pct > 0) {
        flo_buf_printf(out, " split_of %s %u%%", serve->split_of, serve->split_pct);
    }
#define FLO_SAMPLING(name, max, meaning)                                                           \
    if (serve->sampling.name >= 0) {                                                               \
        flo_buf_printf(out, " " #name " %" PRId64, serve->sampling.name);                          \
    }
#include "proto/sampling.def"
    flo_buf_text(out, "\n");
    put_text(out, "  system", serve->system);
}

void flo_release_show(const struct flo_release *release, struct flo_buf *out)
{
    flo_buf_printf(out, "%s@%s fleet %s number %" PRIu64 " floor %" PRIu64 "\n", release->model,
                   release->version, release->fleet, release->number, release->floor);
#define FLO_RELEASE_TEXT(name, bytes, value, meaning) put_text(out, #name, release->name);
#include "proto/release.def"
    flo_buf_printf(out, "%-12s%" PRIu64 " ms since 1970\n", "created", release->created_at_ms);
    if (!flo_digest_is_zero(&release->base)) {
        put_digest(out, "base        ", &release->base);
        flo_buf_printf(out, " number %" PRIu64 "\n", release->base_number);
    }
    for (uint32_t i = 0; i < release->file_count; i++) {
        show_file(&release->files[i], out);
    }
    for (uint32_t i = 0; i < release->variant_count; i++) {
        show_variant(release, &release->variants[i], out);
    }
    show_probe(release, out);
    show_serve(&release->serve, out);
}
